// What time it is on the ledger's clock, from answers that took their time.
import { expect, it } from 'vitest';
import { createLedgerClock } from '../../gateway/ledger-clock.ts';

it('knows nothing before the ledger said something', () => {
  expect(createLedgerClock().sinceMs(0, 5)).toBeNull();
});

it('takes the middle of the way there and back for the moment of the answer', () => {
  const clock = createLedgerClock();
  clock.heard(1_000_000, 100, 120);
  expect(clock.sinceMs(1_000_000, 113)).toBe(3);
});

it('believes the quickest answer of the last minute, and after it a newer one', () => {
  const clock = createLedgerClock();
  clock.heard(1_000_000, 0, 2);
  clock.heard(1_001_040, 1_000, 1_100);
  expect(clock.sinceMs(1_001_000, 1_001)).toBe(0);
  clock.heard(1_061_060, 61_000, 61_100);
  expect(clock.sinceMs(1_061_000, 61_050)).toBe(60);
});

it('believes at once what the quickest answer cannot explain: a clock was set anew', () => {
  const clock = createLedgerClock();
  clock.heard(1_000_000, 0, 2);
  clock.heard(5_000, 1_000, 1_040);
  expect(clock.sinceMs(5_000, 1_020)).toBe(0);
});

it('never tells of the future', () => {
  const clock = createLedgerClock();
  clock.heard(1_000, 0, 0);
  expect(clock.sinceMs(2_000, 0)).toBe(0);
});
