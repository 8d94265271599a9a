// The keys of a GGUF header and what they say: scalars, short arrays, and of long ones only that they are there.
import { BadGguf, count, shown, string } from './gguf-input.ts';
import type { GgufInput } from './gguf-input.ts';

type Scalar = string | number | boolean;
/** `null` = an array that was too long to be kept. */
export type Value = Scalar | Scalar[] | null;
export type Keys = Map<string, Value>;

export interface KeyReading {
  /** Arrays of more items are passed over. */
  itemsMax: number;
  /** Is shown each text of each array, kept or not. */
  onText?: (key: string, text: string) => void;
}

const arrayItemsMax = 4_194_304;
const nameBytesMax = 65_536;
const textBytesMax = 4 * 1024 * 1024;

const stringType = 8;
const arrayType = 9;
/** Bytes of each scalar type by its number (ggml's `gguf_type`). */
const scalarBytes: Record<number, number> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };

/** @throws BadGguf */
export async function readKeys(input: GgufInput, keyCount: number, reading: KeyReading): Promise<Keys> {
  const keys: Keys = new Map();
  for (let index = 0; index < keyCount; index += 1) {
    const key = await string(input, nameBytesMax);
    const type = (await input.take(4)).readUInt32LE();
    keys.set(key, type === arrayType ? await readArray(input, key, reading) : await readScalar(input, key, type));
  }
  return keys;
}

async function readScalar(input: GgufInput, key: string, type: number): Promise<Scalar> {
  if (type === stringType) return string(input, textBytesMax);
  const bytes = scalarBytes[type];
  if (bytes === undefined) throw new BadGguf(`${shown(key)} has the unknown type ${type}: the file is damaged`);
  return number(await input.take(bytes), type);
}

function number(bytes: Buffer, type: number): number | boolean {
  if (type === 6) return shortest(bytes.readFloatLE());
  if (type === 12) return bytes.readDoubleLE();
  if (type === 7) return bytes.readUInt8() !== 0;
  if (type === 10) return Number(bytes.readBigUInt64LE());
  if (type === 11) return Number(bytes.readBigInt64LE());
  const signed = type % 2 === 1;
  return signed ? bytes.readIntLE(0, bytes.length) : bytes.readUIntLE(0, bytes.length);
}

/** The shortest number that is the same in single precision: 0.00001, and not 0.000009999999747378752. */
function shortest(single: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(single.toPrecision(digits));
    if (Math.fround(short) === single) return short;
  }
  return single;
}

async function readArray(input: GgufInput, key: string, { itemsMax, onText }: KeyReading): Promise<Scalar[] | null> {
  const type = (await input.take(4)).readUInt32LE();
  const items = await count(input, `items in ${shown(key)}`, arrayItemsMax);
  const kept: Scalar[] | null = items <= itemsMax ? [] : null;
  const bytes = scalarBytes[type];
  if (bytes !== undefined && kept === null) await input.skip(items * bytes);
  else if (bytes !== undefined)
    for (let index = 0; index < items; index += 1) kept?.push(number(await input.take(bytes), type));
  else if (type === stringType)
    for (let index = 0; index < items; index += 1) {
      const text = await string(input, textBytesMax);
      kept?.push(text);
      onText?.(key, text);
    }
  else throw new BadGguf(`${shown(key)} is an array of the unknown type ${type}: the file is damaged`);
  return kept;
}
