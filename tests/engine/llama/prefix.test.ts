// A new request takes the idle sequence that knows most of its prompt, inside its scope only.
import { expect, test } from 'vitest';
import { chooseSequence, commonPrefix } from '../../../worker/engine/llama/prefix.ts';
import type { IdleSequence } from '../../../worker/engine/llama/prefix.ts';

const aSequence = (index: number, tokens: number[], more: Partial<IdleSequence> = {}): IdleSequence => ({
  index,
  scope: 'team',
  tokens,
  usedAt: index,
  ...more,
});
const chosen = (idle: IdleSequence[], prompt: number[]) => {
  const choice = chooseSequence(idle, 'team', prompt);
  return choice && { index: choice.sequence.index, reuse: choice.reuse };
};

test('takes the longest common prefix', () => {
  expect(chosen([aSequence(0, [1, 2, 9]), aSequence(1, [1, 2, 3, 9])], [1, 2, 3, 4])).toEqual({ index: 1, reuse: 3 });
});

test('never reuses the whole prompt: its last token gives the first logits', () => {
  expect(chosen([aSequence(0, [1, 2, 3, 4, 5])], [1, 2, 3])).toEqual({ index: 0, reuse: 2 });
  expect(commonPrefix([7], [7])).toBe(0);
});

test('never reuses what another scope has filled', () => {
  expect(chosen([aSequence(0, [1, 2, 3], { scope: 'other' })], [1, 2, 3])).toEqual({ index: 0, reuse: 0 });
});

test('prefers an empty sequence to destroying one for a few common tokens', () => {
  const prompt = Array.from({ length: 40 }, (_, index) => index);
  expect(chosen([aSequence(0, [0, 1, 99]), aSequence(1, [], { scope: null })], prompt)).toEqual({ index: 1, reuse: 0 });
});

test('takes the least recently used when nothing matches', () => {
  const idle = [aSequence(0, [5], { usedAt: 9 }), aSequence(1, [6], { usedAt: 4 })];
  expect(chosen(idle, [1, 2, 3])).toEqual({ index: 1, reuse: 0 });
});

test('finds none among none', () => {
  expect(chosen([], [1])).toBeNull();
});
