// One batch of the slot loop: filled, decoded, and its rows sampled.

/** Of node-llama-cpp's internals: see binding.ts. */
export interface NativeBatch {
  initBatch(tokens: number): void;
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
}

/** One sequence's share of a batch. */
export interface Part {
  sequence: number;
  position: number;
  tokens: Uint32Array;
  /** Chooses the token that follows its last one; `null` = it is not wanted. */
  sampler: Sampler | null;
}

/** What follows a part, and the row of the batch that says so. -1 = no token is possible. */
export interface Sampled {
  row: number;
  token: number;
}

export interface Sampler extends Disposable {
  /** The next token from a row of the last batch, or -1. */
  next(row: number): Promise<number>;
}

/** Which of a part's tokens are sampled; those of a single one are kept, because making them costs more than a step's other JavaScript. */
const [none, onlyOne] = [new Uint32Array(0), Uint32Array.of(0)];

type Sampling = (part: Part, index: number) => Promise<Sampled | null>;

/** @returns what samples a part once the batch is decoded */
function fillBatch(native: NativeBatch, parts: readonly Part[]): Sampling {
  native.initBatch(parts.reduce((sum, { tokens }) => sum + tokens.length, 0));
  const rows = parts.map(({ sequence, position, tokens, sampler }) => {
    const wanted = sampler === null ? none : tokens.length === 1 ? onlyOne : Uint32Array.of(tokens.length - 1);
    return native.addToBatch(sequence, position, tokens, wanted)[0] ?? -1;
  });
  return async ({ sampler }, index) => {
    const row = rows[index] ?? -1;
    return sampler === null ? null : { row, token: await sampler.next(row) };
  };
}

/**
 * For a process with one native thread, which runs calls in the order they are made: it goes from the batch to its
 * samples by itself. To JavaScript and back between them are two wake-ups of a thread, for a single answer a tenth of
 * a millisecond that decodes nothing.
 */
export async function stepInOrder(native: NativeBatch, parts: readonly Part[]): Promise<(Sampled | null)[]> {
  const sample = fillBatch(native, parts);
  const [, ...sampled] = await Promise.all([native.decodeBatch(), ...parts.map(sample)]);
  return sampled;
}

/**
 * The first sample is awaited alone: llama.cpp swaps the batch's rows on the first look at them, and in
 * node-llama-cpp 3.21 looking at once from several threads gave a request the tokens of another.
 */
export async function stepAtOnce(native: NativeBatch, parts: readonly Part[]): Promise<(Sampled | null)[]> {
  const sample = fillBatch(native, parts);
  await native.decodeBatch();
  const first = parts.findIndex(({ sampler }) => sampler !== null);
  const head = await Promise.all(parts.slice(0, first + 1).map(sample));
  return [
    ...head,
    ...(await Promise.all(parts.slice(first + 1).map((part, index) => sample(part, first + 1 + index)))),
  ];
}
