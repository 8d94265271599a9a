// Which sequence a new request takes, and from where it gets the beginning of its KV cache. Pure.

export interface CachedSequence {
  /** The sequence's number in the batch. */
  index: number;
  /** Who filled it: its content is reused only in the same scope. `null` = nobody yet. */
  scope: string | null;
  /** The tokens whose KV cells it holds, from position 0. */
  tokens: readonly number[];
  /** A counter that grows with every use. */
  usedAt: number;
}

export interface PrefixChoice<S> {
  sequence: S;
  /** Leading prompt tokens that need not be evaluated: never all, because the last one gives the first logits. */
  reuse: number;
  /** Where these tokens' cells have to be copied from; `null` = the sequence has them itself. */
  copyFrom: S | null;
}

/** Below this share of the prompt a match is chance (a template's first words) and not worth a good cache. */
const worthShare = 0.1;
/** A copy moves the whole sequence, so a longer context has to gain more: about 100 times dearer is a token's prefill. */
const copyGainShare = 1 / 64;
const copyGainMin = 32;
/** Who would lose more than this share of a sequence's content copies its beginning instead. */
const loseShareMax = 0.5;

/**
 * 1. nothing of the scope matches enough: an empty sequence, else the least recently used;
 * 2. the best match is idle and most of it would be kept: that sequence;
 * 3. the best match is busy, or would lose a long tail: a copy of its beginning into the one of rule 1, if it gains enough;
 * 4. else the best idle match.
 */
export function chooseSequence<S extends CachedSequence>(
  idle: readonly S[],
  busy: readonly S[],
  scope: string,
  prompt: ArrayLike<number>,
  contextTokens: number,
): PrefixChoice<S> | null {
  const free = leastWorth(idle);
  if (free === null) return null;
  const own = bestMatch(idle, scope, prompt);
  const other = bestMatch(busy, scope, prompt);
  const best = other.reuse > own.reuse ? other : own;
  if (best.sequence === null || best.reuse <= prompt.length * worthShare) return kept(free, scope, prompt); // 1
  if (best === own && best.reuse >= best.sequence.tokens.length * loseShareMax)
    return kept(best.sequence, scope, prompt); // 2
  const instead = kept(free, scope, prompt);
  const gain = best.reuse - Math.max(instead.reuse, best === other ? own.reuse : 0);
  const worthCopying = gain >= Math.max(copyGainMin, contextTokens * copyGainShare);
  if (free !== best.sequence && worthCopying) return { sequence: free, reuse: best.reuse, copyFrom: best.sequence }; // 3
  return kept(own.sequence ?? free, scope, prompt); // 4
}

function kept<S extends CachedSequence>(sequence: S, scope: string, prompt: ArrayLike<number>): PrefixChoice<S> {
  return { sequence, reuse: matching(sequence, scope, prompt), copyFrom: null };
}

function bestMatch<S extends CachedSequence>(
  sequences: readonly S[],
  scope: string,
  prompt: ArrayLike<number>,
): { sequence: S | null; reuse: number } {
  let best: { sequence: S | null; reuse: number } = { sequence: null, reuse: 0 };
  for (const sequence of sequences) {
    const reuse = matching(sequence, scope, prompt);
    if (reuse > best.reuse) best = { sequence, reuse };
  }
  return best;
}

/** An empty sequence, else the one that nobody has used for longest. */
function leastWorth<S extends CachedSequence>(idle: readonly S[]): S | null {
  const worth = ({ tokens, usedAt }: CachedSequence): number => (tokens.length === 0 ? -1 : usedAt);
  return idle.reduce<S | null>((least, one) => (least === null || worth(one) < worth(least) ? one : least), null);
}

function matching(sequence: CachedSequence, scope: string, prompt: ArrayLike<number>): number {
  return sequence.scope === scope ? commonPrefix(sequence.tokens, prompt) : 0;
}

/** Leading tokens that both have, at most all but the prompt's last. */
export function commonPrefix(tokens: ArrayLike<number>, prompt: ArrayLike<number>): number {
  const bound = Math.max(0, Math.min(tokens.length, prompt.length - 1));
  let length = 0;
  while (length < bound && tokens[length] === prompt[length]) length += 1;
  return length;
}
