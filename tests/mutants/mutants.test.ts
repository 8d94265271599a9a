// Six planted faults that the tests must notice; `npm run mutants` plants them all.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { applies, openCopy, readMutants, type Copy } from './copy.ts';

/** Of Lua, the guard, the order and the gateway, noticed by directed tests and by the simulation. */
const six = [
  'beat-never-drops',
  'grants-to-the-deaf',
  'guard-off-by-one',
  'lost-tickets-stay-lost',
  'models-before-keys',
  'no-retry-after-a-death',
];

const mutants = await readMutants();
let copy: Copy;
beforeAll(async () => {
  copy = await openCopy();
});
afterAll(() => copy[Symbol.asyncDispose]());

test('there are at least 25 mutants, and each patch fits to the program', () => {
  expect(mutants.length).toBeGreaterThanOrEqual(25);
  expect(mutants.filter((mutant) => !applies(mutant)).map(({ name }) => name)).toEqual([]);
});

test.each(six)('%s is noticed', { timeout: 120_000 }, async (name) => {
  const mutant = mutants.find((mutant) => mutant.name === name);
  if (mutant === undefined) throw new Error(`there is no mutant ${name}`);
  expect((await copy.judge(mutant)).fate).toBe('killed');
});
