// How many sequences of which length fit into a memory. Pure but for the estimate that it is given.

export interface Shape {
  /** Sequences. */
  slots: number;
  /** Tokens of each. */
  contextTokens: number;
}

export type Fit = { kind: 'fits'; shape: Shape } | { kind: 'too_large'; needsBytes: number };

/** The smallest context that is worth starting with when memory is short; llama.cpp rounds to as many. */
const contextTokensMin = 256;

/**
 * Fewer sequences before shorter ones: a request then waits a little longer, while in a shorter context some would be
 * refused that the model could answer.
 *
 * @param bytesOf what a context of a shape takes; grows with both numbers
 * @returns the largest shape that fits, or what the smallest would need
 */
export async function fitInto(
  freeBytes: number,
  wanted: Shape,
  bytesOf: (shape: Shape) => Promise<number>,
): Promise<Fit> {
  const { contextTokens } = wanted;
  const fits = async (shape: Shape): Promise<boolean> => (await bytesOf(shape)) <= freeBytes;
  const slots = await largest(wanted.slots, (slots) => fits({ slots, contextTokens }));
  if (slots > 0) return { kind: 'fits', shape: { slots, contextTokens } };
  const unit = Math.min(contextTokensMin, contextTokens);
  const units = await largest(Math.floor(contextTokens / unit), (units) =>
    fits({ slots: 1, contextTokens: units * unit }),
  );
  if (units > 0) return { kind: 'fits', shape: { slots: 1, contextTokens: units * unit } };
  return { kind: 'too_large', needsBytes: await bytesOf({ slots: 1, contextTokens: unit }) };
}

/** The largest number from 1 to `most` for which it holds, given that it holds for all smaller ones too; 0 = none. */
async function largest(most: number, holds: (count: number) => Promise<boolean>): Promise<number> {
  if (await holds(most)) return most;
  let [low, high] = [0, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await holds(middle)) low = middle;
    else high = middle;
  }
  return low;
}
