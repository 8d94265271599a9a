// Five slow-downs, each made for real, and the shipped ranking must name each. By `npm run bottleneck`: it takes a minute.
import { afterAll, beforeAll, describe, inject, it } from 'vitest';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aFolder, enginesOf } from '../e2e/berth.ts';
import { programs } from '../tools/prometheus.ts';
import { writeGguf } from '../models/gguf.ts';
import { randomModel } from '../models/random.ts';
import { eventually } from '../e2e/eventually.ts';
import { busy, observed, ranksFirst } from './observed.ts';
import type { Observed } from './observed.ts';

const stack = new AsyncDisposableStack();
let pool: Observed;

beforeAll(() => programs(), 300_000);

/** Large enough that a prompt takes its time, small enough for two processors. */
const shape = { parameters: 15e6, vocabulary: 12_800, context: 4_096, type: 'q8_0', ends: false } as const;

/** Two workers with the real engine, a smaller and a larger one, each with room for one of the three models that both have. */
beforeAll(async () => {
  const folder = stack.use(await aFolder());
  const [first, ...others] = ['one', 'two', 'three'].map((name) => join(folder.path, `${name}.gguf`));
  writeGguf(first!, randomModel({ ...shape, name: 'random', seed: 1 }));
  for (const path of others) await copyFile(first!, path);
  const worker = { MODELS_DIR: folder.path, MAX_LOADED_MODELS: '1', PROMPT_CACHE_BYTES: '0' };
  const env = { ...worker, CONTEXT_LENGTH: '4096' };
  pool = stack.use(
    await observed(inject('redisUrl'), [
      { ...env, WORKER_ID: 'w1', NUM_PARALLEL: '2' },
      { ...env, WORKER_ID: 'w2', NUM_PARALLEL: '4' },
    ]),
  );
}, 90_000);
afterAll(() => stack.disposeAsync());

const words = (count: number, turn: number) => Array.from({ length: count }, (_, at) => `w${turn}x${at}`).join(' ');

/** A process that may run for a tenth of the time only, as one on a machine that others use. */
function throttled(pids: readonly number[]): Disposable {
  let stopped = false;
  const toggle = () => {
    stopped = !stopped;
    for (const pid of pids) process.kill(pid, stopped ? 'SIGSTOP' : 'SIGCONT');
  };
  let timer = setTimeout(function turn() {
    toggle();
    timer = setTimeout(turn, stopped ? 90 : 10);
  });
  return {
    [Symbol.dispose]() {
      clearTimeout(timer);
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    },
  };
}

describe('the ranking of causes names', () => {
  it('the queue, when there are many more requests than slots', { timeout: 60_000 }, async () => {
    await using _load = busy(16, (turn) => pool.ask('one', `Tell me of slots. ${turn}`, { max_tokens: 60 }));
    await ranksFirst(pool.prometheus, 'queue');
  });

  it('the load, when three models take turns in room for two', { timeout: 60_000 }, async () => {
    await using _load = busy(1, (turn) => pool.ask(['one', 'two', 'three'][turn % 3]!, 'Hello', { max_tokens: 2 }));
    await ranksFirst(pool.prometheus, 'load');
  });

  it('the prefill, when prompts are long and answers short', { timeout: 60_000 }, async () => {
    await using _load = busy(2, (turn) => pool.ask('one', words(150, turn), { max_tokens: 2 }));
    await ranksFirst(pool.prometheus, 'prefill');
  });

  it(
    'the slow worker, when the larger one gets a tenth of its processor and is needed',
    { timeout: 90_000 },
    async () => {
      // Whoever is slow gets less, so that nothing is lost until the others are full: then most of the slots are slow.
      for (const worker of ['w1', 'w2']) {
        await eventually(`${worker} serves the model`, () => pool.preload('one', worker), { withinMs: 30_000 });
      }
      const engines = await enginesOf(pool.workers[1]?.pid ?? 0);
      using _throttle = throttled(engines.map(({ pid }) => pid));
      await using _load = busy(6, (turn) => pool.ask('one', `Tell me of slots. ${turn}`, { max_tokens: 60 }));
      await ranksFirst(pool.prometheus, 'slow worker');
    },
  );

  it('the ledger, when Redis answers late', { timeout: 60_000 }, async () => {
    pool.redis.delayReplies(100);
    await using _load = busy(2, () => pool.ask('one', 'Hello', { max_tokens: 2 }));
    await ranksFirst(pool.prometheus, 'ledger');
    pool.redis.delayReplies(0);
  });
});
