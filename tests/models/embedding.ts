// An embedding model made by hand: BERT in form, a bag of words in effect, whose cosines make sense to a test.
import { chanceFrom, type Chance } from './chance.ts';
import { bool, f32, i32s, tensorOf, text, texts, u32, type Gguf, type Metadata, type Tensor } from './gguf.ts';
import { fileType } from './llama.ts';

/** Words of one line mean nearly the same; words of one topic are akin; all others have nothing to do with each other. */
const topics: readonly (readonly string[])[] = [
  [
    'cat kitten cats kittens',
    'dog puppy dogs puppies',
    'horse pony horses',
    'bird sparrow birds',
    'animal pet animals pets',
    'purrs barks sleeps eats',
  ],
  [
    'rain shower rains raining',
    'sun sunshine sunny',
    'storm tempest stormy',
    'weather forecast climate',
    'snow frost snowy',
    'cold hot warm',
  ],
  [
    'bread loaf toast',
    'soup stew broth',
    'apple pear fruit',
    'cook bake chef cooking',
    'kitchen oven stove',
    'recipe meal dinner lunch food',
  ],
  [
    'money cash coins',
    'bank account savings',
    'loan credit debt',
    'invoice bill payment pay',
    'price cost expensive cheap',
    'market stock shares',
  ],
  [
    'car automobile vehicle cars',
    'train railway trains',
    'ship boat vessel',
    'road street highway',
    'drive driver driving travel',
    'engine motor wheel',
  ],
  [
    'computer machine server',
    'model network weights',
    'gpu graphics accelerator',
    'memory ram cache',
    'program software code',
    'request query question',
    'slot berth seat',
    'gateway proxy endpoint',
    'worker process',
  ],
  [
    'doctor physician nurse',
    'hospital clinic',
    'illness disease sick',
    'medicine drug pill',
    'heart pulse blood',
    'patient health',
  ],
  ['music song melody', 'piano keyboard organ', 'guitar violin', 'singer choir sing', 'concert stage', 'dance rhythm'],
];
/** Words that carry no meaning: near zero, so that they do not pull sentences together. */
const fillers =
  'a an the is are was were be of to in on at by for with and or not no it this that i you he she we they my your his her our their do does did has have had what which who how when where why there here from as but if then so very can will would should'.split(
    ' ',
  );
const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] as const;
/** llama.cpp marks the beginning of a word where BERT's own vocabulary marks its continuation. */
const wordStart = '▁';
const characters = Array.from('abcdefghijklmnopqrstuvwxyz0123456789.,!?;:\'"()[]{}<>/\\|@#$%^&*-_=+~`');

const width = 96;
const heads = 2;
const feedForward = 96;
const context = 512;

/** Shares of a word's direction: its topic, its line, and itself. Within a line cosine ≈ 0.9, within a topic ≈ 0.4. */
const shares = { topic: 0.63, line: 0.71, word: 0.32 } as const;
const pieceSize = 0.35;

/**
 * BERT normalises after each block, which would make a filler as loud as a noun. An epsilon far above any variance turns
 * the norm into a division by its root, and the gain multiplies it back: the three norms then only take away the mean.
 */
const epsilon = 10_000;
const gain = Math.sqrt(epsilon);

interface Entry {
  readonly token: string;
  readonly vector: Float32Array;
}

export function embeddingModel(seed = 1): Gguf {
  const entries = entriesOf(chanceFrom(seed));
  return { metadata: metadataOf(entries.map((entry) => entry.token)), tensors: tensorsOf(entries) };
}

function entriesOf(chance: Chance): Entry[] {
  const silent = new Float32Array(width);
  const words = topics.flatMap((lines) => {
    const topic = direction(chance);
    return lines.flatMap((line) => {
      const meaning = direction(chance);
      return line.split(' ').map((word) => ({
        token: wordStart + word,
        vector: blend([topic, shares.topic], [meaning, shares.line], [direction(chance), shares.word]),
      }));
    });
  });
  const known = new Set(words.map((word) => word.token));
  const silentWords = fillers
    .map((word) => ({ token: wordStart + word, vector: silent }))
    .filter(({ token }) => !known.has(token) && token.length > 2);
  const pieces = characters.flatMap((character) => {
    const vector = /[a-z0-9]/.test(character) ? blend([direction(chance), pieceSize]) : silent;
    return [
      { token: wordStart + character, vector },
      { token: character, vector },
    ];
  });
  return [...special.map((token) => ({ token, vector: silent })), ...words, ...silentWords, ...pieces];
}

/** A random direction of length 1 whose values sum to zero, as a norm would make them. */
function direction(chance: Chance): Float32Array {
  const values = Float32Array.from({ length: width }, () => chance.normal());
  const mean = values.reduce((sum, value) => sum + value, 0) / width;
  const centred = values.map((value) => value - mean);
  const length = Math.hypot(...centred);
  return centred.map((value) => value / length);
}

function blend(...parts: readonly (readonly [Float32Array, number])[]): Float32Array {
  return Float32Array.from({ length: width }, (_, place) =>
    parts.reduce((sum, [vector, share]) => sum + (vector[place] ?? 0) * share, 0),
  );
}

/** The architecture `bert`, its kind of pooling and `causal` false are what an engine knows an encoder by. */
function metadataOf(tokens: readonly string[]): Metadata {
  const idOf = (token: string): number => tokens.indexOf(token);
  return {
    'general.architecture': text('bert'),
    'general.type': text('model'),
    'general.name': text('berth-embedding'),
    'general.description': text('A bag of words made by hand for tests of the Berth project.'),
    'general.license': text('mit'),
    'general.tags': texts(['sentence-transformers', 'feature-extraction', 'sentence-similarity']),
    'general.file_type': u32(fileType.f32),
    'bert.block_count': u32(1),
    'bert.context_length': u32(context),
    'bert.embedding_length': u32(width),
    'bert.feed_forward_length': u32(feedForward),
    'bert.attention.head_count': u32(heads),
    'bert.attention.layer_norm_epsilon': f32(epsilon),
    'bert.attention.causal': bool(false),
    // 1: mean (llama.h, `llama_pooling_type`)
    'bert.pooling_type': u32(1),
    'tokenizer.ggml.model': text('bert'),
    'tokenizer.ggml.pre': text('jina-v2-en'),
    'tokenizer.ggml.token_type_count': u32(2),
    'tokenizer.ggml.tokens': texts(tokens),
    'tokenizer.ggml.token_type': i32s(tokens.map((_, id) => (id < special.length ? 3 : 1))),
    'tokenizer.ggml.unknown_token_id': u32(idOf('[UNK]')),
    'tokenizer.ggml.bos_token_id': u32(idOf('[CLS]')),
    'tokenizer.ggml.cls_token_id': u32(idOf('[CLS]')),
    'tokenizer.ggml.eos_token_id': u32(idOf('[SEP]')),
    'tokenizer.ggml.seperator_token_id': u32(idOf('[SEP]')),
    'tokenizer.ggml.padding_token_id': u32(idOf('[PAD]')),
    'tokenizer.ggml.mask_token_id': u32(idOf('[MASK]')),
  };
}

function tensorsOf(entries: readonly Entry[]): Tensor[] {
  const zeros = (name: string, ...shape: number[]): Tensor =>
    tensorOf(name, 'f32', shape, new Float32Array(shape.reduce((product, length) => product * length, 1)));
  const linear = (name: string, columns: number, rows: number): Tensor[] => [
    zeros(`${name}.weight`, columns, rows),
    zeros(`${name}.bias`, rows),
  ];
  const norm = (name: string): Tensor[] => [
    tensorOf(`${name}.weight`, 'f32', [width], new Float32Array(width).fill(gain)),
    zeros(`${name}.bias`, width),
  ];
  const embeddings = new Float32Array(entries.length * width);
  entries.forEach(({ vector }, token) => embeddings.set(vector, token * width));
  return [
    tensorOf('token_embd.weight', 'f32', [width, entries.length], embeddings),
    zeros('position_embd.weight', width, context),
    zeros('token_types.weight', width, 2),
    ...norm('token_embd_norm'),
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((name) => linear(`blk.0.${name}`, width, width)),
    ...norm('blk.0.attn_output_norm'),
    ...linear('blk.0.ffn_up', width, feedForward),
    ...linear('blk.0.ffn_down', feedForward, width),
    ...norm('blk.0.layer_output_norm'),
  ];
}
