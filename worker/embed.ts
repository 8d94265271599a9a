// The life of a request for embeddings, when it has its slot and its model: input by input, until it is cancelled.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Embedding } from '@berth/shared/request.ts';
import type { Embedded, Engine } from './engine/engine.ts';
import { shaped } from './replies/embeddings.ts';

/** Tokens of one request, OpenAI's documented bound: a slot of the lane is not held for longer. */
const tokensMax = 300_000;

export interface Vectors {
  /** In the order of the inputs, each of length 1. */
  vectors: Float32Array[];
  tokens: number;
}

/** One vector per input. The signal is looked at between two, so that a cancellation waits for one at most. */
export async function* embeddedInputs(
  engine: Pick<Engine, 'embed'>,
  { inputs, truncate }: Embedding,
  at: (index: number) => string,
  signal: AbortSignal,
): AsyncGenerator<Embedded> {
  for (const [index, input] of inputs.entries()) {
    signal.throwIfAborted();
    yield await engine.embed({ input, truncate, at: at(index) });
  }
  signal.throwIfAborted();
}

/** @throws Refusal `bad_request` when there are too many tokens, or not so many dimensions */
export async function gatherVectors(events: AsyncIterable<Embedded>, embedding: Embedding): Promise<Vectors> {
  const vectors: Float32Array[] = [];
  let tokens = 0;
  for await (const embedded of events) {
    tokens += embedded.tokens;
    if (tokens > tokensMax)
      throw new Refusal('bad_request', `input has more than ${tokensMax} tokens`, { param: 'input' });
    vectors.push(shaped(embedded.vector, embedding));
  }
  return { vectors, tokens };
}

/** The field that an input came from, as the client wrote it. */
export function fieldOf({ form, inputs }: Embedding): (index: number) => string {
  if (form === 'ollama_single') return () => 'prompt';
  return (index) => (inputs.length === 1 ? 'input' : `input[${index}]`);
}
