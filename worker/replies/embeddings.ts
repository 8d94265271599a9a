// Vectors as OpenAI and Ollama write them. Pure.
import { lineJson } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Embedding, Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { Ending } from './reply.ts';

/** The body of a reply; `vectors` in the order of the inputs. */
export function embeddingsBody(
  { model }: Generation,
  { form, encoding }: Embedding,
  vectors: readonly Float32Array[],
  settlement: Settlement,
  { totalMs }: Ending,
): string {
  if (form === 'ollama_single') return lineJson({ embedding: [...(vectors[0] ?? [])] });
  if (form === 'openai') {
    const { promptTokens } = settlement;
    const data = vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encoded(vector, encoding) }));
    const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens };
    return lineJson({ object: 'list', data, model, usage });
  }
  return lineJson({
    model,
    embeddings: vectors.map((vector) => [...vector]),
    total_duration: nanoseconds(totalMs),
    load_duration: nanoseconds(settlement.loadMs),
    prompt_eval_count: settlement.promptTokens,
  });
}

/** Base64 of 32-bit numbers, little-endian: what OpenAI's clients ask for by themselves and decode. */
function encoded(vector: Float32Array, encoding: Embedding['encoding']): number[] | string {
  if (encoding === 'float') return [...vector];
  const bytes = Buffer.alloc(4 * vector.length);
  vector.forEach((value, index) => bytes.writeFloatLE(value, 4 * index));
  return bytes.toString('base64');
}

/** Whole and never 0, as in Ollama's other replies. */
function nanoseconds(durationMs: number): number {
  return Math.max(1, Math.round(durationMs * 1e6));
}

/**
 * The vector at length 1, cut to so many dimensions before: the first ones of a model that was trained for it carry
 * the most.
 * @throws Refusal `bad_request` when OpenAI's `dimensions` asks for more than there are; Ollama takes all then
 */
export function shaped(vector: Float32Array, { dimensions, form }: Embedding): Float32Array {
  if (dimensions !== null && dimensions > vector.length && form === 'openai') {
    const message = `dimensions must be at most ${vector.length}: this model has no more`;
    throw new Refusal('bad_request', message, { param: 'dimensions' });
  }
  const cut = vector.subarray(0, dimensions ?? vector.length);
  const length = Math.hypot(...cut);
  return length === 0 ? cut : cut.map((value) => value / length);
}
