// The self-test finds a binding that gives one sequence another's tokens. A double injects that fault.
import { expect, test } from 'vitest';
import type { Part } from '../../../worker/engine/llama/batch.ts';
import type { Binding } from '../../../worker/engine/llama/binding.ts';
import { selfTest } from '../../../worker/engine/llama/selftest.ts';

/** Says of a row: the sum of the sequence's tokens so far. `rowFor` says which row is looked at instead of the wanted. */
function aBinding(rowFor: (row: number, rows: number) => number, slots = 8): Binding & { cells: number[] } {
  const cells = Array.from({ length: slots }, () => 0);
  return {
    cells,
    contextTokens: 512,
    slots,
    batchTokensMax: 512,
    vramBytes: 0,
    memoryBytes: 0,
    prompts: {
      chatTemplate: null,
      controlTexts: [],
      bosText: '',
      eosText: '',
      firstToken: null,
      infill: null,
      vocabularyTokens: 256,
      compile: () => () => '',
      tokenize: (text) => Uint32Array.from(text, (character) => character.codePointAt(0) ?? 0),
    },
    spell: () => '',
    textOf: String,
    isEnd: () => false,
    step: async (parts: readonly Part[]) => {
      const sums = parts.map(
        ({ sequence, tokens }) => (cells[sequence]! += tokens.reduce((sum, token) => sum + token, 0)),
      );
      return parts.map((_, row) => ({ row, token: (sums[rowFor(row, sums.length)] ?? 0) % 997 }));
    },
    sampler: async () => ({ next: async () => -1, [Symbol.dispose]: () => {} }),
    copy: async () => {},
    keep: async (sequence, length) => {
      cells[sequence] = 0;
      return length;
    },
    vocabularyTokens: 0,
    bytesOf: () => new Uint8Array(),
    scorer: () => ({ score: async () => ({ chosen: 0, top: [] }), [Symbol.dispose]: () => {} }),
    useThreads: () => {},
    cellBytes: 0,
    version: '',
    save: async () => 0,
    load: async () => new Uint32Array(),
  };
}

const clock = (stepMs: number) => {
  let nowMs = 0;
  return () => (nowMs += stepMs);
};

test('passes when every sequence says the same alone and together, and leaves them empty', async () => {
  const binding = aBinding((row) => row);
  expect(await selfTest(binding, clock(1))).toMatchObject({
    fault: null,
    note: expect.stringContaining('8 sequences'),
  });
  expect(binding.cells).toEqual(binding.cells.map(() => 0));
});

test('fails when rows are mixed up in a batch', async () => {
  const mixed = aBinding((row, rows) => (row + 1) % rows);
  expect((await selfTest(mixed, clock(1))).fault).toMatch(/say something else together/);
});

test('fails when the last of three rows or more reads the first', async () => {
  const late = aBinding((row, rows) => (rows > 2 && row === rows - 1 ? 0 : row));
  expect((await selfTest(late, clock(1))).fault).not.toBeNull();
});

test('is left out where it would take too long', async () => {
  const result = await selfTest(
    aBinding((row) => row),
    clock(900),
  );
  expect(result).toMatchObject({ fault: null, note: expect.stringContaining('left out') });
});
