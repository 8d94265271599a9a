// The GGUF writer: sizes, numbers and layout, read back with a reader that is not ours.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readGgufFileInfo } from 'node-llama-cpp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  bool,
  encoded,
  f32,
  f32s,
  ggufBytes,
  halfOf,
  i32s,
  parametersIn,
  tensorBytes,
  tensorOf,
  text,
  texts,
  u32,
  writeGguf,
  type Gguf,
} from './gguf.ts';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'berth-gguf-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const ramp = (length: number): Float32Array => Float32Array.from({ length }, (_, place) => place - length / 2);
const small: Gguf = {
  metadata: {
    'general.architecture': text('llama'),
    'general.name': text('schön'),
    'llama.context_length': u32(4_000_000_000),
    'llama.rope.freq_base': f32(0.5),
    'tokenizer.ggml.add_bos_token': bool(true),
    'tokenizer.ggml.tokens': texts(['a', 'ß', '']),
    'tokenizer.ggml.token_type': i32s([1, -3, 1]),
    'tokenizer.ggml.scores': f32s([0, -1.5, 2]),
  },
  tensors: [
    tensorOf('first', 'f32', [3], ramp(3)),
    tensorOf('second', 'q8_0', [32, 2], ramp(64)),
    tensorOf('third', 'f16', [2, 2], ramp(4)),
  ],
};

describe('a written file', () => {
  test('is the same streamed as in memory', () => {
    const path = join(folder, 'small.gguf');
    expect(writeGguf(path, small)).toBe(ggufBytes(small).length);
    expect(new Uint8Array(readFileSync(path))).toEqual(ggufBytes(small));
  });

  test('reads back with node-llama-cpp', async () => {
    const path = join(folder, 'small.gguf');
    writeGguf(path, small);
    const { metadata, tensorInfo, version } = await readGgufFileInfo(path, { logWarnings: false });
    expect(version).toBe(3);
    expect(metadata.general.name).toBe('schön');
    expect(metadata.tokenizer.ggml).toMatchObject({
      add_bos_token: true,
      tokens: ['a', 'ß', ''],
      token_type: [1, -3, 1],
      scores: [0, -1.5, 2],
    });
    expect(tensorInfo?.map(({ name, dimensions, ggmlType }) => [name, dimensions.map(Number), ggmlType])).toEqual([
      ['first', [3], 0],
      ['second', [32, 2], 8],
      ['third', [2, 2], 1],
    ]);
    expect(tensorInfo?.map(({ offset }) => Number(offset))).toEqual([0, 32, 128]);
  });

  test('must hold the bytes that its shapes promise', () => {
    const lying: Gguf = {
      metadata: {},
      tensors: [{ name: 'short', type: 'f32', shape: [8], data: () => [new Uint8Array(31)] }],
    };
    expect(() => ggufBytes(lying)).toThrow('short: 31 bytes instead of 32');
    expect(() => tensorOf('wide', 'f32', [4], ramp(3))).toThrow('3 values');
  });

  test('counts its weights', () => expect(parametersIn(small)).toBe(3 + 64 + 4));
});

describe('numbers', () => {
  test.each([
    [0, 0],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [1e9, 0x7c00],
    [-1e9, 0xfc00],
    [2 ** -24, 1],
    [2 ** -14, 0x0400],
    [1e-9, 0],
    [0.1, 0x2e66],
  ])('%d is %d in half precision', (value, half) => expect(halfOf(value)).toBe(half));

  test('q8_0 keeps each block within half a step of its largest value', () => {
    const values = Float32Array.from({ length: 64 }, (_, place) => Math.sin(place) * (place < 32 ? 1 : 100));
    const view = new DataView(encoded(values, 'q8_0').buffer);
    const scales = [view.getUint16(0, true), view.getUint16(34, true)].map(
      (half) => 2 ** ((half >> 10) - 15) * (1 + (half & 1023) / 1024),
    );
    values.forEach((value, place) => {
      const block = place < 32 ? 0 : 1;
      const kept = view.getInt8(block * 34 + 2 + (place % 32)) * (scales[block] ?? 0);
      expect(Math.abs(kept - value)).toBeLessThan((scales[block] ?? 0) * 0.6);
    });
  });

  test('q8_0 refuses a row that is no whole number of blocks', () =>
    expect(() => encoded(ramp(33), 'q8_0')).toThrow('multiple of 32'));
  test('tensors know their size', () =>
    expect([tensorBytes({ type: 'f16', shape: [64, 2] }), tensorBytes({ type: 'q8_0', shape: [64, 2] })]).toEqual([
      256, 136,
    ]));
});
