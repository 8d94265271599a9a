// Makes a test model from the command line:
//   node tests/models/make.ts random --params 15M --quant q8_0 --out f.gguf [--vocabulary 12800] [--context 4096] [--ends] [--seed 1]
//   node tests/models/make.ts embedding --out f.gguf
//   node tests/models/make.ts reasoning --out f.gguf [--opens template]
//   node tests/models/make.ts broken --out <folder>
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { brokenFiles } from './broken.ts';
import { embeddingModel } from './embedding.ts';
import { parametersIn, writeGguf, type Gguf, type TensorType } from './gguf.ts';
import { randomModel } from './random.ts';
import { reasoningModel } from './reasoning.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: 'string' },
    params: { type: 'string', default: '15M' },
    quant: { type: 'string', default: 'q8_0' },
    vocabulary: { type: 'string' },
    context: { type: 'string', default: '4096' },
    ends: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    opens: { type: 'string', default: 'model' },
  },
});
const { out } = values;
if (out === undefined) throw new Error('--out <path> is needed');

/** "15M" → 15,000,000. */
function countOf(words: string): number {
  const [, digits, unit = ''] = /^([\d.]+)([kMB]?)$/.exec(words) ?? [];
  if (digits === undefined) throw new Error(`${words} is no count: say 800k, 15M or 1B`);
  return Number(digits) * ({ '': 1, k: 1e3, M: 1e6, B: 1e9 }[unit] ?? 1);
}

function typeOf(words: string): TensorType {
  if (words === 'f32' || words === 'f16' || words === 'q8_0') return words;
  throw new Error(`${words} is no tensor type: f32, f16 or q8_0`);
}

/** As real models of that size have it. */
const vocabularyFor = (parameters: number): number => (parameters < 5e6 ? 1024 : parameters < 5e7 ? 12_800 : 32_000);

function random(): Gguf {
  const parameters = countOf(values.params);
  const vocabulary = values.vocabulary === undefined ? vocabularyFor(parameters) : Number(values.vocabulary);
  return randomModel({
    parameters,
    vocabulary,
    type: typeOf(values.quant),
    context: Number(values.context),
    ends: values.ends,
    seed: Number(values.seed),
    name: `random-${values.params}-${values.quant}`,
  });
}

const makers: Readonly<Record<string, () => Gguf>> = {
  random,
  embedding: () => embeddingModel(Number(values.seed)),
  reasoning: () => reasoningModel(values.opens === 'template' ? 'template' : 'model'),
};

const [kind = ''] = positionals;
if (kind === 'broken') {
  mkdirSync(out, { recursive: true });
  for (const { name, bytes } of brokenFiles()) writeFileSync(join(out, `${name}.gguf`), bytes);
} else {
  const make = makers[kind];
  if (!make) throw new Error(`say what to make: ${[...Object.keys(makers), 'broken'].join(', ')}`);
  const gguf = make();
  console.log(`${out}: ${parametersIn(gguf)} weights, ${writeGguf(out, gguf)} bytes`);
}
