// Whole pools on virtual time, with faults from a seed: what must hold is looked at whenever something happens.
import { expect, test } from 'vitest';
import { drawPlan } from './plan.ts';
import { runSeed } from './world.ts';

/** Bounded by both, so that a busy machine runs fewer and a nightly run many more. */
const seedsMax = Number(process.env['SIM_SEEDS'] ?? 2_000);
const withinMs = Number(process.env['SIM_SECONDS'] ?? 15) * 1_000;
const firstSeed = Number(process.env['SIM_FROM'] ?? 1);

test(
  'pools survive what a seed does to them',
  async () => {
    const endMs = performance.now() + withinMs;
    const failures: string[] = [];
    let seeds = 0;
    let events = 0;
    while (seeds < seedsMax && performance.now() < endMs && failures.length === 0) {
      const report = await runSeed(firstSeed + seeds);
      seeds += 1;
      events += report.events;
      failures.push(...report.failures.map((failure) => `SEED=${report.seed} npm run sim: ${failure}`));
    }
    console.log(`simulation: ${seeds} seeds from ${firstSeed}, ${events} events`);
    expect(failures).toEqual([]);
    expect(seeds).toBeGreaterThan(0);
  },
  withinMs + 60_000,
);

test('a seed replays bit for bit', async () => {
  const [once, again, other] = [await runSeed(7), await runSeed(7), await runSeed(8)];
  expect(again.hash).toBe(once.hash);
  expect(again.events).toBe(once.events);
  expect(other.hash).not.toBe(once.hash);
});

test('every seed has three gateways, two hundred requests and three faults at least; all kinds of fault are drawn', () => {
  const plans = Array.from({ length: 300 }, (_, seed) => drawPlan(seed + 1));
  expect(Math.min(...plans.map(({ gateways }) => gateways))).toBeGreaterThanOrEqual(3);
  expect(Math.min(...plans.map(({ load }) => load.length))).toBeGreaterThanOrEqual(200);
  expect(Math.min(...plans.map(({ faults }) => faults.length))).toBeGreaterThanOrEqual(3);
  const kinds = Map.groupBy(
    plans.flatMap(({ faults }) => faults),
    ({ kind }) => kind,
  );
  expect([...kinds.values()].filter((faults) => faults.length < 20)).toEqual([]);
  expect(kinds.size).toBe(15);
  for (const odd of ['poison', 'abortMs', 'stallMs', 'patienceMs'] as const) {
    expect(plans.filter(({ load }) => load.some((work) => Boolean(work[odd]))).length).toBeGreaterThan(100);
  }
});

test('most requests of a seed end well', async () => {
  const { stories, counts, events } = await runSeed(3);
  expect(stories.length).toBeGreaterThanOrEqual(200);
  expect(counts.get('ended ok')).toBeGreaterThan(100);
  expect(events).toBeGreaterThan(2_000);
});
