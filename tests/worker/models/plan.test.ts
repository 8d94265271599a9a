// The decisions of residency and of its back-off, without any effect.
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterDeath, afterFailedLoad, afterLoad, holding } from '../../../worker/models/failures.ts';
import { nextStep } from '../../../worker/models/plan.ts';
import type { ResidentState } from '../../../worker/models/plan.ts';

const aResident = (name: string, state: Partial<ResidentState> = {}): ResidentState => ({
  name,
  phase: 'ready',
  users: 0,
  lastUsedMs: 0,
  withdrawn: false,
  fresh: false,
  pinned: false,
  memoryBytes: 0,
  worthMs: 0,
  ...state,
});

describe('the next step', () => {
  it('is none while something loads or unloads', () => {
    expect(nextStep([aResident('a', { phase: 'loading' })], ['b'], 3)).toEqual({ kind: 'none' });
    expect(nextStep([aResident('a', { phase: 'closing' })], ['b'], 3)).toEqual({ kind: 'none' });
  });

  it('is none when nobody waits, however full it is', () => {
    expect(nextStep([aResident('a'), aResident('b')], [], 1)).toEqual({ kind: 'none' });
  });

  it('loads what was wanted first while there is room', () => {
    expect(nextStep([aResident('a', { users: 1 })], ['c', 'b'], 2)).toEqual({ kind: 'load', name: 'c' });
  });

  it('never lets a pinned model make room, though it be told so', () => {
    const pinned = aResident('a', { pinned: true });
    expect(nextStep([pinned], ['b'], 1)).toEqual({ kind: 'none' });
    expect(nextStep([pinned, aResident('c', { lastUsedMs: 9 })], ['b'], 2, 'a')).toEqual({ kind: 'unload', name: 'c' });
    expect(nextStep([pinned, aResident('c', { users: 1 })], ['b'], 2)).toEqual({ kind: 'withdraw', name: 'c' });
  });

  it('unloads the idle model that was unused for longest', () => {
    const residents = [
      aResident('a', { lastUsedMs: 5 }),
      aResident('b', { lastUsedMs: 3 }),
      aResident('c', { users: 1 }),
    ];
    expect(nextStep(residents, ['d'], 3)).toEqual({ kind: 'unload', name: 'b' });
  });

  it('withdraws the model with the fewest requests when all are busy, and then waits for it', () => {
    const a = aResident('a', { users: 2, lastUsedMs: 1 });
    const b = aResident('b', { users: 1, lastUsedMs: 9 });
    expect(nextStep([a, b], ['c'], 2)).toEqual({ kind: 'withdraw', name: 'b' });
    expect(nextStep([a, { ...b, withdrawn: true }], ['c'], 2)).toEqual({ kind: 'none' });
  });

  it('leaves a model alone that was loaded by order and has not been used yet', () => {
    const fresh = aResident('a', { fresh: true });
    expect(nextStep([fresh], ['b'], 1)).toEqual({ kind: 'none' });
    expect(nextStep([fresh, aResident('c', { users: 3 })], ['b'], 2)).toEqual({ kind: 'withdraw', name: 'c' });
  });

  it('never unloads a busy or a pinned model, whoever says so', () => {
    const resident = fc.record({
      name: fc.constantFrom('a', 'b', 'c', 'd'),
      phase: fc.constantFrom('ready' as const, 'loading' as const, 'closing' as const),
      users: fc.nat(3),
      lastUsedMs: fc.nat(9),
      withdrawn: fc.boolean(),
      fresh: fc.boolean(),
      pinned: fc.boolean(),
      memoryBytes: fc.nat(5),
      worthMs: fc.nat(5),
    });
    const residents = fc.uniqueArray(resident, { selector: ({ name }) => name });
    fc.assert(
      fc.property(
        residents,
        fc.array(fc.constantFrom('x', 'y')),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom('a', 'b', ''),
        fc.nat(9),
        (has, wants, most, victim, lacking) => {
          const step = nextStep(has, wants, most, victim, lacking);
          const its = has.find(({ name }) => step.kind !== 'none' && name === step.name);
          if (step.kind === 'unload') expect(its).toMatchObject({ users: 0, pinned: false });
          if (step.kind === 'withdraw') expect(its?.pinned).toBe(false);
          if (step.kind === 'load') expect(has.length).toBeLessThan(most);
        },
      ),
    );
  });
});

describe('a model that failed', () => {
  it('backs off its loads 5 s, 10 s, 20 s, up to 10 minutes', () => {
    let failure = afterFailedLoad(undefined, 'v1', 'why', 0);
    const waits = [failure.untilMs];
    for (let round = 0; round < 9; round += 1) {
      failure = afterFailedLoad(failure, 'v1', 'why', 0);
      waits.push(failure.untilMs);
    }
    expect(waits).toEqual([5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000, 600_000]);
  });

  it('is tried again when its time is over, or at once when its file changed', () => {
    const failure = afterFailedLoad(undefined, 'v1', 'why', 0);
    expect(holding(failure, 'v1', 4_999)).toBe(failure);
    expect(holding(failure, 'v1', 5_000)).toBeNull();
    expect(holding(failure, 'v2', 0)).toBeNull();
  });

  it('may die once for nothing, then backs off 1 s, 2 s, 4 s, up to 30 s', () => {
    let failure = afterDeath(undefined, 'v1', 100, 0);
    const waits = [failure.untilMs];
    for (let round = 0; round < 6; round += 1) {
      failure = afterDeath(afterLoad(failure), 'v1', 100, 0);
      waits.push(failure.untilMs);
    }
    expect(waits).toEqual([0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
  });

  it('starts anew when it has lived for a minute', () => {
    const often = afterDeath(afterDeath(undefined, 'v1', 100, 0), 'v1', 100, 0);
    expect(afterDeath(often, 'v1', 60_000, 0)).toMatchObject({ deaths: 1, untilMs: 0 });
  });
});
