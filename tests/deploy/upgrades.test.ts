// Two gateways behind a real HAProxy while everything is restarted: no request is lost, and no stream is cut.
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { aFolder, echoModels, root, startGateway, startWorker, warmUp, workersReady } from '../e2e/berth.ts';
import type { Berth, Env, Folder } from '../e2e/berth.ts';
import { eventually } from '../e2e/eventually.ts';
import { ask, begin, chat, openaiText } from '../e2e/requests.ts';
import { freePort } from '../tools/port.ts';
import { checkHaproxy, haproxyFor, haproxyProgram, startDoor, startHaproxy } from './haproxy.ts';
import type { Haproxy } from './haproxy.ts';

/** `npm run upgrades` takes a hundred. */
const restarts = Number(process.env['RESTARTS'] ?? 9);
/**
 * Health checks so many times quicker than shipped: a hundred restarts shall not take ten minutes. Much quicker ones
 * find living gateways dead on a machine where everything waits: a check's connection may take as long as their interval.
 */
const speed = 4;
/** Shipped are 5 s for checks that take 1.4 s; here 2 s for 0.35 s. */
const DRAIN_NOTICE = '2s';
const slots = 4;
const workerIds = ['one', 'two', 'three'];

let models: Folder;
let proxy: Haproxy | undefined;
let url: string;
const gateways = new Map<string, Berth>();
const workers = new Map<string, Berth>();
let common: Env;
let ports: string[];

const addGateway = async (port: string) =>
  gateways.set(port, await startGateway({ ...common, GATEWAY_PORT: port, DRAIN_NOTICE }));
const addWorker = async (id: string) => {
  const echo = { ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: String(slots), WORKER_ID: id };
  workers.set(id, await startWorker({ ...common, ...echo }));
};
const urls = () => [...gateways.values()].map(({ url }) => url);

beforeAll(() => haproxyProgram(), 300_000);
beforeAll(async () => {
  models = await echoModels('m');
  common = { REDIS_URL: inject('redisUrl'), POOL: `upgrades-${randomUUID()}` };
  ports = [String(await freePort()), String(await freePort())];
  await Promise.all([...ports.map(addGateway), ...workerIds.map(addWorker)]);
  await Promise.all([...gateways.values()].map((gateway) => workersReady(gateway, workerIds.length)));
  await warmUp(urls()[0] ?? '', workerIds.length, slots);
  proxy = await startHaproxy(urls(), speed);
  url = proxy.url;
}, 120_000);
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await Promise.all([...gateways.values(), ...workers.values()].map((each) => each.stop()));
  await models[Symbol.asyncDispose]();
});

it('the shipped configuration leaves `haproxy -c` nothing to say', async () => {
  expect(await checkHaproxy((await haproxyFor(urls())).text)).toBe('');
  expect(await checkHaproxy('frontend x\n  bindd :1\n')).not.toBe('');
});

it('workers of another machine reach Redis by TLS, and by nothing else', async () => {
  await using folder = await aFolder();
  const [crt, key] = await Promise.all(
    ['crt', 'key'].map((it) => readFile(join(root, `tests/gateway/tls/first.${it}`), 'utf8')),
  );
  await writeFile(join(folder.path, 'redis.pem'), `${crt}${key}`);
  await using door = await startDoor(folder.path, new URL(inject('redisUrl')).host);
  const ping = async (socket: Socket): Promise<string> => {
    socket.on('error', () => {}).end('PING\r\n');
    return socket.toArray().then(
      (pieces) => pieces.join(''),
      () => '',
    );
  };
  const at = { host: '127.0.0.1', port: door.port };
  await eventually('it passes on', async () => (await ping(connectTls({ ...at, ca: crt }))) === '+PONG\r\n');
  expect(await ping(connect(at))).not.toContain('PONG');
});

it('pieces of a stream come as they are made, and a long silence cuts nothing', async () => {
  const body = chat('[[tokenDelayMs=300]] one two three', { stream: true });
  const running = begin({ url, body });
  await running.until('one');
  expect(running.text).not.toContain('three');
  const { clean, text } = await running.answer;
  expect([clean, openaiText(text).trim()]).toEqual([true, 'one two three']);
});

it('a reload cuts no stream, and what comes after it is answered too', async () => {
  const running = begin({ url, body: chat('[[tokenDelayMs=150]] a b c d e f g h', { stream: true }) });
  await running.until('b');
  await proxy?.reload();
  expect(running.text).not.toContain('"h');
  expect(await ask({ url, body: chat('after') })).toMatchObject({ status: 200, clean: true });
  const { clean, text } = await running.answer;
  expect([clean, openaiText(text).trim()]).toEqual([true, 'a b c d e f g h']);
});

it(
  'a gateway that is killed costs its streams, and nobody who had heard nothing yet',
  { timeout: 60_000 },
  async () => {
    const waiting = Array.from({ length: 8 }, () => ask({ url, body: chat('[[prefillDelayMs=800]] still there') }));
    const [port = ''] = ports;
    const victim = gateways.get(port);
    await eventually('the victim has some of them', async () => {
      const text = await (await fetch(`${victim?.url}/metrics`)).text();
      return Number(/^berth_requests_inside (\d+)/m.exec(text)?.[1]) >= 4;
    });
    victim?.kill('SIGKILL');
    const answers = await Promise.all(waiting);
    await victim?.ended;
    await addGateway(port);
    expect(answers.map(({ status, clean, text }) => [status, clean, openaiText(text).trim()])).toEqual(
      answers.map(() => [200, true, 'still there']),
    );
  },
);

it('with no worker ready, a gateway says why in the client’s own dialect', { timeout: 60_000 }, async () => {
  await Promise.all([...workers.values()].map((worker) => worker.stop()));
  // Who has seen a worker lately would wait for its return.
  await Promise.all([...gateways.values()].map((gateway) => gateway.stop()));
  await Promise.all(ports.map(addGateway));
  const refused = async () => ask({ url, path: '/api/chat', body: chat('nobody there') });
  await eventually('Ollama’s error comes through', async () => {
    const { status, text, headers } = await refused();
    return status === 503 && headers['content-type']?.includes('json') === true && 'error' in JSON.parse(text);
  });
  await Promise.all(workerIds.map(addWorker));
  // Both know it, as either may be asked next: HAProxy may not have missed one of them for so short a time.
  await Promise.all([...gateways.values()].map((gateway) => workersReady(gateway, workerIds.length)));
  await eventually('it answers again', async () => (await ask({ url, body: chat('back') })).status === 200);
});

/**
 * A client that knows several gateways: it asks the next one when one is not there, is about to go, or has closed the
 * connection without a word (what lies in a listener's backlog when that closes is reset by the system).
 */
async function askAny(at: number, body: unknown) {
  for (let turn = at; ; turn++) {
    const url = `http://127.0.0.1:${ports[turn % ports.length]}`;
    const answer = await ask({ url, body }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') return null;
      throw error;
    });
    if (answer !== null && answer.status !== 503) return answer;
    if (turn > at + 100) throw new Error(`no gateway took the request: ${answer?.text}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Asks until it is told to stop. @returns what was not answered whole, and how many were */
function load(clients: readonly number[]) {
  const over = new AbortController();
  let answered = 0;
  const lost: string[] = [];
  const client = async (at: number): Promise<void> => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      const said = `${at}-${turn} and on and on`;
      const body = chat(`[[tokenDelayMs=15]] ${said}`, { stream: turn % 2 === 0 });
      try {
        const { status, clean, text } = await (at % 2 === 0 ? ask({ url, body }) : askAny(at >> 1, body));
        if (status === 200 && clean && openaiText(text).trim() === said) answered += 1;
        else lost.push(`${at}: ${status} ${clean ? 'whole' : 'cut'}: ${text.slice(0, 300)}`);
      } catch (error) {
        lost.push(`${at}: ${String(error)}`);
      }
    }
  };
  const all = clients.map(client);
  return {
    async end() {
      over.abort();
      await Promise.all(all);
      return { answered, lost };
    },
  };
}

it(
  'all workers restarted at once under load lose no request: who asks meanwhile waits',
  { timeout: 120_000 },
  async () => {
    const clients = load([0, 2, 4, 6]); // these take no 503 for an answer
    await Promise.all([...workers.values()].map((worker) => worker.stop()));
    await eventually('the pool has no worker', async () => (await fetch(`${urls()[0]}/health`)).status === 503);
    await Promise.all(workerIds.map(addWorker));
    await Promise.all([...gateways.values()].map((gateway) => workersReady(gateway, workerIds.length)));
    await eventually('what waited is served', async () => (await ask({ url, body: chat('after') })).status === 200);
    const { answered, lost } = await clients.end();
    expect(lost).toEqual([]);
    expect(answered).toBeGreaterThan(4);
  },
);

it(
  `${restarts} restarts under load, of a gateway and two of three workers at a time, lose no request`,
  { timeout: 600_000 },
  async () => {
    const clients = load([0, 1, 2, 3, 4, 5, 6, 7]);
    for (let turn = 0; turn < Math.ceil(restarts / 3); turn++) {
      const port = ports[turn % 2] ?? '';
      const restartGateway = async () => {
        await gateways.get(port)?.stop();
        await addGateway(port);
      };
      const restartWorker = async (id: string) => {
        await workers.get(id)?.stop();
        await addWorker(id);
      };
      const leaving = workerIds.filter((_, at) => at !== turn % 3);
      await Promise.all([restartGateway(), ...leaving.map(restartWorker)]);
      // The next ones leave when these are back for everybody: that is what rolling means.
      await Promise.all([...gateways.values()].map((gateway) => workersReady(gateway, workerIds.length)));
      await eventually('HAProxy has both again', async () => (await proxy?.ready()) === 2);
    }
    const { answered, lost } = await clients.end();
    expect(lost).toEqual([]);
    expect(answered).toBeGreaterThan(restarts * 5);
  },
);
