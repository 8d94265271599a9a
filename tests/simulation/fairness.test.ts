// Fair order, in numbers: who got how much and who waited how long, on pools without faults.
import { expect, test } from 'vitest';
import {
  aWorker,
  fairPlan,
  jain,
  meanGapMs,
  nextRelease,
  percentile,
  releases,
  seenGapMs,
  sharesOf,
  staysOf,
  type FairSettings,
  type Stay,
  type Stream,
} from './fair.ts';
import { runPlan } from './world.ts';

const untilMs = 60_000;
/** The first seconds fill the queue. */
const fullMs = 10_000;

async function run(some: Omit<FairSettings, 'seed'>): Promise<Stay[]> {
  const report = await runPlan(1, fairPlan({ seed: 1, ...some }));
  expect(report.failures).toEqual([]);
  return staysOf(report.stories);
}

const p95 = (stays: readonly Stay[]) =>
  percentile(
    stays.map(({ waitMs }) => waitMs),
    0.95,
  );
const ofKey = (stays: readonly Stay[], key: string) => stays.filter(({ story }) => story.work.key === key);
const ofModel = (stays: readonly Stay[], model: string) => stays.filter(({ story }) => story.work.model === model);
const round = (ms: number) => Math.round(ms);

const twoWorkers = [aWorker({ id: 'w1' }), aWorker({ id: 'w2' })];
/** Ten teams of which each asks for half as much again as its share of eight slots; the first for ten times that. */
const demand = (at: number) => (at === 0 ? 12 : 1.2);

test.each([
  ['equal requests', 1_000, {}],
  ['requests of the greedy team four times as long', 4_000, {}],
  ['a team of weight 3', 1_000, { 'team-2': 3 }],
])(
  'ten backlogged teams, one of which asks ten times as often, get their shares: %s',
  async (what, greedyMs, weights) => {
    const streams = Array.from({ length: 10 }, (_, at) => ({
      team: `team-${at + 1}`,
      key: 'key',
      perS: demand(at) * (`team-${at + 1}` in weights ? 3 : 1),
      untilMs,
      meanMs: at === 0 ? greedyMs : 1_000,
    }));
    const stays = await run({ workers: twoWorkers, streams, weights });
    const shares = sharesOf(stays, fullMs, untilMs);
    const weightOf = (team: string) => (weights as Record<string, number>)[team] ?? 1;
    const normalised = streams.map(({ team }) => (shares.get(team) ?? 0) / weightOf(team));
    console.log(
      `fairness, ${what}: Jain ${jain(normalised).toFixed(3)}, slot-seconds ${[...shares.values()].map(round).join(' ')}`,
    );
    expect(jain(normalised)).toBeGreaterThanOrEqual(0.95);
    // With one weight among ten the index alone would not notice that it is ignored.
    expect(Math.min(...normalised)).toBeGreaterThan(0.75 * Math.max(...normalised));
  },
);

const modest: Stream = { team: 'modest', key: 'modest', perS: 0.8, untilMs, meanMs: 1_000 };
const flood: Stream = { team: 'flood', key: 'flood', perS: 11, untilMs, meanMs: 1_000 };

test.each([
  ['of another team', modest, flood],
  ['of the same team', modest, { ...flood, team: 'modest' }],
])('a modest key beside a flooding key %s waits for a slot or two to be released', async (where, modest, flood) => {
  const alone = p95(await run({ workers: twoWorkers, streams: [modest] }));
  const stays = await run({ workers: twoWorkers, streams: [modest, flood] });
  const own = ofKey(stays, 'modest');
  const gapMs = seenGapMs(stays, fullMs, untilMs);
  const passed = percentile(
    own.map(({ story, fromMs }) => releases(stays, story.askedMs, fromMs)),
    0.95,
  );
  const bestMs = percentile(
    own.map(({ story }) => nextRelease(stays, story.askedMs)),
    0.95,
  );
  console.log(
    `fairness, a key beside a flood ${where}: p95 ${round(p95(own))} ms, alone ${round(alone)} ms, flood ` +
      `${round(p95(ofKey(stays, 'flood')))} ms, ${passed} releases, one every ${round(gapMs)} ms as a newcomer sees it, ${round(meanGapMs(stays, fullMs, untilMs))} ms on the clock; the very next release would have been ${round(bestMs)} ms`,
  );
  expect(passed).toBeLessThanOrEqual(2);
  // No order can serve anybody before a slot comes free, so this one is as good as any.
  expect(p95(own)).toBeLessThanOrEqual(1.05 * bestMs + 5);
  expect(p95(own)).toBeLessThanOrEqual(Math.max(2 * alone, alone + 2 * gapMs));
});

test.each([
  ['of another team', 'other'],
  ['of the flooding team', 'flood'],
])(
  'who asks for a rare model %s waits for the next slots of its one worker, whatever the flood',
  async (where, team) => {
    const workers = [aWorker({ id: 'w1' }), aWorker({ id: 'w2', slots: 2, serves: ['hot', 'rare'] })];
    const rare: Stream = { team, key: 'rare', model: 'rare', perS: 0.3, untilMs, meanMs: 1_000 };
    const stays = await run({ workers, streams: [rare, flood] });
    const own = ofModel(stays, 'rare');
    const there = stays.filter(({ story }) => story.starts[0]?.worker.settings.id === 'w2');
    const passed = percentile(
      own.map(({ story, fromMs }) => releases(there, story.askedMs, fromMs)),
      0.95,
    );
    const gapMs = seenGapMs(there, fullMs, untilMs);
    console.log(
      `fairness, a rare model ${where}: p95 ${round(p95(own))} ms, flood ${round(p95(ofModel(stays, 'hot')))} ms, ` +
        `${passed} releases, one every ${round(gapMs)} ms`,
    );
    expect(passed).toBeLessThanOrEqual(2);
    expect(p95(own)).toBeLessThanOrEqual(2 * gapMs);
  },
);
