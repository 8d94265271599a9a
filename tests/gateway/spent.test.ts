// The stages of a request's time are a partition of it.
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { spentMs } from '../../gateway/spent.ts';

const settlement = {
  finish: 'stop',
  promptTokens: 1,
  cachedTokens: 0,
  outputTokens: 1,
  ttftMs: 1,
  loadMs: 30,
  prefillMs: 20,
  decodeMs: 40,
} as const;

it('tells each stage of a request that was answered', () => {
  const record = { understoodMs: 102, ledgerMs: 3, coldMs: 0, seatedMs: 125, settlement };
  expect(spentMs(record, 100, 225)).toEqual({
    intake: 2,
    ledger: 3,
    queue: 20,
    load: 30,
    prefill: 20,
    decode: 40,
    delivery: 10,
  });
});

it('tells the wait for a model that nobody serves as its load, and only the rest of the wait as queue', () => {
  const record = { understoodMs: 100, ledgerMs: 3, coldMs: 15, seatedMs: 123, settlement };
  // Of the 30 ms that the worker tells, 15 were over before the slot was there.
  expect(spentMs(record, 100, 208)).toMatchObject({ ledger: 3, queue: 5, load: 30, delivery: 10 });
  const inVain = spentMs({ ...record, coldMs: 1_000, seatedMs: null, settlement: null }, 100, 200);
  expect(inVain).toMatchObject({ ledger: 3, queue: 0, load: 97, delivery: 0 });
  // Loaded before anybody asked: what the worker tells is not taken from the prefill and the decoding.
  const preloaded = { ...record, coldMs: 0, settlement: { ...settlement, loadMs: 1_000 } };
  expect(spentMs(preloaded, 100, 188)).toMatchObject({ queue: 20, load: 5, prefill: 20, decode: 40, delivery: 0 });
});

it('of a request that got no slot tells the queue, and of one that was not understood the intake', () => {
  const nowhere = { coldMs: 0, seatedMs: null, settlement: null };
  const waited = spentMs({ ...nowhere, understoodMs: 101, ledgerMs: 4 }, 100, 200);
  expect([waited.intake, waited.ledger, waited.queue, waited.delivery]).toEqual([1, 4, 95, 0]);
  expect(spentMs({ ...nowhere, understoodMs: null, ledgerMs: 0 }, 100, 200).intake).toBe(100);
});

it('adds up to the whole time, whatever a worker claims', () => {
  const ms = fc.double({ min: 0, max: 1e6, noNaN: true });
  const claimed = fc.double({ min: -1e3, max: 1e9, noNaN: true });
  const five = fc.tuple(ms, ms, ms, ms, ms);
  const told = fc.record({ loadMs: claimed, prefillMs: claimed, decodeMs: claimed });
  fc.assert(
    fc.property(five, told, ([a, b, c, ledgerMs, coldMs], times) => {
      const record = { understoodMs: a, ledgerMs, coldMs, seatedMs: a + b, settlement: { ...settlement, ...times } };
      const spent = Object.values(spentMs(record, 0, a + b + c));
      expect(Math.min(...spent)).toBeGreaterThanOrEqual(0);
      expect(spent.reduce((sum, each) => sum + each, 0)).toBeCloseTo(a + b + c, 3);
    }),
  );
});
