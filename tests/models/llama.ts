// The parts that all our models of the llama architecture share: metadata, tokenizer and the names of tensors.
import type { Vocabulary } from './bpe.ts';
import { chatTemplate, turnEnd } from './dialogues/chat.ts';
import { bool, f32, i32s, text, texts, u32, type Metadata } from './gguf.ts';

export interface Shape {
  readonly vocabulary: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly feedForward: number;
  readonly context: number;
}
export interface About {
  readonly name: string;
  readonly description: string;
}

/** As in Llama 3: most pairs hardly turn over our contexts, which leaves them free to match content. */
const ropeBase = 500_000;
const normEpsilon = 1e-5;
/** ggml's file types (llama.h, `llama_ftype`). */
export const fileType = { f32: 0, f16: 1, q8_0: 7 } as const;

export function llamaMetadata(about: About, shape: Shape, type: keyof typeof fileType): Metadata {
  return {
    'general.architecture': text('llama'),
    'general.type': text('model'),
    'general.name': text(about.name),
    'general.description': text(about.description),
    'general.author': text('the Berth project'),
    'general.license': text('mit'),
    'general.file_type': u32(fileType[type]),
    'general.quantization_version': u32(2),
    'llama.context_length': u32(shape.context),
    'llama.embedding_length': u32(shape.width),
    'llama.block_count': u32(shape.layers),
    'llama.feed_forward_length': u32(shape.feedForward),
    'llama.attention.head_count': u32(shape.heads),
    'llama.attention.head_count_kv': u32(shape.kvHeads),
    'llama.attention.key_length': u32(shape.headSize),
    'llama.attention.value_length': u32(shape.headSize),
    'llama.attention.layer_norm_rms_epsilon': f32(normEpsilon),
    'llama.rope.dimension_count': u32(shape.headSize),
    'llama.rope.freq_base': f32(ropeBase),
    'llama.vocab_size': u32(shape.vocabulary),
  };
}

/** Token types of llama.cpp: 1 normal, 3 control. */
export function bpeMetadata(vocabulary: Vocabulary, template: string | undefined = chatTemplate): Metadata {
  const ends = vocabulary.tokens.indexOf(turnEnd);
  return {
    'tokenizer.ggml.model': text('gpt2'),
    'tokenizer.ggml.pre': text('smollm'),
    'tokenizer.ggml.tokens': texts(vocabulary.tokens),
    'tokenizer.ggml.token_type': i32s(vocabulary.tokens.map((_, id) => (id < vocabulary.controls ? 3 : 1))),
    'tokenizer.ggml.merges': texts(vocabulary.merges),
    'tokenizer.ggml.bos_token_id': u32(0),
    'tokenizer.ggml.eos_token_id': u32(ends),
    'tokenizer.ggml.padding_token_id': u32(0),
    'tokenizer.ggml.add_bos_token': bool(false),
    ...(template === undefined ? {} : { 'tokenizer.chat_template': text(template) }),
  };
}

/** The matrices of one layer with their [columns, rows], in llama.cpp's names. */
export function layerMatrices(
  layer: number,
  { width, heads, kvHeads, headSize, feedForward }: Shape,
): [name: string, columns: number, rows: number][] {
  const block = `blk.${layer}`;
  return [
    [`${block}.attn_q.weight`, width, heads * headSize],
    [`${block}.attn_k.weight`, width, kvHeads * headSize],
    [`${block}.attn_v.weight`, width, kvHeads * headSize],
    [`${block}.attn_output.weight`, heads * headSize, width],
    [`${block}.ffn_gate.weight`, width, feedForward],
    [`${block}.ffn_up.weight`, width, feedForward],
    [`${block}.ffn_down.weight`, feedForward, width],
  ];
}
