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
  const record = { understoodMs: 102, ledgerMs: 3, seatedMs: 125, settlement };
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

it('of a request that got no slot tells the queue, and of one that was not understood the intake', () => {
  const waited = spentMs({ understoodMs: 101, ledgerMs: 4, seatedMs: null, settlement: null }, 100, 200);
  expect([waited.intake, waited.ledger, waited.queue, waited.delivery]).toEqual([1, 4, 95, 0]);
  expect(spentMs({ understoodMs: null, ledgerMs: 0, seatedMs: null, settlement: null }, 100, 200).intake).toBe(100);
});

it('adds up to the whole time, whatever a worker claims', () => {
  const ms = fc.double({ min: 0, max: 1e6, noNaN: true });
  const claimed = fc.double({ min: -1e3, max: 1e9, noNaN: true });
  fc.assert(
    fc.property(ms, ms, ms, ms, claimed, claimed, claimed, (a, b, c, ledgerMs, loadMs, prefillMs, decodeMs) => {
      const told = { ...settlement, loadMs, prefillMs, decodeMs };
      const record = { understoodMs: a, ledgerMs, seatedMs: a + b, settlement: told };
      const spent = Object.values(spentMs(record, 0, a + b + c));
      expect(Math.min(...spent)).toBeGreaterThanOrEqual(0);
      expect(spent.reduce((sum, each) => sum + each, 0)).toBeCloseTo(a + b + c, 3);
    }),
  );
});
