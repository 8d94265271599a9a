// Two gateways on one Redis share the slots of the same workers.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { echoModels, startGateway, startLocal, startWorker, workersReady } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { ask, chat, ollamaLines } from './requests.ts';
import type { Answer } from './requests.ts';

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
});

afterAll(async () => {
  await Promise.all([...gateways, ...workers].map((each) => each.stop()));
  await models[Symbol.asyncDispose]();
});

/** A word of its own for each request, so that an answer can be told from all others. */
const wordOf = (index: number) => `word${index}end`;
const tokens = 8;

function echo(index: number): Promise<Answer> {
  const text = `[[tokenDelayMs=4]] ${`${wordOf(index)} `.repeat(tokens)}`;
  const { url = '' } = gateways[index % gateways.length] ?? {};
  return ask({ url, path: '/api/chat', body: chat(text) });
}

/**
 * The most answers that one worker wrote at the same time, by its own clock: a line of Ollama's tells when it was
 * made, and between its first and its last line a request certainly holds its slot.
 */
function mostAtOnce(answers: readonly Answer[]): number {
  const spans = answers.map(({ text }) => {
    const times = ollamaLines(text).map(({ created_at }) => Date.parse(created_at));
    return { from: Math.min(...times), to: Math.max(...times) };
  });
  return Math.max(...spans.map(({ from: at }) => spans.filter(({ from, to }) => from <= at && at < to).length));
}

describe('two gateways and two workers', () => {
  test('200 requests at once: each is answered once, and no worker ever runs more than NUM_PARALLEL', async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => echo(index)));

    for (const [index, { status, text, clean }] of answers.entries()) {
      const lines = ollamaLines(text);
      const said = lines.map(({ message }) => message?.content ?? '').join('');
      expect({ status, clean, said }).toEqual({ status: 200, clean: true, said: `${wordOf(index)} `.repeat(tokens) });
      expect(lines.filter(({ done }) => done)).toHaveLength(1);
    }
    const byWorker = Map.groupBy(answers, ({ headers }) => headers['berth-worker']);
    expect(new Set(byWorker.keys())).toEqual(new Set(['w1', 'w2']));
    for (const [, own] of byWorker) {
      expect(own.length).toBeGreaterThanOrEqual(20);
      expect(mostAtOnce(own)).toBe(slots);
    }
  });
});

describe('npm start with REDIS_URL, twice', () => {
  test('is one pool: each gateway uses the workers of both', async () => {
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
    for (const { url } of [first, second]) {
      const asked = Array.from({ length: 4 }, () => ask({ url, body: chat('[[prefillDelayMs=500]] hello') }));
      const answers = await Promise.all(asked);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
      expect(new Set(answers.map(({ headers }) => headers['berth-worker'])).size).toBe(2);
    }
  });
});
