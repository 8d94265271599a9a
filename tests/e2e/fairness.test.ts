// Fair shares on real processes: teams and keys of one pool, two gateways, two workers, one Redis.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { jain, percentile } from '../simulation/fair.ts';
import { aFolder, echoModels, startGateway, startWorker, workersReady } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { eventually } from './eventually.ts';
import { begin, chat } from './requests.ts';

const root = 'the-key-of-the-settings';
/** On each of two workers: w1 serves `m` and `a`, w2 serves `m` and `b`. */
const slots = 2;
const teams = Array.from({ length: 10 }, (_, at) => `team-${at}`);
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

let folders: Folder[];
let gateways: Berth[];
let workers: Berth[];
/** Ten teams' first, then a flood's and a modest one's of the same team, then of two teams. */
let keys: string[];

beforeAll(async () => {
  folders = await Promise.all([echoModels('m', 'a'), echoModels('m', 'b'), aFolder(), aFolder()]);
  const paths = folders.map(({ path }) => path);
  const pool = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}` };
  const worker = { ...pool, ENGINE: 'echo', NUM_PARALLEL: String(slots) };
  const gateway = { ...pool, AUTH: 'on', API_KEY: root };
  const starting = [1, 2].map((at) => startWorker({ ...worker, WORKER_ID: `w${at}`, MODELS_DIR: paths[at - 1] ?? '' }));
  gateways = await Promise.all(paths.slice(2).map((path) => startGateway({ ...gateway, STATE_DIR: path })));
  keys = await Promise.all([...teams, 'shared', 'shared', 'flood', 'modest'].map(make));
  workers = await Promise.all(starting);
  await Promise.all(gateways.map((gateway) => workersReady(gateway, 2)));
});

afterAll(async () => {
  await Promise.all([...gateways, ...workers].map((each) => each.stop()));
  await Promise.all(folders.map((folder) => folder[Symbol.asyncDispose]()));
});

/** A key of the team that both gateways know. */
async function make(team: string): Promise<string> {
  const headers = { ...bearer(root), 'content-type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify({ team }) };
  const { secret } = (await (await fetch(`${gateways[0]?.url}/admin/keys`, init)).json()) as { secret: string };
  for (const { url } of gateways) {
    const known = async () => (await fetch(`${url}/v1/models`, { headers: bearer(secret) })).status === 200;
    await eventually('the gateway knows the key', known);
  }
  return secret;
}

/** One request that was answered: when it was asked and when it ended, and how long it held its slot, ms. */
interface Stay {
  askedMs: number;
  endedMs: number;
  heldMs: number;
}

interface Asking {
  key: string;
  model: string;
  /** Requests at a time. */
  atOnce: number;
  heldMs: (turn: number) => number;
  pauseMs?: (turn: number) => number;
  untilMs: number;
}

/** Each request goes over the next gateway. At the end a crowd leaves; who asks alone waits for the answer. */
async function keepAsking({ key, model, atOnce, heldMs, pauseMs, untilMs }: Asking): Promise<Stay[]> {
  const stays: Stay[] = [];
  const one = async (client: number) => {
    for (let turn = client; performance.now() < untilMs; turn += 1) {
      const { url = '' } = gateways[turn % gateways.length] ?? {};
      const stay = { askedMs: performance.now(), heldMs: heldMs(turn) };
      const body = chat(`[[prefillDelayMs=${stay.heldMs}]] hello`, { model });
      const running = begin({ url, headers: bearer(key), body });
      const over = Promise.withResolvers<null>();
      const timer = setTimeout(over.resolve, untilMs - stay.askedMs, null);
      const answer = await (atOnce > 1 ? Promise.race([running.answer, over.promise]) : running.answer);
      clearTimeout(timer);
      if (answer === null) return running.abort();
      expect(answer.status, answer.text).toBe(200);
      stays.push({ ...stay, endedMs: performance.now() });
      await new Promise((resolve) => setTimeout(resolve, pauseMs?.(turn)));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, (_, client) => one(client)));
  return stays;
}

const inMs = (ms: number) => performance.now() + ms;
const waitP95 = (stays: readonly Stay[]) =>
  percentile(
    stays.map(({ askedMs, endedMs, heldMs }) => endedMs - askedMs - heldMs),
    0.95,
  );

/**
 * The bound is the issue's, alone + 2 × the mean interval between releases; nothing is added to it. Whoever is served
 * first waits for the next release, and two slots with requests of one length L release at least once in L, which is
 * two mean intervals. The modest key thinks for 0.3 to 0.7 L after an answer, when the slot that it had is busy for
 * another 0.7 L at most: 0.3 L = 90 ms are left for a machine that has other things to do, and so is the wait alone.
 */
test.concurrent.each([
  ['of the same team', 'a', 10],
  ['of another team', 'b', 12],
])(
  'a modest key beside a flooding key %s waits no longer than two mean intervals between releases',
  async (where, model, at) => {
    const lengthMs = 300;
    const heldMs = () => lengthMs;
    const [flooding = '', key = ''] = keys.slice(at);
    const pauseMs = (turn: number) => lengthMs * (0.3 + 0.1 * ((turn * 3) % 5));
    // The first request loads the model.
    const [, ...before] = await keepAsking({ key, model, atOnce: 1, heldMs, untilMs: inMs(1_000) });
    const alone = waitP95(before);
    const [fromMs, untilMs] = [inMs(1_000), inMs(5_500)];
    const both = await Promise.all([
      keepAsking({ key: flooding, model, atOnce: 16, heldMs, untilMs }),
      keepAsking({ key, model, atOnce: 1, heldMs, pauseMs, untilMs }),
    ]);
    // The first second fills the queue, and the flood catches up with what the modest key has used alone.
    const [flood, own] = both.map((stays) => stays.filter(({ askedMs }) => askedMs > fromMs)) as [Stay[], Stay[]];
    const releases = both.flat().filter(({ endedMs }) => endedMs > fromMs).length;
    const intervalMs = (untilMs - fromMs) / releases;
    console.log(
      `processes, a modest key ${where}: p95 ${waitP95(own).toFixed(0)} ms of ${own.length}, alone ${alone.toFixed(0)} ms, ` +
        `a release every ${intervalMs.toFixed(0)} ms, the flood ${waitP95(flood).toFixed(0)} ms`,
    );
    expect(waitP95(own)).toBeLessThanOrEqual(Math.max(2 * alone, alone + 2 * intervalMs));
    expect(own.length).toBeGreaterThan(3);
    expect(waitP95(own)).toBeLessThan(waitP95(flood) / 4);
  },
);

test('ten backlogged teams, one of which asks ten times as often, get equal slot-seconds', async () => {
  // The first second fills the queue; the greedy team is the last to come, or its head start would be taken from what
  // it gets later. About 100 requests end in the rest, 10 of each team: shares that are one request apart give an
  // index of 0.99, and a slow machine slows all teams alike. By arrival the index would be 0.33.
  const [fromMs, untilMs] = [inMs(1_000), inMs(5_500)];
  const all = await Promise.all(
    teams.map((_, at) => {
      const heldMs = (turn: number) => 75 + 15 * ((turn * 7 + at * 3) % 11);
      return keepAsking({ key: keys[at] ?? '', model: 'm', atOnce: at === 9 ? 50 : 5, heldMs, untilMs });
    }),
  );
  const shares = all.map((stays) =>
    stays.filter(({ endedMs }) => endedMs > fromMs).reduce((sum, { heldMs }) => sum + heldMs / 1_000, 0),
  );
  const index = jain(shares);
  console.log(`processes: Jain ${index.toFixed(3)}, slot-seconds ${shares.map((it) => it.toFixed(1)).join(' ')}`);
  expect(index).toBeGreaterThanOrEqual(0.95);
  // Equal shares of nothing are equal, too: the pool was at work for most of the time.
  expect(shares.reduce((sum, share) => sum + share, 0)).toBeGreaterThan(0.5 * 2 * slots * 4.5);
});
