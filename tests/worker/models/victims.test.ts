// The rule by which idle models go: the least worth that frees enough, and no more than are needed.
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { noHabit, used, victimsAmong, worthOf } from '../../../worker/models/victims.ts';
import type { Candidate } from '../../../worker/models/victims.ts';

const minuteMs = 60_000;
const candidate = fc.record<Omit<Candidate, 'name'>>({
  memoryBytes: fc.nat(10),
  worthMs: fc.nat(10),
  lastUsedMs: fc.nat(10),
});
const idle = fc.array(candidate, { maxLength: 7 }).map((all) => all.map((each, at) => ({ ...each, name: `m${at}` })));
const sum = (all: readonly Candidate[]) => all.reduce((bytes, { memoryBytes }) => bytes + memoryBytes, 0);

it('frees enough whenever all of them together would, and never spares one that is needed for that', () => {
  fc.assert(
    fc.property(idle, fc.nat(40), (models, needed) => {
      const victims = victimsAmong(models, needed);
      expect(victims === null).toBe(models.length === 0 || sum(models) < needed);
      expect(sum(victims ?? [])).toBeGreaterThanOrEqual(victims === null ? 0 : needed);
    }),
  );
});

it('lets nobody go who was not needed', () => {
  fc.assert(
    fc.property(idle, fc.integer({ min: 1, max: 40 }), (models, needed) => {
      const victims = victimsAmong(models, needed) ?? [];
      for (const spared of victims) expect(sum(victims) - spared.memoryBytes).toBeLessThan(needed);
    }),
  );
});

it('takes one alone where one is enough: the one that is worth least, of equals the one unused for longest', () => {
  fc.assert(
    fc.property(idle, fc.nat(10), (models, needed) => {
      const enough = models.filter(({ memoryBytes }) => memoryBytes >= needed);
      if (enough.length === 0) return;
      const [victim, ...others] = victimsAmong(models, needed) ?? [];
      expect(others).toEqual([]);
      for (const { worthMs, lastUsedMs } of enough) {
        const order = [victim?.worthMs ?? 0, victim?.lastUsedMs ?? 0];
        expect(order[0]! < worthMs || (order[0] === worthMs && order[1]! <= lastUsedMs)).toBe(true);
      }
    }),
  );
});

it('worth is the time of a load times the use of late, which halves in ten minutes', () => {
  const once = { ...used(noHabit, 0), loadMs: 4_000 };
  expect(worthOf(once, 0)).toBe(4_000);
  expect(worthOf(once, 10 * minuteMs)).toBe(2_000);
  expect(worthOf(used(once, 10 * minuteMs), 10 * minuteMs)).toBe(6_000);
  // What loads in no time is told apart by use.
  expect(worthOf(used(noHabit, 0), 0)).toBe(1);
});

it('a small model that is used much outlives a large one that is used seldom, and the other way round', () => {
  const at = (loadMs: number, uses: number, name: string): Candidate => {
    let habit = { ...noHabit, loadMs };
    for (let turn = 0; turn < uses; turn += 1) habit = used(habit, 0);
    return { name, memoryBytes: 1, worthMs: worthOf(habit, 0), lastUsedMs: 0 };
  };
  expect(victimsAmong([at(1_000, 60, 'small'), at(30_000, 1, 'large')], 0)).toMatchObject([{ name: 'large' }]);
  expect(victimsAmong([at(1_000, 20, 'small'), at(30_000, 1, 'large')], 0)).toMatchObject([{ name: 'small' }]);
});
