// Retries add a tenth to the load, and one a second, however long an outage lasts.
import { describe, expect, it } from 'vitest';
import { createRetryBudget } from '../../gateway/retry-budget.ts';
import { virtualClock } from '../doubles/clock.ts';

function spendAll(budget: { spend(): boolean }): number {
  let spent = 0;
  while (budget.spend()) spent += 1;
  return spent;
}

describe('the retry budget', () => {
  it('has some in the beginning, and no more', () => {
    expect(spendAll(createRetryBudget(virtualClock()))).toBe(20);
  });

  it('earns one with ten requests', () => {
    const budget = createRetryBudget(virtualClock());
    spendAll(budget);
    for (let request = 0; request < 9; request += 1) budget.earn();
    expect(budget.spend()).toBe(false);
    budget.earn();
    budget.earn();
    expect(spendAll(budget)).toBe(1);
  });

  it('earns one in a second', async () => {
    const clock = virtualClock();
    const budget = createRetryBudget(clock);
    spendAll(budget);
    await clock.advance(900);
    expect(budget.spend()).toBe(false);
    await clock.advance(2_200);
    expect(spendAll(budget)).toBe(3);
  });

  it('saves up no more than it began with', async () => {
    const clock = virtualClock();
    const budget = createRetryBudget(clock);
    for (let request = 0; request < 10_000; request += 1) budget.earn();
    await clock.advance(10 ** 7);
    expect(spendAll(budget)).toBe(20);
  });
});
