// A corpus of damaged model files: each seed breaks one good file in one region of it, the same way every time.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { goodModel, mutate } from './broken.ts';
import { chanceFrom } from './chance.ts';
import type { Chance } from './chance.ts';
import { ggufBytes } from './gguf.ts';

const demoPath = join(import.meta.dirname, '../../worker/models/demo/berth-demo.gguf');

const regions = ['head', 'keys', 'values', 'tensors', 'offsets', 'cut', 'anywhere'] as const;

export interface Damaged {
  name: string;
  bytes: Uint8Array;
}

interface Good {
  bytes: Buffer;
  /** Where the table of tensors begins and ends. */
  tensorsAt: number;
  dataAt: number;
  /** Where the model's 32-bit numbers stand: layers, heads, widths. */
  values: number[];
}

/** Numbers at which readers of files go wrong. */
const sharp = [
  0n,
  1n,
  0x7fn,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  2n ** 40n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

/** Makes damaged files of the demo (every fifth) and of a tiny random model. */
export function corpus(): (seed: number) => Damaged {
  const tiny = goodFrom(Buffer.from(ggufBytes(goodModel())));
  const demo = goodFrom(readFileSync(demoPath));
  return (seed) => {
    const region = regions[seed % regions.length] ?? 'anywhere';
    const good = seed % 5 === 0 ? demo : tiny;
    return { name: `seed-${seed}-${region}`, bytes: damaged(good, region, seed) };
  };
}

function goodFrom(bytes: Buffer): Good {
  const first = bytes.indexOf('token_embd.weight');
  const last = bytes.lastIndexOf('.weight');
  return { bytes, tensorsAt: first - 8, dataAt: last + 40, values: valuesOf(bytes) };
}

function valuesOf(bytes: Buffer): number[] {
  const unsigned32 = 4;
  return [...bytes.toString('latin1').matchAll(/llama\.[a-z_.]+/g)].flatMap(({ index }) => {
    const typeAt = index + Number(bytes.readBigUInt64LE(index - 8));
    return bytes.readUInt32LE(typeAt) === unsigned32 ? [typeAt + 4] : [];
  });
}

function damaged(
  { bytes, tensorsAt, dataAt, values }: Good,
  region: (typeof regions)[number],
  seed: number,
): Uint8Array {
  if (region === 'anywhere') return mutate(bytes, seed);
  const chance = chanceFrom(seed);
  if (region === 'cut') return bytes.subarray(0, chance.between(0, bytes.length - 1));
  const copy = Buffer.from(bytes);
  if (region === 'values') {
    copy.writeUInt32LE(Number(chance.pick(sharp) & 0xffff_ffffn), chance.pick(values));
    return copy;
  }
  const [from = 0, to = 0] = {
    head: [4, 24],
    keys: [24, tensorsAt],
    tensors: [tensorsAt, dataAt],
    offsets: [tensorsAt, dataAt],
  }[region];
  for (let times = chance.between(1, 3); times > 0; times -= 1) {
    const place = chance.between(from, to - 8);
    if (region === 'offsets' || chance.happens(0.3)) writeSharp(copy, place, chance);
    else copy[place] = chance.between(0, 255);
  }
  return copy;
}

function writeSharp(bytes: Buffer, place: number, chance: Chance): void {
  const value = chance.pick(sharp);
  if (chance.happens(0.5)) bytes.writeBigUInt64LE(value, place);
  else bytes.writeUInt32LE(Number(value & 0xffff_ffffn), place);
}
