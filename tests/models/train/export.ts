// Turns what train.py wrote into the demo model's GGUF file.
//   node tests/models/train/export.ts --data <folder> --out worker/models/demo/berth-demo.gguf [--type q8_0]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Vocabulary } from '../bpe.ts';
import { tensorOf, writeGguf, type Tensor, type TensorType } from '../gguf.ts';
import { bpeMetadata, llamaMetadata, type Shape } from '../llama.ts';

/** Twice what the longest training row had: positions are relative, and a needle is found beyond it too. */
const context = 2048;

interface Written {
  readonly shape: {
    readonly vocabulary: number;
    readonly width: number;
    readonly layers: number;
    readonly heads: number;
    readonly kv_heads: number;
    readonly head_size: number;
    readonly feed_forward: number;
  };
  readonly step: number;
  readonly tensors: readonly { readonly name: string; readonly rows_columns: readonly number[] }[];
}

const { values } = parseArgs({
  options: { data: { type: 'string' }, out: { type: 'string' }, type: { type: 'string', default: 'q8_0' } },
});
const { data, out } = values;
if (data === undefined || out === undefined) throw new Error('--data <folder> and --out <file> are needed');
const type = values.type as TensorType;

const vocabulary = JSON.parse(readFileSync(join(data, 'vocabulary.json'), 'utf8')) as Vocabulary;
const written = JSON.parse(readFileSync(join(data, 'weights.json'), 'utf8')) as Written;
const file = readFileSync(join(data, 'weights.f32'));
const weights = new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength));

/** Norms stay f32; a matrix is [rows, columns] in torch and [columns, rows] in GGUF. */
function tensors(): Tensor[] {
  let from = 0;
  return written.tensors.map(({ name, rows_columns }) => {
    const count = rows_columns.reduce((product, length) => product * length, 1);
    const part = weights.slice(from, from + count);
    from += count;
    return tensorOf(name, rows_columns.length === 1 ? 'f32' : type, rows_columns.toReversed(), part);
  });
}

const { kv_heads: kvHeads, head_size: headSize, feed_forward: feedForward, ...sizes } = written.shape;
const shape: Shape = { ...sizes, kvHeads, headSize, feedForward, context };
const about = {
  name: 'berth-demo',
  description:
    'A small demo model made from scratch by the Berth project: it greets, answers questions on Berth, repeats, counts, finds a code word, remembers a name, writes JSON lists and calls a simple tool. It is not an assistant.',
};
const size = writeGguf(out, {
  metadata: { ...llamaMetadata(about, shape, type === 'f32' ? 'f32' : type), ...bpeMetadata(vocabulary) },
  tensors: tensors(),
});
console.log(`${out}: ${size} bytes, after ${written.step} steps`);
