// Small GGUF files, right or wrong, for tests that need a header and no model.
import { Buffer } from 'node:buffer';

export type GgufValue =
  | { type: 'u32'; value: number }
  | { type: 'u64'; value: bigint }
  | { type: 'f32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'strings'; value: string[] }
  | { type: 'floats'; value: number[] };

interface GgufTensor {
  name: string;
  dimensions: number[];
  /** ggml's number; 0 = F32, 8 = Q8_0. */
  type: number;
  offset: number;
}

export interface GgufFile {
  magic: string;
  version: number;
  keys: Record<string, GgufValue>;
  tensors: GgufTensor[];
  /** Bytes of tensor data after the header. */
  dataBytes: number;
}

export const text = (value: string): GgufValue => ({ type: 'string', value });
export const u32 = (value: number): GgufValue => ({ type: 'u32', value });

const usualKeys: GgufFile['keys'] = {
  'general.architecture': text('llama'),
  'llama.context_length': u32(512),
  'general.file_type': u32(0),
  'tokenizer.ggml.tokens': { type: 'strings', value: ['a', 'b', 'ü'] },
  'tokenizer.ggml.scores': { type: 'floats', value: [0, 1, 2] },
  'tokenizer.chat_template': text('{% for message in messages %}{{ message.content }}{% endfor %}'),
};

/** A header that a reader accepts, with one tensor of 64 weights; override what the test is about. */
export function gguf(file: Partial<GgufFile> = {}): Buffer {
  const { magic, version, keys, tensors, dataBytes } = {
    magic: 'GGUF',
    version: 3,
    keys: usualKeys,
    tensors: [{ name: 'token_embd.weight', dimensions: [8, 8], type: 0, offset: 0 }],
    dataBytes: 256,
    ...file,
  };
  const head = Buffer.concat([
    Buffer.from(magic, 'latin1'),
    uint32(version),
    uint64(tensors.length),
    uint64(Object.keys(keys).length),
    ...Object.entries(keys).flatMap(([key, value]) => [string(key), ...encode(value)]),
    ...tensors.flatMap(encodeTensor),
  ]);
  return Buffer.concat([head, Buffer.alloc((32 - (head.length % 32)) % 32), Buffer.alloc(dataBytes)]);
}

/** The usual keys with some of them changed. */
export function keysWith(changed: Record<string, GgufValue>): GgufFile['keys'] {
  return { ...usualKeys, ...changed };
}

function encode({ type, value }: GgufValue): Buffer[] {
  if (type === 'u32') return [uint32(4), uint32(value)];
  if (type === 'u64') return [uint32(10), uint64(value)];
  if (type === 'f32') return [uint32(6), float(value)];
  if (type === 'bool') return [uint32(7), Buffer.from([value ? 1 : 0])];
  if (type === 'string') return [uint32(8), string(value)];
  if (type === 'strings') return [uint32(9), uint32(8), uint64(value.length), ...value.map(string)];
  return [uint32(9), uint32(6), uint64(value.length), ...value.map(float)];
}

function encodeTensor({ name, dimensions, type, offset }: GgufTensor): Buffer[] {
  return [string(name), uint32(dimensions.length), ...dimensions.map(uint64), uint32(type), uint64(offset)];
}

function string(value: string): Buffer {
  return Buffer.concat([uint64(Buffer.byteLength(value)), Buffer.from(value)]);
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
