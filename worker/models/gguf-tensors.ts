// The table of tensors in a GGUF file: how many weights, of which type, and whether the file holds them all.
import { BadGguf, count, shown, string, unsigned64 } from './gguf-input.ts';
import type { GgufInput } from './gguf-input.ts';

const tensorsMax = 65_536;
/** ggml knows 40 types; a few more leave room for newer ones, whose size is not checked here. */
const typeMax = 63;
const tensorNameBytesMax = 65_536;

/** How many tensors the file claims. */
export function tensorCount(input: GgufInput): Promise<number> {
  return count(input, 'tensors', tensorsMax);
}

export interface Tensors {
  parameters: number;
  /** Number of ggml's type that holds the most weights. */
  mainType: number;
}

/** Items and bytes of one block for each of ggml's types whose size is fixed (ggml.h, gguf-py's GGML_QUANT_SIZES). */
export const blocks: Record<number, [name: string, items: number, bytes: number]> = {
  0: ['F32', 1, 4],
  1: ['F16', 1, 2],
  2: ['Q4_0', 32, 18],
  3: ['Q4_1', 32, 20],
  6: ['Q5_0', 32, 22],
  7: ['Q5_1', 32, 24],
  8: ['Q8_0', 32, 34],
  9: ['Q8_1', 32, 40],
  10: ['Q2_K', 256, 84],
  11: ['Q3_K', 256, 110],
  12: ['Q4_K', 256, 144],
  13: ['Q5_K', 256, 176],
  14: ['Q6_K', 256, 210],
  15: ['Q8_K', 256, 292],
  16: ['IQ2_XXS', 256, 66],
  17: ['IQ2_XS', 256, 74],
  18: ['IQ3_XXS', 256, 98],
  19: ['IQ1_S', 256, 50],
  20: ['IQ4_NL', 32, 18],
  21: ['IQ3_S', 256, 110],
  22: ['IQ2_S', 256, 82],
  23: ['IQ4_XS', 256, 136],
  24: ['I8', 1, 1],
  25: ['I16', 1, 2],
  26: ['I32', 1, 4],
  27: ['I64', 1, 8],
  28: ['F64', 1, 8],
  29: ['IQ1_M', 256, 56],
  30: ['BF16', 1, 2],
  34: ['TQ1_0', 256, 54],
  35: ['TQ2_0', 256, 66],
  39: ['MXFP4', 32, 17],
};

/** Reads the table of tensors and checks that the file holds all of them. @throws BadGguf */
export async function readTensors(
  input: GgufInput,
  tensorCount: number,
  alignment: number,
  size: number,
): Promise<Tensors> {
  const weights = new Map<number, number>();
  let endMax = 0;
  for (let index = 0; index < tensorCount; index += 1) {
    const { items, type, end } = await readTensor(input);
    weights.set(type, (weights.get(type) ?? 0) + items);
    endMax = Math.max(endMax, end);
  }
  const dataAt = Math.ceil(input.position() / alignment) * alignment;
  if (dataAt + endMax > size) throw new BadGguf(cutShort(dataAt + endMax, size));
  const [mainType = 0] = [...weights].toSorted(([, a], [, b]) => b - a)[0] ?? [];
  return { parameters: [...weights.values()].reduce((sum, items) => sum + items, 0), mainType };
}

async function readTensor(input: GgufInput): Promise<{ items: number; type: number; end: number }> {
  const name = await string(input, tensorNameBytesMax);
  const dimensions = (await input.take(4)).readUInt32LE();
  if (dimensions > 4) throw new BadGguf(`tensor ${shown(name)} has ${dimensions} dimensions: the file is damaged`);
  let items = 1;
  for (let index = 0; index < dimensions; index += 1) items *= await unsigned64(input);
  const type = (await input.take(4)).readUInt32LE();
  if (type > typeMax) throw new BadGguf(`tensor ${shown(name)} has the unknown type ${type}: the file is damaged`);
  const offset = await unsigned64(input);
  const [, perBlock, blockBytes] = blocks[type] ?? ['', 1, 0];
  const end = offset + Math.ceil(items / perBlock) * blockBytes;
  if (!Number.isFinite(end)) throw new BadGguf(`tensor ${shown(name)} has no possible size: the file is damaged`);
  return { items, type, end };
}

function cutShort(expected: number, size: number): string {
  return `it should have at least ${expected} bytes and has ${size}: the copy or download was cut, repeat it`;
}
