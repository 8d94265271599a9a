// One batch and its samples, in order on one native thread or at once on several: who is called when, and on a real model.
import { expect, test } from 'vitest';
import { stepAtOnce, stepInOrder } from '../../../worker/engine/llama/batch.ts';
import type { NativeBatch, Part } from '../../../worker/engine/llama/batch.ts';
import { bindNative } from '../../../worker/engine/llama/binding.ts';
import { loadModel, openContext } from '../../../worker/engine/llama/load.ts';
import { selfTest } from '../../../worker/engine/llama/selftest.ts';
import { someOptions } from '../requests.ts';
import { modelFolder } from './models.ts';

/** Writes down what is called; each answer comes a turn later. */
function aBatch(decodeBatch: () => Promise<void> = turn) {
  const calls: string[] = [];
  let rows = 0;
  const native: NativeBatch = {
    initBatch: (tokens) => calls.push(`batch of ${tokens}`),
    addToBatch: (_sequence, _position, _tokens, wanted) => Uint32Array.from(wanted, () => (rows += 1)),
    decodeBatch: async () => {
      calls.push('decode');
      await decodeBatch();
      calls.push('decoded');
    },
  };
  const sampler = {
    next: async (row: number) => {
      calls.push(`sample ${row}`);
      await turn();
      calls.push(`sampled ${row}`);
      return row * 10;
    },
    [Symbol.dispose]: () => {},
  };
  const part = (sequence: number, wanted: boolean): Part => {
    return { sequence, position: 0, tokens: Uint32Array.of(1, 2), sampler: wanted ? sampler : null };
  };
  return { native, calls, parts: [part(0, false), part(1, true), part(2, true), part(3, true)] };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const sampled = [null, { row: 1, token: 10 }, { row: 2, token: 20 }, { row: 3, token: 30 }];

test('in order, samples are asked for with their batch', async () => {
  const { native, calls, parts } = aBatch();
  expect(await stepInOrder(native, parts)).toEqual(sampled);
  expect(calls.slice(0, 5)).toEqual(['batch of 8', 'decode', 'sample 1', 'sample 2', 'sample 3']);
});

test('at once, the first sample is taken alone once the batch is decoded, and then the others', async () => {
  const { native, calls, parts } = aBatch();
  expect(await stepAtOnce(native, parts)).toEqual(sampled);
  const alone = ['batch of 8', 'decode', 'decoded', 'sample 1', 'sampled 1'];
  expect(calls).toEqual([...alone, 'sample 2', 'sample 3', 'sampled 2', 'sampled 3']);
});

test.each([stepInOrder, stepAtOnce])('a batch without samples is only decoded', async (step) => {
  const { native, calls, parts } = aBatch();
  expect(await step(native, parts.slice(0, 1))).toEqual([null]);
  expect(calls).toEqual(['batch of 2', 'decode', 'decoded']);
});

test.each([stepInOrder, stepAtOnce])('a batch that cannot be decoded breaks the step', async (step) => {
  const { native, parts } = aBatch(() => Promise.reject(new Error('no room for the batch')));
  await expect(step(native, parts)).rejects.toThrow('no room for the batch');
});

test('eight sequences sampled at once, as beside a GPU, say what each says alone', async () => {
  using folder = modelFolder();
  const options = { ...someOptions, path: folder.random('words.gguf'), slots: 8, contextTokens: 256 };
  const loaded = await loadModel(options, null);
  const context = await openContext(loaded, options);
  const result = await selfTest(bindNative(loaded, context, false), () => performance.now());
  expect(result).toMatchObject({ fault: null, note: expect.stringContaining('of 8 sequences') });
  await context.dispose();
  await loaded.model.dispose();
});
