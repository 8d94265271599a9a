// What a worker tells of its own speed.
import { expect, it } from 'vitest';
import { virtualClock } from '../doubles/clock.ts';
import { aSettlement } from '../doubles/fake-worker.ts';
import { createPace } from '../../worker/pace.ts';

const answered = (tokens: number, decodeMs: number) => ({ ...aSettlement, outputTokens: tokens, decodeMs });

it('a load is expected as measured, and for another model by its size', () => {
  const pace = createPace(virtualClock());
  expect(pace.loadMs('m', 1_000)).toBeNull();
  pace.loaded('m', 2_000, 1_000_000);
  expect([pace.loadMs('m', 1_000_000), pace.loadMs('n', 3_000_000)]).toEqual([2_000, 6_000]);
});

it('an answer tells the speed, unless it is too short to', () => {
  const pace = createPace(virtualClock());
  pace.settled('m', answered(3, 1), 1e9);
  expect([pace.tokensPerS('m'), pace.speed()]).toEqual([null, null]);
  pace.settled('m', answered(100, 2_000), 1e9);
  expect([pace.tokensPerS('m'), pace.speed()]).toEqual([50, 50_000]);
});

it('a machine that is slow for a moment has not become another one', () => {
  const pace = createPace(virtualClock());
  for (let turn = 0; turn < 10; turn += 1) pace.settled('m', answered(100, 1_000), 1e6);
  pace.settled('m', answered(100, 10_000), 1e6);
  expect(pace.speed()).toBeGreaterThan(90);
});

it('use is averaged over about a minute', async () => {
  const clock = virtualClock();
  const pace = createPace(clock);
  const use = async (seconds: number, users: number) => {
    for (let turn = 0; turn < seconds; turn += 1) {
      await clock.advance(1_000);
      pace.sampled(new Map([['m', users]]));
    }
  };
  await use(300, 2);
  expect(pace.heat('m')).toBe(2);
  await use(60, 0);
  expect(pace.heat('m')).toBeCloseTo(0.7, 1);
});
