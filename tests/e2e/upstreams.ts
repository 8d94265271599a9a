// Two servers that have joined and one engine of our own behind two gateways, under load, while one after another of them
// is killed: the same for doubled servers and for real ones.
import { randomUUID } from 'node:crypto';
import { startCountingProxy } from '../doubles/counting-proxy.ts';
import type { CountingProxy } from '../doubles/counting-proxy.ts';
import { longModel, longText, startGateway, startWorker, workersReady } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { eventually } from './eventually.ts';
import { heldSlots, queued, usedSlots } from './pool.ts';
import { begin, ollamaLines, openaiText } from './requests.ts';
import type { Answer } from './requests.ts';

/** A server that can be killed and started again. */
export interface Box extends AsyncDisposable {
  /** Where it is now. */
  readonly url: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export interface Load {
  requests: number;
  /** Clients that ask at the same time. */
  clients: number;
  /** Tokens of an answer. */
  tokens: number;
}

/** What became of the requests. */
interface Endings {
  whole: number;
  /** An explicit error, before or after the first token. */
  error: number;
  /** By the client itself. */
  left: number;
  /** With its gateway. */
  lost: number;
}

export interface Outcome {
  endings: Endings;
  /** Requests that a server was given at once, at most: by server. */
  most: number[];
  /** How often one request was given to the servers, at most. */
  runsMax: number;
  ms: number;
}

export const slots = 2;

interface Fleet extends AsyncDisposable {
  proxies: CountingProxy[];
  gateways: (Berth | null)[];
  /** Kills one of them and starts another in its place. */
  replaceGateway(index: number): Promise<void>;
  replaceWorker(id: string): Promise<void>;
  rest(): Promise<void>;
}

/** Runs the load, and kills: a server, its worker, a gateway, the engine's worker, and the other server. */
export async function killAndCount(boxes: readonly Box[], redisUrl: string, load: Load): Promise<Outcome> {
  await using fleet = await start(boxes, redisUrl);
  const startMs = performance.now();
  const endings: Endings = { whole: 0, error: 0, left: 0, lost: 0 };
  let asked = 0;
  const names: string[] = [];
  const client = async () => {
    while (asked < load.requests) {
      const index = asked++;
      const nonce = randomUUID();
      names.push(nonce);
      endings[await one(fleet, index, nonce, load)] += 1;
    }
  };
  const clients = Array.from({ length: load.clients }, client);
  const part = async (share: number) =>
    await eventually('the load goes on', () => asked >= load.requests * share, { withinMs: 120_000 });
  const [first, second] = boxes;
  await part(0.1);
  await first?.kill();
  await part(0.2);
  await first?.restart();
  await part(0.3);
  await fleet.replaceWorker('joined1');
  await part(0.5);
  await fleet.replaceGateway(1);
  await part(0.6);
  await fleet.replaceWorker('own');
  await part(0.7);
  await second?.kill();
  await second?.restart();
  await Promise.all(clients);
  const ms = performance.now() - startMs;
  await fleet.rest();
  const runs = names.map((name) => fleet.proxies.reduce((sum, proxy) => sum + proxy.runsOf(name), 0));
  return { endings, most: fleet.proxies.map((proxy) => proxy.mostAtOnce()), runsMax: Math.max(...runs), ms };
}

async function start(boxes: readonly Box[], redisUrl: string): Promise<Fleet> {
  const parts = new AsyncDisposableStack();
  const common = { REDIS_URL: redisUrl, POOL: `e2e-${randomUUID()}`, NUM_PARALLEL: String(slots) };
  const models: Folder = parts.use(await longModel());
  const proxies = await Promise.all(boxes.map(async ({ url }) => parts.use(await startCountingProxy(url))));
  const workers = new Map<string, Berth>();
  const add = async (id: string): Promise<void> => {
    const index = Number(/^joined(\d)$/.exec(id)?.[1] ?? -1);
    const own = index < 0 ? { MODELS_DIR: models.path } : { UPSTREAM: proxies[index]?.url ?? '' };
    workers.set(id, parts.use(await startWorker({ ...common, ...own, WORKER_ID: id })));
  };
  const gateways: (Berth | null)[] = [];
  const addGateway = async (index: number) => void (gateways[index] = parts.use(await startGateway(common)));
  // Where a server that was started anew is, its proxy knows.
  const follow = setInterval(
    () => boxes.forEach(({ url }, index) => Object.assign(proxies[index] ?? {}, { target: url })),
    20,
  );
  parts.defer(() => clearInterval(follow));
  const ids = [...boxes.map((_, index) => `joined${index}`), 'own'];
  await Promise.all([...ids.map(add), addGateway(0), addGateway(1)]);
  const alive = () => gateways.filter((gateway) => gateway !== null);
  await Promise.all(alive().map((gateway) => workersReady(gateway, ids.length)));
  return {
    proxies,
    gateways,
    async replaceGateway(index) {
      const gateway = gateways[index];
      gateways[index] = null;
      gateway?.kill('SIGKILL');
      await gateway?.ended;
      await addGateway(index);
    },
    async replaceWorker(id) {
      workers.get(id)?.kill('SIGKILL');
      await workers.get(id)?.ended;
      await add(id);
    },
    /** Everybody is back, and nobody holds anything any more. */
    async rest() {
      await Promise.all(alive().map((gateway) => workersReady(gateway, ids.length)));
      await eventually('every slot is free, in the ledger, at the workers and at the servers', async () => {
        const [gateway] = alive();
        const used = await Promise.all([...workers.values()].map(usedSlots));
        const held = [
          ...used,
          await heldSlots(gateway),
          await queued(gateway),
          ...proxies.map((proxy) => proxy.running()),
        ];
        return held.every((count) => count === 0);
      });
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** One request, in one of four forms; each twelfth client leaves in the middle. */
async function one({ gateways }: Fleet, index: number, nonce: string, { tokens }: Load): Promise<keyof Endings> {
  const alive = gateways.filter((gateway) => gateway !== null);
  const url = alive[index % alive.length]?.url ?? '';
  const messages = [{ role: 'user', content: nonce }];
  const stream = index % 2 === 0;
  const isOllama = index % 4 > 1;
  const [path, body] = isOllama
    ? ['/api/chat', { model: 'long', messages, stream, options: { num_predict: tokens } }]
    : ['/v1/chat/completions', { model: 'long', messages, stream, max_tokens: tokens }];
  const running = begin({ url, path, body });
  if (index % 12 === 0) {
    await running.until('5').catch(() => undefined);
    running.abort();
    return 'left';
  }
  const answer = await running.answer.catch(() => null);
  return answer === null ? 'lost' : endingOf(answer, isOllama, stream, tokens);
}

const words = longText.split(/(?= )/);

/** @throws Error for an answer that looks whole and is not, or that ends without a word */
function endingOf(answer: Answer, isOllama: boolean, stream: boolean, tokens: number): keyof Endings {
  const { status, text, clean } = answer;
  const expected = words.slice(0, tokens).join('');
  const lines = isOllama && text !== '' ? ollamaLines(text) : [];
  const saysEnd = isOllama ? lines.some(({ done }) => done) : /"finish_reason":"(length|stop)"/.test(text);
  const saysError = isOllama ? lines.some(({ error }) => error !== undefined) : text.includes('"error":{');
  if (status === 200 && clean) {
    const said = isOllama ? lines.map(({ message }) => message?.content ?? '').join('') : openaiText(text);
    if (saysEnd && !saysError && said === expected && (isOllama || !stream || text.endsWith('data: [DONE]\n\n')))
      return 'whole';
    throw new Error(`it looks whole and is not: ${text}`);
  }
  if (isOllama ? saysEnd : text.includes('[DONE]')) throw new Error(`it is cut and looks ended: ${text}`);
  if (saysError) return 'error';
  // Its gateway was killed: nobody was left to say anything.
  if (status === 200 && !clean) return 'lost';
  throw new Error(`it ended without a word: ${status} ${text}`);
}
