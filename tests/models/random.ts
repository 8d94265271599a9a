// Llama models with random weights, of any size: they say nothing, but they load, run and take memory like real ones.
import { byteCharacters, type Vocabulary } from './bpe.ts';
import { chanceFrom, type Chance } from './chance.ts';
import { controlTokens, turnEnd } from './dialogues/chat.ts';
import { encoded, tensorBytes, tensorOf, type Gguf, type Tensor, type TensorType } from './gguf.ts';
import { bpeMetadata, layerMatrices, llamaMetadata, type Shape } from './llama.ts';

export interface RandomModel {
  /** About how many weights, say 15e6; the next possible shape is taken. */
  readonly parameters: number;
  readonly type: TensorType;
  readonly vocabulary: number;
  readonly context: number;
  /** Whether the model may end its turn: as likely as any other word, or never. */
  readonly ends: boolean;
  readonly seed: number;
  readonly name: string;
  /** A Jinja template other than our own ChatML. */
  readonly template?: string;
}

const headSizeMax = 64;
const layersMax = 48;
const widthMax = 8192;
/** Real models are wider than deep; between 64 (a llama of 1B) and 128 (of 70B) columns for each layer. */
const columnsPerLayer = 90;

/** The shape whose number of weights comes nearest, among those with the proportions of a llama. */
export function shapeFor(parameters: number, vocabulary: number, context: number): Shape {
  let best: Shape | undefined;
  for (let width = 64; width <= widthMax; width += 64) {
    const fitting = Math.round(
      (parameters - weightsOutside(width, vocabulary)) / weightsPerLayer(shapeOf(width, 1, vocabulary, context)),
    );
    const layers = Math.min(Math.max(fitting, 1), layersMax);
    const shape = shapeOf(width, layers, vocabulary, context);
    if (!best || misfit(shape, parameters) < misfit(best, parameters)) best = shape;
  }
  if (!best) throw new Error('no shape');
  return best;
}

function shapeOf(width: number, layers: number, vocabulary: number, context: number): Shape {
  const headSize = Math.min(headSizeMax, width / 4);
  const heads = width / headSize;
  const kvHeads = heads % 4 === 0 && heads > 4 ? heads / 4 : heads % 2 === 0 ? heads / 2 : heads;
  return {
    vocabulary,
    width,
    layers,
    heads,
    kvHeads,
    headSize,
    feedForward: Math.ceil((width * 8) / 3 / 32) * 32,
    context,
  };
}

const weightsOutside = (width: number, vocabulary: number): number => 2 * vocabulary * width + width;
const weightsPerLayer = (shape: Shape): number =>
  layerMatrices(0, shape).reduce((sum, [, columns, rows]) => sum + columns * rows, 2 * shape.width);
export const weightsOf = (shape: Shape): number =>
  weightsOutside(shape.width, shape.vocabulary) + shape.layers * weightsPerLayer(shape);

/** How far off a shape is: first in weights, then in its proportions. */
function misfit(shape: Shape, parameters: number): number {
  const proportion = Math.abs(Math.log(shape.width / shape.layers / columnsPerLayer));
  return 8 * Math.abs(Math.log(weightsOf(shape) / parameters)) + proportion;
}

/** A vocabulary of spoken syllables, so that what a random model says can be printed and text becomes few tokens. */
export function spokenVocabulary(size: number): Vocabulary {
  const least = controlTokens.length + 256;
  if (size < least) throw new RangeError(`a vocabulary needs at least ${least} tokens`);
  const merges = spokenMerges(size - least);
  return {
    tokens: [...controlTokens, ...byteCharacters, ...merges.map((pair) => pair.replace(' ', ''))],
    controls: controlTokens.length,
    merges,
  };
}

const space = 'Ġ';
/** Syllables ("b a"), syllables that begin a word, then words of two and of three syllables. */
function spokenMerges(count: number): string[] {
  const syllables = Array.from('bdfghjklmnprstvwz').flatMap((consonant) =>
    Array.from('aeiou').map((vowel) => `${consonant} ${vowel}`),
  );
  const whole = syllables.map((pair) => pair.replace(' ', ''));
  const merges = [...syllables, ...whole.map((syllable) => `${space} ${syllable}`)];
  let starts = whole.map((syllable) => `${space}${syllable}`);
  while (merges.length < count) {
    const before = merges.length;
    for (const start of starts)
      for (const syllable of whole) if (merges.length < count) merges.push(`${start} ${syllable}`);
    starts = merges.slice(before).map((pair) => pair.replace(' ', ''));
  }
  return merges.slice(0, count);
}

export function randomModel(options: RandomModel): Gguf {
  const { vocabulary: size, type, seed, name, template } = options;
  const shape = shapeFor(options.parameters, size, options.context);
  const vocabulary = spokenVocabulary(size);
  const about = { name, description: `Random weights (seed ${seed}) for tests of the Berth project: it says nothing.` };
  return {
    metadata: { ...llamaMetadata(about, shape, type), ...bpeMetadata(vocabulary, template) },
    tensors: tensorsOf(shape, type, bannedIn(vocabulary, options.ends), chanceFrom(seed)),
  };
}

/** Token ids that must not be said: control tokens (but the end of a turn, where it may end) and bytes that are no printable text alone. */
function bannedIn({ tokens, controls }: Vocabulary, ends: boolean): Set<number> {
  const spoken = (id: number): boolean => id >= controls + 256 || (id >= controls + 97 && id < controls + 123);
  return new Set(tokens.flatMap((token, id) => (spoken(id) || (ends && token === turnEnd) ? [] : [id])));
}

function tensorsOf(shape: Shape, type: TensorType, banned: ReadonlySet<number>, chance: Chance): Tensor[] {
  const pool = poolOf(type, chance);
  const norm = (name: string): Tensor => tensorOf(name, 'f32', [shape.width], new Float32Array(shape.width).fill(1));
  const random = (name: string, columns: number, rows: number): Tensor =>
    pooled(name, type, columns, rows, pool, chance);
  const layers = Array.from({ length: shape.layers }, (_, layer) => layer).flatMap((layer) => [
    norm(`blk.${layer}.attn_norm.weight`),
    norm(`blk.${layer}.ffn_norm.weight`),
    ...layerMatrices(layer, shape).map(([name, columns, rows]) => random(name, columns, rows)),
  ]);
  return [
    steady('token_embd.weight', type, shape, chance),
    ...layers,
    norm('output_norm.weight'),
    silencing('output.weight', type, shape, banned, chance),
  ];
}

/** Values of a layer's matrices: small, so that 48 layers do not drown what the embedding says. */
const layerDeviation = 0.02;
const poolValues = 1 << 16;
const unitValues = 32;

const poolOf = (type: TensorType, chance: Chance): Uint8Array =>
  encoded(
    Float32Array.from({ length: poolValues }, () => chance.normal() * layerDeviation),
    type,
  );

/** A matrix cut from the pool at random places: a billion weights are written as fast as the disk takes them. */
function pooled(
  name: string,
  type: TensorType,
  columns: number,
  rows: number,
  pool: Uint8Array,
  chance: Chance,
): Tensor {
  const tensor = { name, type, shape: [columns, rows] };
  const seed = chance.between(0, 2 ** 31);
  const unitBytes = tensorBytes({ type, shape: [unitValues] });
  return {
    ...tensor,
    *data() {
      const place = chanceFrom(seed);
      for (let left = tensorBytes(tensor); left > 0;) {
        const from = place.between(0, poolValues / unitValues - 1) * unitBytes;
        const piece = pool.subarray(from, Math.min(from + left, pool.length));
        left -= piece.length;
        yield piece;
      }
    },
  };
}

/** The first column says the same for every token, so that the output can lean on it. */
const steadyValue = 1;
/** A silenced token's row is nothing but a big minus on the steady column: its logit is far below all others. */
const silence = -100;
const voiceDeviation = 3;
const rowsAtOnce = 1024;

function steady(name: string, type: TensorType, shape: Shape, chance: Chance): Tensor {
  return rowwise(name, type, shape, 1, chance, (row) => (row[0] = steadyValue));
}

function silencing(name: string, type: TensorType, shape: Shape, banned: ReadonlySet<number>, chance: Chance): Tensor {
  return rowwise(name, type, shape, voiceDeviation / Math.sqrt(shape.width), chance, (row, token) => {
    if (banned.has(token)) row.fill(0);
    row[0] = banned.has(token) ? silence : 0;
  });
}

/** A row for each token: random values, cut from a pool at random places, then touched by `finish`. */
function rowwise(
  name: string,
  type: TensorType,
  { width, vocabulary }: Shape,
  deviation: number,
  chance: Chance,
  finish: (row: Float32Array, token: number) => void,
): Tensor {
  const seed = chance.between(0, 2 ** 31);
  return {
    name,
    type,
    shape: [width, vocabulary],
    *data() {
      const draw = chanceFrom(seed);
      const normals = Float32Array.from({ length: poolValues }, () => draw.normal() * deviation);
      for (let first = 0; first < vocabulary; first += rowsAtOnce) {
        const rows = Math.min(rowsAtOnce, vocabulary - first);
        const values = new Float32Array(rows * width);
        for (let place = 0; place < rows; place += 1) {
          const row = values.subarray(place * width, (place + 1) * width);
          const from = draw.between(0, poolValues - width);
          row.set(normals.subarray(from, from + width));
          finish(row, first + place);
        }
        yield encoded(values, type);
      }
    },
  };
}
