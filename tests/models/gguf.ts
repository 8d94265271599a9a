// Writes GGUF version 3 files: metadata, then f32, f16 or q8_0 tensors, streamed so that a file may be larger than memory.
// Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const alignment = 32;
const q8BlockValues = 32;
const q8BlockBytes = 2 + q8BlockValues;

/** A metadata value with its GGUF type. */
export type Value =
  | { readonly kind: 'u16' | 'u32' | 'i32' | 'f32' | 'u64'; readonly value: number }
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'strings'; readonly value: readonly string[] }
  | { readonly kind: 'i32s' | 'f32s'; readonly value: readonly number[] };
export type Metadata = Readonly<Record<string, Value>>;

export const u32 = (value: number): Value => ({ kind: 'u32', value });
export const f32 = (value: number): Value => ({ kind: 'f32', value });
export const bool = (value: boolean): Value => ({ kind: 'bool', value });
export const text = (value: string): Value => ({ kind: 'string', value });
export const texts = (value: readonly string[]): Value => ({ kind: 'strings', value });
export const i32s = (value: readonly number[]): Value => ({ kind: 'i32s', value });
export const f32s = (value: readonly number[]): Value => ({ kind: 'f32s', value });

/** GGUF's numbers for the types of values and of tensors. */
const typeNumber = { u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10 } as const;
const tensorTypeNumber = { f32: 0, f16: 1, q8_0: 8 } as const;
export type TensorType = keyof typeof tensorTypeNumber;

export interface Tensor {
  readonly name: string;
  readonly type: TensorType;
  /** The contiguous dimension first: [columns, rows], or [length]. */
  readonly shape: readonly number[];
  /** The encoded bytes, in pieces; together exactly `tensorBytes`. */
  readonly data: () => Iterable<Uint8Array>;
}
export interface Gguf {
  readonly metadata: Metadata;
  readonly tensors: readonly Tensor[];
}

const bytesOf = {
  f32: (count: number) => count * 4,
  f16: (count: number) => count * 2,
  q8_0: (count: number) => (count / q8BlockValues) * q8BlockBytes,
};
const valuesIn = (shape: readonly number[]): number => shape.reduce((product, length) => product * length, 1);
export const tensorBytes = ({ type, shape }: Pick<Tensor, 'type' | 'shape'>): number => bytesOf[type](valuesIn(shape));
export const parametersIn = ({ tensors }: Gguf): number =>
  tensors.reduce((sum, tensor) => sum + valuesIn(tensor.shape), 0);

/** A tensor of values that fit in memory. */
export function tensorOf(name: string, type: TensorType, shape: readonly number[], values: Float32Array): Tensor {
  if (values.length !== valuesIn(shape))
    throw new RangeError(`${name}: ${values.length} values for the shape ${shape.join('x')}`);
  return { name, type, shape, data: () => [encoded(values, type)] };
}

/** Values as the bytes of a tensor; q8_0 wants a multiple of 32 of them. */
export function encoded(values: Float32Array, type: TensorType): Uint8Array {
  if (type === 'f32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return type === 'f16' ? encodedHalf(values) : encodedBlocks(values);
}

function encodedHalf(values: Float32Array): Uint8Array {
  const halves = new Uint16Array(values.length);
  values.forEach((value, place) => (halves[place] = halfOf(value)));
  return new Uint8Array(halves.buffer);
}

/** q8_0 (ggml-quants.c, quantize_row_q8_0_ref): blocks of 32 values, a half-precision scale and 32 signed bytes. */
function encodedBlocks(values: Float32Array): Uint8Array {
  if (values.length % q8BlockValues !== 0)
    throw new RangeError(`q8_0 needs a multiple of ${q8BlockValues} values, not ${values.length}`);
  const bytes = new Uint8Array(bytesOf.q8_0(values.length));
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < values.length / q8BlockValues; block += 1) {
    const part = values.subarray(block * q8BlockValues, (block + 1) * q8BlockValues);
    const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127;
    view.setUint16(block * q8BlockBytes, halfOf(scale), true);
    part.forEach((value, place) =>
      view.setInt8(block * q8BlockBytes + 2 + place, scale === 0 ? 0 : Math.round(value / scale)),
    );
  }
  return bytes;
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);
/** The nearest half-precision number, as its 16 bits. */
export function halfOf(value: number): number {
  float[0] = value;
  const [word = 0] = bits;
  const sign = (word >>> 16) & 0x8000;
  const exponent = ((word >>> 23) & 0xff) - 112;
  if (exponent >= 31) return sign | 0x7c00;
  if (exponent > 0) return sign + ((exponent << 10) | ((word >>> 13) & 0x3ff)) + ((word >>> 12) & 1);
  if (exponent < -10) return sign;
  return sign + (((((word & 0x7fffff) | 0x800000) >>> (13 - exponent)) + 1) >>> 1);
}

/** All bytes of the file in order, in pieces. */
function* ggufPieces({ metadata, tensors }: Gguf): Iterable<Uint8Array> {
  const head = headOf(metadata, tensors);
  yield head;
  yield padding(head.length);
  for (const tensor of tensors) {
    let written = 0;
    for (const piece of tensor.data()) {
      written += piece.length;
      yield piece;
    }
    if (written !== tensorBytes(tensor))
      throw new RangeError(`${tensor.name}: ${written} bytes instead of ${tensorBytes(tensor)}`);
    yield padding(written);
  }
}

const padded = (length: number): number => Math.ceil(length / alignment) * alignment;
const padding = (length: number): Uint8Array => new Uint8Array(padded(length) - length);

/** The whole file in memory: for small models. */
export const ggufBytes = (gguf: Gguf): Uint8Array => new Uint8Array(Buffer.concat([...ggufPieces(gguf)]));

/** Writes the file, making its folder; returns its size in bytes. */
export function writeGguf(path: string, gguf: Gguf): number {
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, 'w');
  let size = 0;
  try {
    for (const piece of ggufPieces(gguf)) {
      for (let from = 0; from < piece.length;) from += writeSync(file, piece, from);
      size += piece.length;
    }
  } finally {
    closeSync(file);
  }
  return size;
}

function headOf(metadata: Metadata, tensors: readonly Tensor[]): Uint8Array {
  const entries = Object.entries(metadata);
  const parts = [Buffer.from('GGUF'), word(3), long(tensors.length), long(entries.length)];
  for (const [key, value] of entries) parts.push(string(key), ...valueParts(value));
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(
      string(tensor.name),
      word(tensor.shape.length),
      ...tensor.shape.map(long),
      word(tensorTypeNumber[tensor.type]),
      long(offset),
    );
    offset += padded(tensorBytes(tensor));
  }
  return Buffer.concat(parts);
}

function valueParts(entry: Value): Buffer[] {
  switch (entry.kind) {
    case 'string':
      return [word(typeNumber.string), string(entry.value)];
    case 'strings':
      return [
        word(typeNumber.array),
        word(typeNumber.string),
        long(entry.value.length),
        Buffer.concat(entry.value.map(string)),
      ];
    case 'i32s':
      return [
        word(typeNumber.array),
        word(typeNumber.i32),
        long(entry.value.length),
        Buffer.from(Int32Array.from(entry.value).buffer),
      ];
    case 'f32s':
      return [
        word(typeNumber.array),
        word(typeNumber.f32),
        long(entry.value.length),
        Buffer.from(Float32Array.from(entry.value).buffer),
      ];
    case 'bool':
      return [word(typeNumber.bool), Buffer.from([entry.value ? 1 : 0])];
    case 'u16':
      return [word(typeNumber.u16), word(entry.value).subarray(0, 2)];
    case 'u64':
      return [word(typeNumber.u64), long(entry.value)];
    case 'f32':
      return [word(typeNumber.f32), Buffer.from(Float32Array.of(entry.value).buffer)];
    default:
      return [word(typeNumber[entry.kind]), word(entry.value)];
  }
}

function word(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32LE(value | 0);
  return buffer;
}
function long(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}
function string(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([long(bytes.length), bytes]);
}
