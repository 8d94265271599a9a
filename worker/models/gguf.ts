// The header of a GGUF file, read with a bound on everything: a hostile file is refused, it never hangs the worker.
import { open } from 'node:fs/promises';
import { BadGguf, boundedInput, count, shown, string } from './gguf-input.ts';
import type { GgufInput } from './gguf-input.ts';
import { blocks, readTensors, tensorCount } from './gguf-tensors.ts';
import type { Tensors } from './gguf-tensors.ts';

const keysMax = 65_536;
const arrayItemsMax = 4_194_304;
const nameBytesMax = 65_536;
const textBytesMax = 4 * 1024 * 1024;

/** What the header of a model file says. */
export interface GgufHeader {
  architecture: string;
  /** Context that the model was trained for, tokens; `null` when it does not say. */
  contextTokens: number | null;
  /** Weights, counted over the tensors of this file. */
  parameters: number;
  /** Such as `Q8_0`. */
  quantization: string;
  chatTemplate: string | null;
  /** True when the model pools its output: an encoder for embeddings. */
  pooled: boolean;
  /** `model`; adapters and projectors say otherwise. */
  type: string;
  /** SHA-256 over header and file size, 64 hex characters. */
  digest: string;
}

const notGguf = 'it is no GGUF file: convert it with llama.cpp, or take it away';

/** Reads and checks the header. @throws BadGguf for a file that cannot be a model, or the system's error */
export async function readGguf(path: string): Promise<GgufHeader> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  if (size === 0) throw new BadGguf('it is empty: copy it again');
  const input = boundedInput(file, size);
  if ((await input.take(4)).toString('latin1') !== 'GGUF') throw new BadGguf(notGguf);
  const version = (await input.take(4)).readUInt32LE();
  if (version !== 2 && version !== 3) throw new BadGguf(wrongVersion(version));
  const tensorsHere = await tensorCount(input);
  const keyCount = await count(input, 'keys', keysMax);
  const keys = await readKeys(input, keyCount);
  const tensors = await readTensors(input, tensorsHere, positive(keys.get('general.alignment')) ?? 32, size);
  // The first part of a split model may hold no tensors; any other file without them is no model.
  if (tensors.parameters === 0 && !keys.has('split.count')) throw new BadGguf('it holds no weights: fetch it again');
  return { ...describe(keys, tensors), digest: input.digest() };
}

type Value = string | number | boolean | null;
/** Scalars by key; the length of an array under `key#`. */
type Keys = Map<string, Value>;

const stringType = 8;
const arrayType = 9;
/** Bytes of each scalar type by its number (ggml's `gguf_type`). */
const scalarBytes: Record<number, number> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };

async function readKeys(input: GgufInput, keyCount: number): Promise<Keys> {
  const keys: Keys = new Map();
  for (let index = 0; index < keyCount; index += 1) {
    const key = await string(input, nameBytesMax);
    const type = (await input.take(4)).readUInt32LE();
    if (type === arrayType) keys.set(`${key}#`, await skipArray(input, key));
    else keys.set(key, await readScalar(input, key, type));
  }
  return keys;
}

async function readScalar(input: GgufInput, key: string, type: number): Promise<Value> {
  if (type === stringType) return string(input, textBytesMax);
  const bytes = scalarBytes[type];
  if (bytes === undefined) throw new BadGguf(`${shown(key)} has the unknown type ${type}: the file is damaged`);
  return number(await input.take(bytes), type);
}

function number(bytes: Buffer, type: number): Value {
  if (type === 6) return bytes.readFloatLE();
  if (type === 12) return bytes.readDoubleLE();
  if (type === 7) return bytes.readUInt8() !== 0;
  if (type === 10) return Number(bytes.readBigUInt64LE());
  if (type === 11) return Number(bytes.readBigInt64LE());
  const signed = type % 2 === 1;
  return signed ? bytes.readIntLE(0, bytes.length) : bytes.readUIntLE(0, bytes.length);
}

/** Passes over an array and gives its length: nothing here needs the items. */
async function skipArray(input: GgufInput, key: string): Promise<number> {
  const type = (await input.take(4)).readUInt32LE();
  const items = await count(input, `items in ${shown(key)}`, arrayItemsMax);
  const bytes = scalarBytes[type];
  if (bytes !== undefined) await input.skip(items * bytes);
  else if (type === stringType)
    for (let index = 0; index < items; index += 1) {
      await input.skip(await count(input, 'bytes in a text', textBytesMax));
    }
  else throw new BadGguf(`${shown(key)} is an array of the unknown type ${type}: the file is damaged`);
  return items;
}

function describe(keys: Keys, { parameters, mainType }: Tensors): Omit<GgufHeader, 'digest'> {
  const architecture = keys.get('general.architecture');
  if (typeof architecture !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,63}$/i.test(architecture)) {
    throw new BadGguf('it does not name its architecture: it is not a language model');
  }
  const template = keys.get('tokenizer.chat_template');
  const type = keys.get('general.type');
  return {
    architecture,
    contextTokens: positive(keys.get(`${architecture}.context_length`)),
    parameters,
    quantization: quantizationOf(keys.get('general.file_type'), mainType),
    chatTemplate: typeof template === 'string' && template !== '' ? template : null,
    pooled: positive(keys.get(`${architecture}.pooling_type`)) !== null,
    type: typeof type === 'string' ? type : 'model',
  };
}

/** Names of `general.file_type` (llama.h, `llama_ftype`); the rest is told by the type of most weights. */
const fileTypes: Record<number, string> = {
  0: 'F32',
  1: 'F16',
  2: 'Q4_0',
  3: 'Q4_1',
  7: 'Q8_0',
  8: 'Q5_0',
  9: 'Q5_1',
  10: 'Q2_K',
  11: 'Q3_K_S',
  12: 'Q3_K_M',
  13: 'Q3_K_L',
  14: 'Q4_K_S',
  15: 'Q4_K_M',
  16: 'Q5_K_S',
  17: 'Q5_K_M',
  18: 'Q6_K',
  32: 'BF16',
  38: 'MXFP4',
};

function quantizationOf(fileType: Value | undefined, mainType: number): string {
  const named = typeof fileType === 'number' ? fileTypes[fileType] : undefined;
  return named ?? blocks[mainType]?.[0] ?? 'unknown';
}

function positive(value: Value | undefined): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null;
}

function wrongVersion(version: number): string {
  if (version % 2 ** 16 === 0 && version > 0) return 'it was written for big-endian machines: convert it for this one';
  return `it has version ${version} of GGUF, known are 2 and 3: convert it again with llama.cpp`;
}
