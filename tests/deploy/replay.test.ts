// The team's compose.yaml brought up without a container engine: its images replayed, its services in them with their own users,
// rights, read-only files, secrets and volumes. Redis and HAProxy are Debian's; the model and its engine are real.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root } from '../e2e/berth.ts';
import { eventually } from '../e2e/eventually.ts';
import { fetchDebianPackage } from '../tools/debian.ts';
import { composeFor, deployed, installCheckers } from './checkers.ts';
import type { Compose, Service } from './checkers.ts';
import { anEngine, whyNotReplay } from './replay.ts';
import type { Built, Started } from './replay.ts';

const why = await whyNotReplay();
/** `npm run replay` also makes the worker's image, whose engine is 700 MB, and asks a model. */
const all = process.env['REPLAY'] === 'all';
/** Each service has an address of its own on the loopback of their network. */
const addresses = { redis: '127.0.0.11', 'gateway-1': '127.0.0.12', 'gateway-2': '127.0.0.13', haproxy: '127.0.0.14' };
const hosts = Object.entries(addresses).map(([name, address]) => `${address} ${name}\n`);
const url = `http://${addresses.haproxy}:8080`;

let engine: Awaited<ReturnType<typeof anEngine>>;
let compose: Compose;
let gateway: Built;
const running: Record<string, Started> = {};

function serviceOf(name: string): Service {
  const service = compose.services[name];
  if (!service) throw new Error(`no service ${name}`);
  return service;
}

async function start(
  name: string,
  built: Pick<Built, 'image'> & { layer: string | null },
  more: { env?: Record<string, string>; command?: string[] } = {},
) {
  running[name] = await engine.start(serviceOf(name), built, { hosts: hosts.join(''), ...more });
  return running[name];
}

/** Of a program that is Debian's here: the service's user, volumes and command, and where it lies. */
async function debian(packages: string[], program: string) {
  const { root: folder, env } = await fetchDebianPackage(packages);
  return { path: join(folder, program), env: { LD_LIBRARY_PATH: env['LD_LIBRARY_PATH'] ?? '' } };
}
const foreign = { image: { env: {}, user: '', entrypoint: [], command: [] } as never, layer: null };

const ask = async (path: string, key?: string, body?: object): Promise<{ status: number; text: string }> => {
  const init = {
    method: body ? 'POST' : 'GET',
    headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
  };
  const program = `const r = await fetch(${JSON.stringify(url + path)}, ${JSON.stringify(init)}).catch((e) => ({ status: 0, text: async () => String(e.cause) }));
console.log(JSON.stringify({ status: r.status, text: await r.text() }));`;
  return JSON.parse(await engine.look(program)) as { status: number; text: string };
};
/** The shipped configuration with fewer connections, at an address of its own. */
async function startProxy(): Promise<void> {
  const { path, env } = await debian(['haproxy'], 'usr/sbin/haproxy');
  const folder = join(engine.folder, 'haproxy');
  const text = deployed('haproxy/haproxy.cfg')
    .replace('maxconn 20000', 'maxconn 500')
    .replace('bind :8080', `bind ${addresses.haproxy}:8080`);
  await mkdir(folder);
  await writeFile(join(folder, 'haproxy.cfg'), text);
  const service = { ...serviceOf('haproxy'), volumes: [`${folder}:/usr/local/etc/haproxy:ro`] };
  const command = [path, '-W', '-db', '-f', '/usr/local/etc/haproxy/haproxy.cfg'];
  running['haproxy'] = await engine.start(service, foreign, { hosts: hosts.join(''), env, command });
}

const keyOf = (said: string): string => /^Key: (\S+)$/m.exec(said)?.[1] ?? '';

beforeAll(() => installCheckers(), 300_000);
beforeAll(async () => {
  if (why !== null) return;
  compose = composeFor({ COMPOSE_PROFILES: 'cpu' });
  engine = await anEngine();
  gateway = await engine.build(deployed('gateway.Dockerfile'));
}, 300_000);
afterAll(async () => {
  if (why === null) await engine[Symbol.asyncDispose]();
}, 60_000);

it.skipIf(why !== null)('the image of the gateway is small, with an SBOM and without an engine', async () => {
  const program = `import { execFileSync } from 'node:child_process'; import { readFileSync, readdirSync } from 'node:fs';
const app = ${JSON.stringify(`${gateway.layer}/app`)};
console.log(JSON.stringify({
  mib: Number(execFileSync('du', ['-sm', app]).toString().split('\\t')[0]),
  engine: readdirSync(app + '/node_modules').filter((it) => it.includes('llama')),
  parts: JSON.parse(readFileSync(app + '/sbom.cdx.json')).components.map(({ name }) => name),
}));`;
  const {
    mib,
    engine: found,
    parts,
  } = JSON.parse(await engine.look(program)) as { mib: number; engine: string[]; parts: string[] };
  expect(mib).toBeLessThan(25);
  expect(found).toEqual([]);
  expect(parts).toEqual(expect.arrayContaining(['undici', 'ioredis', 'http-proxy-3', 'prom-client']));
});

it.skipIf(why !== null)(
  'comes up in the order of compose.yaml, and answers with the key that was printed',
  { timeout: 120_000 },
  async () => {
    const setup = await start('setup', gateway);
    expect([await setup.ended, setup.output]).toEqual([0, expect.stringMatching(/^Key: berth_[\w-]{32}$/m)]);
    const again = await start('setup', gateway);
    expect([await again.ended, again.output]).toEqual([0, setup.output]);

    const { path, env } = await debian(['redis-server', 'redis-tools'], 'usr/bin/redis-server');
    const redis = await start('redis', foreign, {
      env,
      command: [path, '/etc/berth/redis.conf', '--bind', addresses.redis],
    });
    await eventually('Redis is ready', () => redis.output.includes('Ready to accept connections')).catch(() => {
      throw new Error(redis.output);
    });
    await Promise.all(
      (['gateway-1', 'gateway-2'] as const).map((name) =>
        start(name, gateway, { env: { GATEWAY_HOST: addresses[name], DRAIN_NOTICE: '500ms' } }),
      ),
    );
    if (all) {
      const worker = await engine.build(deployed('worker.Dockerfile'), 'cpu', join(root, 'node_modules'));
      await start('worker-cpu', worker, { env: { WORKER_HOST: '127.0.0.20' } });
    }
    await startProxy();
    const key = keyOf(setup.output);
    // Without a worker gateways are not ready, and HAProxy lets a living one say so.
    const up = async () => (await ask(all ? '/readyz' : '/livez')).status === 200;
    await eventually('it answers', up, { withinMs: 60_000, lookEveryMs: 300 }).catch(() => {
      throw new Error(
        Object.entries(running)
          .map(([name, { output }]) => `--- ${name}\n${output.slice(-1_500)}`)
          .join('\n'),
      );
    });
    expect((await ask('/v1/models')).status).toBe(401);
    expect((await ask('/v1/models', key)).status).toBe(200);
    if (!all) return;
    const body = { model: 'berth-demo', messages: [{ role: 'user', content: 'What is a slot?' }] };
    const answer = await ask('/v1/chat/completions', key, body);
    expect(answer, running['worker-cpu']?.output).toMatchObject({
      status: 200,
      text: expect.stringContaining('berth') as string,
    });
  },
);

it.skipIf(why !== null)(
  'gives Prometheus a key for metrics and nothing else, which both gateways know',
  { timeout: 60_000 },
  async () => {
    const key = (
      await engine.look(
        `import { readFileSync } from 'node:fs'; console.log(readFileSync(${JSON.stringify(`${engine.folder}/volume-secrets/metrics-key`)}, 'utf8'));`,
      )
    ).trim();
    await eventually('both take it', async () => {
      const answers = await Promise.all([1, 2, 3, 4].map(() => ask('/metrics/workers', key)));
      return answers.every(({ status, text }) => status === 200 && text.includes(all ? 'box-1-cpu' : '['));
    });
    expect((await ask('/v1/models', key)).status).toBe(403);
  },
);

it.skipIf(why !== null)(
  'the command line is at hand in the container, with the key that it has there',
  { timeout: 60_000 },
  async () => {
    const service = serviceOf('gateway-1');
    const { layer, image } = gateway;
    const made = await engine.start(
      service,
      { layer, image },
      {
        hosts: hosts.join(''),
        env: { BERTH_URL: `http://${addresses['gateway-1']}:8080` },
        command: ['/usr/local/bin/berth', 'keys', 'create', '--team', 'research'],
      },
    );
    expect([await made.ended, made.output]).toEqual([0, expect.stringMatching(/^berth_\w+\.\S+$/m)]);
    const key = /^berth_\w+\.\S+$/m.exec(made.output)?.[0];
    await eventually('it is known', async () => (await ask('/v1/models', key)).status === 200);
  },
);

it.skipIf(why !== null)(
  'keeps secrets from others, runs as nobody in particular, and can write nowhere else',
  async () => {
    const program = `import { execFileSync } from 'node:child_process';
console.log(execFileSync('stat', ['-c', '%U:%u:%g:%a:%n', ...${JSON.stringify(['', '/redis-url', '/users.acl', '/api-key', '/cluster-secret'])}.map((it) => ${JSON.stringify(`${engine.folder}/volume-secrets`)} + it)]).toString());`;
    const modes = (await engine.look(program))
      .trim()
      .split('\n')
      .map((line) => line.split(':').slice(1, 4).join(':'));
    expect(modes).toEqual(['1000:1000:750', '1000:1000:640', '1000:1000:640', '1000:1000:640', '1000:1000:640']);
    const { layer, image } = gateway;
    const tries = ['/app/x', '/usr/x', '/run/berth/x'].map(
      (path) => `try { require('fs').writeFileSync('${path}', ''); console.log('wrote ${path}') } catch {}`,
    );
    const script = `${tries.join(';')}; console.log(process.getuid(), require('fs').readFileSync('/proc/self/status', 'utf8').match(/(NoNewPrivs|CapBnd|CapEff):.*/g).join(' '))`;
    const it = await engine.start(
      serviceOf('gateway-1'),
      { layer, image },
      { hosts: '', command: ['node', '-e', script] },
    );
    await it.ended;
    expect(it.output.replaceAll(/\s+/g, ' ').trim()).toBe(
      '1000 CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1',
    );
  },
);

it.skipIf(why !== null)(
  'stops as it is told to: each process hears its signal and ends well',
  { timeout: 60_000 },
  async () => {
    running['haproxy']?.kill('SIGUSR1');
    expect(await running['haproxy']?.ended).toBe(0);
    const ours = ['gateway-1', 'gateway-2', ...(all ? ['worker-cpu'] : [])];
    for (const name of ours) running[name]?.kill('SIGTERM');
    for (const name of ours) expect(await running[name]?.ended, name).toBe(0);
  },
);
