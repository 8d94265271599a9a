// The header of a GGUF file, read with a bound on everything: a hostile file is refused, it never hangs the worker.
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { templateOf } from './chat-template.ts';
import { BadGguf, boundedInput, count } from './gguf-input.ts';
import { readKeys } from './gguf-keys.ts';
import type { KeyReading, Keys, Value } from './gguf-keys.ts';
import { infillSearch } from './infill.ts';
import { blocks, readTensors, tensorCount } from './gguf-tensors.ts';
import type { Tensors } from './gguf-tensors.ts';

const keysMax = 65_536;
/** Of what is kept in memory of each file. */
const factsMax = 512;
const factCharsMax = 4_096;

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
  /** Its vocabulary has the tokens to fill in between two texts. */
  infills: boolean;
  /** What else the file says, by its keys; `null` = a long array, or a long text. */
  facts: Readonly<Record<string, Value>>;
  /** `model`; adapters and projectors say otherwise. */
  type: string;
  /** SHA-256 over header and file size, 64 hex characters. */
  digest: string;
}

const notGguf = 'it is no GGUF file: convert it with llama.cpp, or take it away';

/** Reads and checks the header. @throws BadGguf for a file that cannot be a model, or the system's error */
export async function readGguf(path: string): Promise<GgufHeader> {
  const search = infillSearch();
  const onText: KeyReading['onText'] = (key, text) => {
    if (key === 'tokenizer.ggml.tokens') search.look(text);
  };
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const { input, keys, tensorsHere } = await readHead(file, size, { itemsMax: shortItemsMax, onText });
  const tensors = await readTensors(input, tensorsHere, positive(keys.get('general.alignment')) ?? 32, size);
  // The first part of a split model may hold no tensors; any other file without them is no model.
  if (tensors.parameters === 0 && !keys.has('split.count')) throw new BadGguf('it holds no weights: fetch it again');
  return { ...describe(keys, tensors), infills: search.found(keys), facts: factsOf(keys), digest: input.digest() };
}

/** The facts with every array and text in them, vocabulary included, as JSON. @throws as above */
export async function readWholeFacts(path: string): Promise<string> {
  await using file = await open(path, 'r');
  const { keys } = await readHead(file, (await file.stat()).size, { itemsMax: Infinity });
  return JSON.stringify(Object.fromEntries([...keys].filter(([key]) => isProper(key))));
}

async function readHead(file: FileHandle, size: number, reading: KeyReading) {
  if (size === 0) throw new BadGguf('it is empty: copy it again');
  const input = boundedInput(file, size);
  if ((await input.take(4)).toString('latin1') !== 'GGUF') throw new BadGguf(notGguf);
  const version = (await input.take(4)).readUInt32LE();
  if (version !== 2 && version !== 3) throw new BadGguf(wrongVersion(version));
  const tensorsHere = await tensorCount(input);
  const keyCount = await count(input, 'keys', keysMax);
  return { input, keys: await readKeys(input, keyCount, reading), tensorsHere };
}

function factsOf(keys: Keys): GgufHeader['facts'] {
  const proper = [...keys].filter(([key]) => isProper(key));
  return Object.fromEntries(proper.slice(0, factsMax).map(([key, value]) => [key, short(value)]));
}

function isProper(key: string): boolean {
  return /^[\w.-]{1,128}$/.test(key) && key !== '__proto__';
}

function short(value: Value): Value {
  const texts = Array.isArray(value) ? value : [value];
  return texts.some((text) => typeof text === 'string' && text.length > factCharsMax) ? null : value;
}

/** Longer arrays are told of only when everything is wanted. */
const shortItemsMax = 16;

function describe(keys: Keys, { parameters, mainType }: Tensors): Omit<GgufHeader, 'infills' | 'facts' | 'digest'> {
  const architecture = keys.get('general.architecture');
  if (typeof architecture !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,63}$/i.test(architecture)) {
    throw new BadGguf('it does not name its architecture: it is not a language model');
  }
  const type = keys.get('general.type');
  return {
    architecture,
    contextTokens: positive(keys.get(`${architecture}.context_length`)),
    parameters,
    quantization: quantizationOf(keys.get('general.file_type'), mainType),
    chatTemplate: templateOf(keys.get('tokenizer.chat_template'), keys.get('tokenizer.chat_template.tool_use')),
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
