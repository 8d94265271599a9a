// A new request starts from the sequence that knows most of its prompt, inside its scope only.
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { beginsWith, chooseSequence, commonPrefix, worthSaving } from '../../../worker/engine/llama/prefix.ts';
import type { CachedSequence, CachedTokens } from '../../../worker/engine/llama/prefix.ts';

const aSequence = (index: number, tokens: number[], more: Partial<CachedSequence> = {}): CachedSequence => ({
  index,
  scope: 'team',
  tokens,
  usedAt: index,
  ...more,
});
const anEmpty = (index: number) => aSequence(index, [], { scope: null });
const upTo = (length: number, from = 0) => Array.from({ length }, (_, index) => from + index);
const chosen = (
  idle: CachedSequence[],
  prompt: number[],
  busy: CachedSequence[] = [],
  saved: (CachedTokens & { file: string })[] = [],
) => {
  const choice = chooseSequence(idle, busy, saved, 'team', prompt, 2048);
  if (choice === null) return null;
  const { sequence, reuse, from } = choice;
  const copyFrom = from?.kind === 'copy' ? from.sequence.index : null;
  return { index: sequence.index, reuse, copyFrom, ...(from?.kind === 'file' && { file: from.saved.file }) };
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

describe('a file', () => {
  const aFile = (file: string, tokens: number[], scope = 'team') => ({ file, scope, tokens });

  test('is read when it knows more than every sequence, into the one that is worth least', () => {
    const idle = [aSequence(0, upTo(40), { usedAt: 5 }), aSequence(1, upTo(90, 700), { usedAt: 4 })];
    expect(chosen(idle, upTo(300), [], [aFile('short', upTo(60)), aFile('long', upTo(280))])).toEqual({
      index: 1,
      reuse: 280,
      copyFrom: null,
      file: 'long',
    });
  });

  test('is left where a sequence or a copy knows about as much', () => {
    const saved = [aFile('a', upTo(280))];
    expect(chosen([aSequence(0, upTo(270))], upTo(300), [], saved)).toEqual({ index: 0, reuse: 270, copyFrom: null });
    expect(chosen([anEmpty(1)], upTo(300), [aSequence(0, upTo(280))], saved)).toMatchObject({ copyFrom: 0 });
  });

  test('that is long has to gain more', () => {
    const tail = (length: number) => [aFile('a', [...upTo(100), ...upTo(length, 5000)])];
    expect(chosen([anEmpty(0)], upTo(120), [], tail(1000))).toMatchObject({ file: 'a', reuse: 100 });
    expect(chosen([anEmpty(0)], upTo(120), [], tail(20_000))).toEqual({ index: 0, reuse: 0, copyFrom: null });
  });

  test('of another scope is never read', () => {
    expect(chosen([anEmpty(0)], upTo(300), [], [aFile('a', upTo(300), 'other')])).toEqual({
      index: 0,
      reuse: 0,
      copyFrom: null,
    });
  });
});

test('whatever there is: an idle sequence is chosen, and all that is reused is the prompt’s beginning in its scope', () => {
  const scope = fc.constantFrom('team', 'other');
  // Few different tokens and a common head, so that prefixes of every length are met.
  const tokens = fc
    .tuple(fc.nat(400), fc.array(fc.nat(1), { maxLength: 80 }))
    .map(([head, tail]) => [...upTo(head), ...tail]);
  const sequences = fc
    .array(fc.record({ scope, tokens, usedAt: fc.nat(99), busy: fc.boolean() }), { maxLength: 6 })
    .map((list) => list.map((one, index) => ({ ...one, index })));
  const saved = fc.array(fc.record({ scope, tokens }), { maxLength: 4 });
  fc.assert(
    fc.property(sequences, saved, tokens, (all, files, prompt) => {
      const idle = all.filter(({ busy }) => !busy);
      const busy = all.filter((one) => one.busy);
      const choice = chooseSequence(idle, busy, files, 'team', [...prompt, 1], 512);
      if (choice === null) return idle.length === 0;
      const { sequence, reuse, from } = choice;
      const source: CachedTokens = from === null ? sequence : from.kind === 'file' ? from.saved : from.sequence;
      const mine = all.map((one) => (one.scope === 'team' ? commonPrefix(one.tokens, [...prompt, 1]) : 0));
      return (
        idle.includes(sequence) &&
        (reuse === 0 || (source.scope === 'team' && commonPrefix(source.tokens, [...prompt, 1]) >= reuse)) &&
        reuse <= prompt.length &&
        (from?.kind !== 'file' || reuse > Math.max(...mine.filter((_, index) => idle.includes(all[index]!)), 0))
      );
    }),
  );
});

describe('a sequence that is overwritten', () => {
  const cheap = { saveMs: 1, rereadMs: 1000, pauseMsMax: 100 };

  test('is worth a file when much is lost that would take long to read again', () => {
    expect(worthSaving(500, 0, cheap)).toBe(true);
    expect(worthSaving(500, 200, cheap)).toBe(true);
  });

  test('is not when little is lost', () => {
    expect(worthSaving(63, 0, cheap)).toBe(false);
    expect(worthSaving(500, 490, cheap)).toBe(false);
    expect(worthSaving(1000, 800, cheap)).toBe(false);
  });

  test('is not when writing takes about as long as reading again, or longer than anybody may wait', () => {
    expect(worthSaving(500, 0, { ...cheap, rereadMs: 3 })).toBe(false);
    expect(worthSaving(500, 0, { ...cheap, saveMs: 101 })).toBe(false);
  });

  test('is covered by what begins with it, in its scope', () => {
    expect(beginsWith(aSequence(0, [1, 2, 3]), aSequence(1, [1, 2]))).toBe(true);
    expect(beginsWith(aSequence(0, [1, 2]), aSequence(1, [1, 2, 3]))).toBe(false);
    expect(beginsWith(aSequence(0, [1, 2, 3]), aSequence(1, [1, 2], { scope: 'other' }))).toBe(false);
  });
});
