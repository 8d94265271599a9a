// A model that always says the same words, whatever it is asked: every token leads to the next one, and nothing else counts.
import { byteCharacters, type Vocabulary } from './bpe.ts';
import { chanceFrom } from './chance.ts';
import { chatTemplate, controlTokens, turnEnd } from './dialogues/chat.ts';
import { tensorOf, type Gguf, type Tensor } from './gguf.ts';
import { bpeMetadata, layerMatrices, llamaMetadata, type Shape } from './llama.ts';

export interface Script {
  readonly name: string;
  /** What it says, cut into its tokens; a token may not come twice, for it would not know where it is. */
  readonly says: readonly string[];
  /** What it says when the prompt ends in this token, and not in the line break that opens a turn. */
  readonly after?: Readonly<Record<string, readonly string[]>>;
  /** More control tokens. */
  readonly marks?: readonly string[];
  readonly template?: string;
  readonly seed?: number;
}

const width = 64;
const layersShape = { width, layers: 1, heads: 2, kvHeads: 2, headSize: 32, feedForward: 64, context: 4096 } as const;

/** Attention and feed-forward are zero, so the last token alone chooses the next: its embedding is the output row of its successor. */
export function scriptedModel({ name, says, after = {}, marks = [], template = chatTemplate, seed = 1 }: Script): Gguf {
  const chains = Object.entries({ '\n': says, ...after }).map(([start, words]) => [start, ...words]);
  const words = chains.flatMap((chain) => chain.slice(1));
  if (new Set(words).size !== words.length) throw new RangeError('a scripted model cannot say a token twice');
  const vocabulary = vocabularyFor(words, [...controlTokens, ...marks]);
  const shape: Shape = { ...layersShape, vocabulary: vocabulary.tokens.length };
  const about = { name, description: 'A model of the Berth project for tests: it always says the same words.' };
  return {
    metadata: { ...llamaMetadata(about, shape, 'f32'), ...bpeMetadata(vocabulary, template) },
    tensors: chainTensors(shape, vocabulary, chains, seed),
  };
}

/** Bytes as the tokenizer needs them, and the script's words as tokens of their own that no text is ever cut into. */
function vocabularyFor(says: readonly string[], controls: readonly string[]): Vocabulary {
  const encode = (word: string): string =>
    Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] ?? '').join('');
  const plain = says.filter((word) => !controls.includes(word));
  const words = plain.map(encode).filter((word) => !byteCharacters.includes(word));
  return { tokens: [...controls, ...byteCharacters, ...words], controls: controls.length, merges: [] };
}

function chainTensors(
  shape: Shape,
  vocabulary: Vocabulary,
  chains: readonly (readonly string[])[],
  seed: number,
): Tensor[] {
  const chance = chanceFrom(seed);
  const embeddings = Float32Array.from({ length: shape.vocabulary * width }, () => chance.normal());
  const output = new Float32Array(embeddings.length);
  const row = (values: Float32Array, token: number): Float32Array =>
    values.subarray(token * width, (token + 1) * width);
  for (const words of chains) {
    const chain = [...words, turnEnd].map((word) => tokenOf(vocabulary, word));
    chain.slice(1).forEach((token, place) => add(row(output, token), row(embeddings, chain[place] ?? 0)));
  }
  const norm = (name: string): Tensor => tensorOf(name, 'f32', [width], new Float32Array(width).fill(1));
  return [
    tensorOf('token_embd.weight', 'f32', [width, shape.vocabulary], embeddings),
    norm('blk.0.attn_norm.weight'),
    norm('blk.0.ffn_norm.weight'),
    ...layerMatrices(0, shape).map(([name, columns, rows]) =>
      tensorOf(name, 'f32', [columns, rows], new Float32Array(columns * rows)),
    ),
    norm('output_norm.weight'),
    tensorOf('output.weight', 'f32', [width, shape.vocabulary], output),
  ];
}

/** The end of a turn follows the last word of every chain. */
function add(sum: Float32Array, more: Float32Array): void {
  more.forEach((value, place) => (sum[place] = (sum[place] ?? 0) + value));
}

function tokenOf(vocabulary: Vocabulary, word: string): number {
  const encodedWord = vocabulary.tokens.slice(0, vocabulary.controls).includes(word)
    ? word
    : Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] ?? '').join('');
  return vocabulary.tokens.indexOf(encodedWord);
}
