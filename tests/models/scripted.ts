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
  readonly template?: string;
  readonly seed?: number;
}

const width = 64;
const layersShape = { width, layers: 1, heads: 2, kvHeads: 2, headSize: 32, feedForward: 64, context: 4096 } as const;

/** Attention and feed-forward are zero, so the last token alone chooses the next: its embedding is the output row of its successor. */
export function scriptedModel({ name, says, template = chatTemplate, seed = 1 }: Script): Gguf {
  if (new Set(says).size !== says.length) throw new RangeError('a scripted model cannot say a token twice');
  const vocabulary = vocabularyFor(says);
  const shape: Shape = { ...layersShape, vocabulary: vocabulary.tokens.length };
  const about = { name, description: 'A model of the Berth project for tests: it always says the same words.' };
  return {
    metadata: { ...llamaMetadata(about, shape, 'f32'), ...bpeMetadata(vocabulary, template) },
    tensors: chainTensors(shape, vocabulary, says, seed),
  };
}

/** Bytes as the tokenizer needs them, and the script's words as tokens of their own that no text is ever cut into. */
function vocabularyFor(says: readonly string[]): Vocabulary {
  const encode = (word: string): string =>
    Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] ?? '').join('');
  const plain = says.filter((word) => !controlTokens.includes(word));
  const words = plain.map(encode).filter((word) => !byteCharacters.includes(word));
  return { tokens: [...controlTokens, ...byteCharacters, ...words], controls: controlTokens.length, merges: [] };
}

function chainTensors(shape: Shape, vocabulary: Vocabulary, says: readonly string[], seed: number): Tensor[] {
  const chance = chanceFrom(seed);
  const embeddings = Float32Array.from({ length: shape.vocabulary * width }, () => chance.normal());
  const output = new Float32Array(embeddings.length);
  const row = (values: Float32Array, token: number): Float32Array =>
    values.subarray(token * width, (token + 1) * width);
  const chain = ['\n', ...says, turnEnd].map((word) => tokenOf(vocabulary, word));
  chain.slice(1).forEach((token, place) => row(output, token).set(row(embeddings, chain[place] ?? 0)));
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

function tokenOf(vocabulary: Vocabulary, word: string): number {
  const encodedWord = controlTokens.includes(word)
    ? word
    : Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] ?? '').join('');
  return vocabulary.tokens.indexOf(encodedWord);
}
