// The reader of model files: what it reads, and that no file can do more than be refused.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BadGguf } from '../../../worker/models/gguf-input.ts';
import { readGguf, readWholeFacts } from '../../../worker/models/gguf.ts';
import { brokenFiles } from '../../models/broken.ts';
import { gguf, keysWith, text, u32 } from '../gguf-file.ts';
import type { GgufValue } from '../gguf-file.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-gguf-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;
const read = async (bytes: Uint8Array): ReturnType<typeof readGguf> => {
  files += 1;
  const path = join(folder, `${files}.gguf`);
  await writeFile(path, bytes);
  return readGguf(path);
};
const uint64At = (bytes: Buffer, at: number, value: bigint): Buffer => {
  const changed = Buffer.from(bytes);
  changed.writeBigUInt64LE(value, at);
  return changed;
};

describe('the header of a model file', () => {
  it('tells what the model is', async () => {
    expect(await read(gguf())).toMatchObject({
      architecture: 'llama',
      contextTokens: 512,
      parameters: 64,
      quantization: 'F32',
      pooled: false,
      type: 'model',
      chatTemplate: expect.stringContaining('messages'),
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  });

  it('goes by the type of most weights when the file does not name its quantisation', async () => {
    const tensors = [
      { name: 'a', dimensions: [32], type: 0, offset: 0 },
      { name: 'b', dimensions: [32, 4], type: 8, offset: 128 },
    ];
    const keys = { 'general.architecture': text('llama') };
    expect(await read(gguf({ keys, tensors, dataBytes: 1024 }))).toMatchObject({
      quantization: 'Q8_0',
      parameters: 160,
    });
  });

  it('gives another digest for another header and for another size', async () => {
    const digests = await Promise.all(
      [gguf(), gguf({ dataBytes: 512 }), gguf({ keys: keysWith({ 'general.name': text('x') }) })].map(read),
    );
    expect(new Set(digests.map(({ digest }) => digest)).size).toBe(3);
    expect((await read(gguf())).digest).toBe(digests[0]?.digest);
  });

  it('is read through a large vocabulary', async () => {
    const tokens = Array.from({ length: 50_000 }, (_, index) => `token number ${index}`);
    const keys = keysWith({
      'tokenizer.ggml.tokens': { type: 'strings', value: tokens },
      'llama.context_length': u32(99),
    });
    expect(await read(gguf({ keys }))).toMatchObject({ contextTokens: 99, parameters: 64 });
  });
});

describe('what else a header says', () => {
  const long: GgufValue = { type: 'strings', value: Array.from({ length: 17 }, (_, index) => `token ${index}`) };

  it('is kept by its keys: scalars and short arrays, but no long array, no long text and no strange key', async () => {
    const { facts } = await read(
      gguf({
        keys: keysWith({
          'general.languages': { type: 'strings', value: ['en', 'de'] },
          'llama.rope.scale': { type: 'f32', value: 0.00001 },
          'tokenizer.ggml.tokens': long,
          'general.description': text('x'.repeat(5_000)),
          'a key': u32(1),
          ...JSON.parse('{"__proto__":{"type":"u32","value":1}}'),
        }),
      }),
    );
    expect(facts).toEqual({
      'general.architecture': 'llama',
      'llama.context_length': 512,
      'general.file_type': 0,
      'general.languages': ['en', 'de'],
      'llama.rope.scale': 0.00001,
      'tokenizer.ggml.tokens': null,
      'tokenizer.ggml.scores': [0, 1, 2],
      'tokenizer.chat_template': expect.any(String),
      'general.description': null,
    });
  });

  it('can be read as a whole', async () => {
    const path = join(folder, 'whole.gguf');
    await writeFile(path, gguf({ keys: keysWith({ 'tokenizer.ggml.tokens': long }) }));
    expect(JSON.parse(await readWholeFacts(path))).toMatchObject({ 'tokenizer.ggml.tokens': long.value });
  });

  it.each([
    [
      'ids of today',
      {
        'tokenizer.ggml.fim_pre_token_id': u32(0),
        'tokenizer.ggml.fim_suf_token_id': u32(1),
        'tokenizer.ggml.fim_mid_token_id': u32(2),
      },
      true,
    ],
    [
      'ids of old',
      {
        'tokenizer.ggml.prefix_token_id': u32(0),
        'tokenizer.ggml.suffix_token_id': u32(1),
        'tokenizer.ggml.middle_token_id': u32(2),
      },
      true,
    ],
    ['two ids only', { 'tokenizer.ggml.fim_pre_token_id': u32(0), 'tokenizer.ggml.fim_suf_token_id': u32(1) }, false],
    ['the tokens of Qwen', tokens('<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>'), true],
    ['the tokens of DeepSeek', tokens('<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'), true],
    ['tokens of two families', tokens('<|fim_prefix|>', '<SUF>', '<MID>'), false],
    ['text about them', tokens('the <|fim_prefix|>', 'a <|fim_middle|>', 'no <|fim_suffix|>'), false],
  ])('says whether it can fill in between texts: %s', async (_, keys, infills) => {
    expect((await read(gguf({ keys: keysWith(keys) }))).infills).toBe(infills);
  });
});

function tokens(...value: string[]): Record<string, GgufValue> {
  return { 'tokenizer.ggml.tokens': { type: 'strings', value: ['a', ...value] } };
}

describe('a file that is no model', () => {
  const whole = gguf();
  const flawed: [string, () => Uint8Array, RegExp][] = [
    ['is empty', () => Buffer.alloc(0), /is empty: copy it again/],
    ['is something else', () => Buffer.from('%PDF-1.7 and so on'), /no GGUF file/],
    ['is of an old version', () => gguf({ version: 1 }), /version 1 of GGUF, known are 2 and 3/],
    ['is for big-endian machines', () => gguf({ version: 0x03_00_00_00 }), /big-endian/],
    ['claims too many tensors', () => uint64At(whole, 8, 2n ** 40n), /claims more than \d+ tensors/],
    ['claims too many keys', () => uint64At(whole, 16, 2n ** 63n), /claims more than \d+ keys/],
    ['claims a text of many gigabytes', () => uint64At(whole, 24, 2n ** 40n), /bytes in a text/],
    ['was cut in its header', () => whole.subarray(0, 100), /ends inside its header/],
    ['was cut in its weights', () => whole.subarray(0, whole.length - 1), /should have at least \d+ bytes and has \d+/],
    [
      'has a weight beyond its end',
      () => gguf({ tensors: [{ name: 't', dimensions: [8], type: 0, offset: 10_000 }] }),
      /should have/,
    ],
    [
      'has weights without end',
      () => gguf({ tensors: [{ name: 't', dimensions: [2 ** 52, 2 ** 52, 2 ** 52, 2 ** 52], type: 0, offset: 0 }] }),
      /should have at least/,
    ],
    [
      'has nine dimensions',
      () => gguf({ tensors: [{ name: 't', dimensions: [1, 1, 1, 1, 1, 1, 1, 1, 1], type: 0, offset: 0 }] }),
      /9 dimensions/,
    ],
    ['does not name its architecture', () => gguf({ keys: { 'general.name': text('x') } }), /architecture/],
    [
      'names a strange architecture',
      () => gguf({ keys: { 'general.architecture': text('../../etc') } }),
      /architecture/,
    ],
  ];
  it.each(flawed)('because it %s', async (_, bytes, message) => {
    await expect(read(bytes())).rejects.toThrow(message);
    await expect(read(bytes())).rejects.toBeInstanceOf(BadGguf);
  });

  it.each(brokenFiles())('or fails only when it is loaded: $name', async ({ bytes, shows }) => {
    const end = await read(bytes).catch((error: unknown) => error);
    if (shows === 'header' || end instanceof Error) expect(end).toBeInstanceOf(BadGguf);
    else expect(end).toMatchObject({ digest: expect.any(String) });
  });

  it('is a clean error wherever it was cut', async () => {
    const header = whole.subarray(0, whole.length - 256);
    for (let length = 0; length < header.length; length += 7) {
      await expect(read(header.subarray(0, length)), `${length} bytes`).rejects.toBeInstanceOf(BadGguf);
    }
  });

  it('never does more than fail cleanly, whatever bytes were changed', async () => {
    const change = fc.tuple(fc.nat(whole.length - 257), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        const end = await read(bytes).catch((error: unknown) => error);
        expect(end instanceof BadGguf || typeof end === 'object').toBe(true);
        if (end instanceof Error) expect(end).toBeInstanceOf(BadGguf);
      }),
      { numRuns: 300 },
    );
  });
});
