// A new request starts from the sequence that knows most of its prompt, inside its scope only.
import { expect, test } from 'vitest';
import { chooseSequence, commonPrefix } from '../../../worker/engine/llama/prefix.ts';
import type { CachedSequence } from '../../../worker/engine/llama/prefix.ts';

const aSequence = (index: number, tokens: number[], more: Partial<CachedSequence> = {}): CachedSequence => ({
  index,
  scope: 'team',
  tokens,
  usedAt: index,
  ...more,
});
const anEmpty = (index: number) => aSequence(index, [], { scope: null });
const upTo = (length: number, from = 0) => Array.from({ length }, (_, index) => from + index);
const chosen = (idle: CachedSequence[], prompt: number[], busy: CachedSequence[] = []) => {
  const choice = chooseSequence(idle, busy, 'team', prompt, 2048);
  return choice && { index: choice.sequence.index, reuse: choice.reuse, copyFrom: choice.copyFrom?.index ?? null };
};

test('takes the longest common prefix', () => {
  const idle = [aSequence(0, [1, 2, 9]), aSequence(1, [1, 2, 3, 9])];
  expect(chosen(idle, [1, 2, 3, 4])).toEqual({ index: 1, reuse: 3, copyFrom: null });
});

test('never reuses the whole prompt: its last token gives the first logits', () => {
  expect(chosen([aSequence(0, [1, 2, 3])], [1, 2, 3])).toMatchObject({ index: 0, reuse: 2 });
  expect(commonPrefix([7], [7])).toBe(0);
});

test('never reuses or copies what another scope has filled', () => {
  const theirs = aSequence(0, upTo(500), { scope: 'other' });
  expect(chosen([theirs], upTo(500))).toEqual({ index: 0, reuse: 0, copyFrom: null });
  expect(chosen([anEmpty(1)], upTo(500), [theirs])).toEqual({ index: 1, reuse: 0, copyFrom: null });
});

test('prefers an empty sequence to destroying one for a few common tokens', () => {
  expect(chosen([aSequence(0, [0, 1, 99]), anEmpty(1)], upTo(40))).toEqual({ index: 1, reuse: 0, copyFrom: null });
});

test('takes the least recently used when nothing matches', () => {
  const idle = [aSequence(0, [5], { usedAt: 9 }), aSequence(1, [6], { usedAt: 4 })];
  expect(chosen(idle, [1, 2, 3])).toMatchObject({ index: 1, reuse: 0 });
});

test('copies the beginning of a busy sequence', () => {
  expect(chosen([anEmpty(1)], upTo(300), [aSequence(0, upTo(280))])).toEqual({ index: 1, reuse: 280, copyFrom: 0 });
});

test('copies rather than cutting off another conversation’s long tail', () => {
  const other = aSequence(0, [...upTo(200), ...upTo(900, 5000)]);
  expect(chosen([other, anEmpty(1)], upTo(260))).toEqual({ index: 1, reuse: 200, copyFrom: 0 });
  expect(chosen([other], upTo(260))).toEqual({ index: 0, reuse: 200, copyFrom: null });
});

test('does not copy for a small gain', () => {
  expect(chosen([anEmpty(1)], upTo(30), [aSequence(0, upTo(20))])).toEqual({ index: 1, reuse: 0, copyFrom: null });
  const idle = [aSequence(1, upTo(270))];
  expect(chosen(idle, upTo(300), [aSequence(0, upTo(280))])).toEqual({ index: 1, reuse: 270, copyFrom: null });
});

test('finds none when none is idle', () => {
  expect(chosen([], [1], [aSequence(0, [1])])).toBeNull();
});
