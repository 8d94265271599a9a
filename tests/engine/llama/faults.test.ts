// A whole worker over real engines that freeze, or are killed at some token: every request ends, the next is served.
import { dirname } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { refusalHeader } from '@berth/shared/headers.ts';
import { decodeRefusal } from '@berth/shared/outcome.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { OpenEngine } from '../../../worker/engine/engine.ts';
import { virtualClock } from '../../doubles/clock.ts';
import type { VirtualClock } from '../../doubles/clock.ts';
import { chanceFrom } from '../../models/chance.ts';
import { aWorker, chat } from '../../worker/a-worker.ts';
import type { TestWorker } from '../../worker/a-worker.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
folder.random('m.gguf');
afterAll(() => folder[Symbol.dispose]());

const pids: number[] = [];
/** Steps until the engine is killed. */
let stepsLeft = Infinity;
const open = llamaEngines({
  env: process.env,
  onStep: () => {
    stepsLeft -= 1;
    if (stepsLeft === 0) process.kill(pids.at(-1) ?? 0, 'SIGKILL');
  },
});

async function started(clock: VirtualClock): Promise<TestWorker> {
  const remembering: OpenEngine = async (options, signal) => {
    const engine = await open(options, signal);
    pids.push(engine.pid);
    return engine;
  };
  return aWorker({ modelsDir: dirname(folder.path('m.gguf')), open: remembering, clock });
}

async function ended(worker: TestWorker, clock: VirtualClock): Promise<void> {
  const drained = worker[Symbol.asyncDispose]();
  await clock.advance(5_000);
  await drained;
}

const stream = chat('ba be bi', { stream: true });
const short = { body: chat('ba', { max_tokens: 3 }) };

test('a frozen engine is out of rotation after 15 s without a step, and killed and replaced after 30 s', async () => {
  const clock = virtualClock(Date.now());
  const worker = await started(clock);
  const { begin, call, announcement } = worker;
  const running = begin({ body: stream });
  await running.until('"content":"');
  const frozen = pids.at(-1) ?? 0;
  process.kill(frozen, 'SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 50)); // what it said before has arrived
  await clock.advance(14_000);
  expect(announcement().state).toBe('ready');
  await clock.advance(2_000);
  expect(announcement().state).toBe('stalled');
  expect((await call()).headers['berth-not-started']).toBe('busy');
  await clock.advance(15_000);
  const { settlement, refusal } = await running.answer;
  expect([settlement, refusal?.outcome]).toEqual([null, 'engine_died']);
  expect(() => process.kill(frozen, 0)).toThrow('ESRCH');
  await clock.advance(2_000);
  expect(announcement().state).toBe('ready');
  expect((await call(short)).status).toBe(200);
  expect(pids.at(-1)).not.toBe(frozen);
  await ended(worker, clock);
});

test('an engine killed at steps by chance, again and again: each request ends with an explicit error', async () => {
  const clock = virtualClock(Date.now());
  const worker = await started(clock);
  const chance = chanceFrom(20_261_126);
  for (let round = 0; round < 3; round += 1) {
    expect((await worker.call(short)).status).toBe(200);
    const killed = pids.at(-1);
    stepsLeft = chance.between(1, 60);
    const runs = Array.from({ length: chance.between(1, 4) }, () => worker.begin({ body: stream }));
    for (const { answer } of runs) {
      const { status, headers, settlement, refusal } = await answer;
      expect(settlement).toBeNull();
      const early = status === 200 ? refusal : decodeRefusal(String(headers[refusalHeader] ?? ''));
      expect(early?.outcome).toBe('engine_died');
    }
    await clock.advance(31_000); // deaths in a row are backed off, up to 30 s
    expect((await worker.call(short)).status).toBe(200);
    expect(pids.at(-1)).not.toBe(killed);
  }
  await ended(worker, clock);
});
