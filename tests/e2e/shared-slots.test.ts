// Two gateways on one Redis share the slots of the same workers.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { echoModels, startGateway, startLocal, startWorker, warmUp, workersReady } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { eventually } from './eventually.ts';
import { burst, isWhole, mostAtOnce, servedBy } from './burst.ts';

const slots = 4;

let models: Folder;
let gateways: Berth[];
let workers: Berth[];

beforeAll(async () => {
  models = await echoModels('m');
  const pool = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}` };
  const worker = { ...pool, ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: String(slots) };
  gateways = await Promise.all([startGateway(pool), startGateway(pool)]);
  workers = await Promise.all(['w1', 'w2'].map((id) => startWorker({ ...worker, WORKER_ID: id })));
  await Promise.all(gateways.map((gateway) => workersReady(gateway, 2)));
  await warmUp(gateways[0]?.url ?? '', 2, slots);
});

afterAll(async () => {
  await Promise.all([...gateways, ...workers].map((each) => each.stop()));
  await models[Symbol.asyncDispose]();
});

describe('two gateways and two workers', () => {
  test('200 requests at once: each is answered once, and no worker ever runs more than NUM_PARALLEL', async () => {
    const answers = await burst(
      gateways.map(({ url }) => url),
      200,
    ).answers;

    expect(answers.map(isWhole)).toEqual(answers.map(() => true));
    const most = mostAtOnce(answers);
    expect([...most].toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual([
      ['w1', slots],
      ['w2', slots],
    ]);
    expect(Math.min(...[...servedBy(answers).values()].map(({ length }) => length))).toBeGreaterThanOrEqual(20);
  });
});

describe('npm start with REDIS_URL, twice', () => {
  test('is one pool: each gateway uses the workers of both', { timeout: 180_000 }, async () => {
    const env = {
      REDIS_URL: inject('redisUrl'),
      POOL: `e2e-${randomUUID()}`,
      ENGINE: 'echo',
      MODELS_DIR: models.path,
      NUM_PARALLEL: '2',
    };
    await using first = await startLocal({ env });
    await using second = await startLocal({ env });
    await Promise.all([workersReady(first, 2), workersReady(second, 2)]);
    // Not at the first try: a copy is loaded when somebody has waited for a while, and who waits for long does not tell
    // whose answer it got.
    for (const { url } of [first, second]) {
      await eventually('both answer', async () => (await warmUp(url, 2, 2)).size === 2, { withinMs: 60_000 });
    }
  });
});
