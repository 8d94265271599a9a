// Which idle sequence a new request takes, and how much of its KV cache it may keep. Pure.

export interface IdleSequence {
  /** The sequence's number in the batch. */
  index: number;
  /** Who filled it: its content is reused only in the same scope. `null` = nobody yet. */
  scope: string | null;
  /** The tokens whose KV cells it holds, from position 0. */
  tokens: readonly number[];
  /** A counter that grows with every use. */
  usedAt: number;
}

/** Below this share of the prompt a match is chance (a system prompt's first words) and not worth a good cache. */
const worthShare = 0.1;

/**
 * 1. the sequence of the same scope with the longest common prefix, if that is worth it; of two, the longer unused;
 * 2. else an empty one;
 * 3. else the least recently used.
 *
 * @returns the sequence, and how many leading prompt tokens it holds already: never all, because the last one has
 *   to be evaluated to give the first logits
 */
export function chooseSequence<S extends IdleSequence>(
  idle: readonly S[],
  scope: string,
  prompt: ArrayLike<number>,
): { sequence: S; reuse: number } | null {
  const candidates = idle
    .map((sequence) => ({ sequence, reuse: sequence.scope === scope ? commonPrefix(sequence.tokens, prompt) : 0 }))
    .sort((a, b) => a.sequence.usedAt - b.sequence.usedAt);
  const longest = candidates.reduce((best, one) => Math.max(best, one.reuse), 0);
  if (longest > prompt.length * worthShare) return candidates.find(({ reuse }) => reuse === longest) ?? null;
  return candidates.find(({ sequence }) => sequence.tokens.length === 0) ?? candidates[0] ?? null;
}

/** Leading tokens that both have, at most all but the prompt's last. */
export function commonPrefix(tokens: ArrayLike<number>, prompt: ArrayLike<number>): number {
  const bound = Math.max(0, Math.min(tokens.length, prompt.length - 1));
  let length = 0;
  while (length < bound && tokens[length] === prompt[length]) length += 1;
  return length;
}
