// Cold models on simulated pools: how long who asks for one waits, and that one worker loads it.
import { expect, test } from 'vitest';
import { patienceMsMin } from '../../gateway/placement/load.ts';
import { sessionEveryMs } from '../../gateway/session.ts';
import { beatEveryMs } from '../../worker/announce.ts';
import { turnMsOf } from '../../worker/models/entry.ts';
import { aWorker, fairPlan, percentile, staysOf } from './fair.ts';
import { drawPlan } from './plan.ts';
import { runPlan } from './world.ts';

const loadMs = 2_000;
const meanMs = 1_000;
/** SEEDS=n for a longer run. */
const seeds = Number(process.env['SEEDS'] ?? 6);
const longestMs = 1.5 * meanMs;
/** The turn of the victim, its longest stream, the load, and each message by the slowest way. */
const boundMs = turnMsOf(loadMs) + longestMs + loadMs + sessionEveryMs + 2 * beatEveryMs;

test('who asks for a cold model beside a flood that fills every worker gets it within its bound', async () => {
  const loads = { loadedMax: 1, loadMs };
  const workers = ['w1', 'w2'].map((id) => aWorker({ id, serves: ['hot', 'rare'], loads }));
  const flood = { team: 'flood', key: 'flood', perS: 16, untilMs: 90_000, meanMs };
  const newcomer = { team: 'modest', key: 'modest', model: 'rare', perS: 0.1, fromMs: 20_000, untilMs: 87_000, meanMs };
  const report = await runPlan(1, fairPlan({ seed: 1, workers, streams: [flood, newcomer] }));
  expect(report.failures).toEqual([]);
  const asked = report.stories.filter(({ work }) => work.model === 'rare' && work.atMs < 90_000 - boundMs);
  const stays = staysOf(asked);
  expect([stays.length, asked.length >= 4]).toEqual([asked.length, true]);
  const most = Math.max(...stays.map(({ waitMs }) => waitMs));
  console.log(`cold: ${stays.length} newcomers waited at most ${Math.round(most)} ms of ${boundMs} ms`);
  expect(most).toBeLessThanOrEqual(boundMs);
  expect(most).toBeGreaterThan(patienceMsMin);
});

test('a cold model that many gateways want at once is loaded by one worker at a time, and then by others that have room', async () => {
  const now = new Map<string, number>();
  const most = { atOnce: 0, ever: 0 };
  const hear = (model: string, what: 'begins' | 'ends'): void => {
    now.set(model, (now.get(model) ?? 0) + (what === 'begins' ? 1 : -1));
    most.atOnce = Math.max(most.atOnce, now.get(model) ?? 0);
    if (what === 'begins') most.ever += 1;
  };
  const loads = { loadedMax: 1, loadMs, hear };
  const workers = ['w1', 'w2', 'w3', 'w4'].map((id) => aWorker({ id, slots: 2, serves: ['rare'], loads }));
  const streams = [{ team: 'a', key: 'a', model: 'rare', perS: 10, untilMs: 20_000, meanMs }];
  const report = await runPlan(1, fairPlan({ seed: 1, workers, streams }));
  expect(report.failures).toEqual([]);
  expect(most).toEqual({ atOnce: 1, ever: 4 });
  expect(
    percentile(
      staysOf(report.stories).map(({ waitMs }) => waitMs),
      0,
    ),
  ).toBeLessThan(loadMs + 1_000);
});

test('pools whose workers load by orders survive what a seed does to them', async () => {
  const loads = { loadedMax: 1, loadMs: 300 };
  for (let seed = 1; seed <= seeds; seed += 1) {
    const plan = drawPlan(seed);
    const workers = plan.workers.map((worker) => ({ ...worker, loads }));
    // Room in the queue and time: the probes at the end may have to wait until a worker that was killed has loaded again.
    const limits = { waitingMax: 512, waitingPerKeyMax: 512, queueTimeoutMs: 20_000 };
    const { failures } = await runPlan(seed, { ...plan, workers, limits });
    expect(failures.map((failure) => `seed ${seed}: ${failure}`)).toEqual([]);
  }
});
