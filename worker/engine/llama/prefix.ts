// Which sequence a new request takes, and from where it gets the beginning of its KV cache. Pure.

/** Tokens that were evaluated for somebody: in a sequence, or saved in a file. */
export interface CachedTokens {
  /** Who filled it: its content is reused only in the same scope. `null` = nobody yet. */
  scope: string | null;
  /** The tokens whose KV cells it holds, from position 0. */
  tokens: ArrayLike<number>;
}

export interface CachedSequence extends CachedTokens {
  /** The sequence's number in the batch. */
  index: number;
  /** A counter that grows with every use. */
  usedAt: number;
}

export interface PrefixChoice<S, F = never> {
  sequence: S;
  /** Leading prompt tokens that need not be evaluated: never all, because the last one gives the first logits. */
  reuse: number;
  /** Where these tokens' cells have to be copied from, or the file they have to be read from; `null` = the sequence has them itself. */
  from: { kind: 'copy'; sequence: S } | { kind: 'file'; saved: F } | null;
}

/** Below this share of the prompt a match is chance (a template's first words) and not worth a good cache. */
const worthShare = 0.1;
/** A copy or a file moves the whole content, so a longer one has to gain more: about 100 times dearer is a token's prefill. */
const moveGainShare = 1 / 64;
const moveGainMin = 32;
/** Who would lose more than this share of a sequence's content copies its beginning instead. */
const loseShareMax = 0.5;

/**
 * 1. nothing of the scope matches enough: an empty sequence, else the least recently used;
 * 2. the best match is idle and most of it would be kept: that sequence;
 * 3. the best match is busy, or would lose a long tail: a copy of its beginning into the one of rule 1, if it gains enough;
 * 4. else the best idle match;
 * 5. a file that knows enough more than the choice of rules 1 to 4: read into the one of rule 1.
 */
export function chooseSequence<S extends CachedSequence, F extends CachedTokens = never>(
  idle: readonly S[],
  busy: readonly S[],
  saved: readonly F[],
  scope: string,
  prompt: ArrayLike<number>,
  contextTokens: number,
): PrefixChoice<S, F> | null {
  const free = leastWorth(idle);
  if (free === null) return null;
  const choice = chooseLoaded(free, idle, busy, scope, prompt, contextTokens);
  const file = bestMatch(saved, scope, prompt);
  if (file.holder === null || file.reuse <= prompt.length * worthShare) return choice;
  const gain = file.reuse - choice.reuse;
  if (gain < Math.max(moveGainMin, file.holder.tokens.length * moveGainShare)) return choice;
  return { sequence: free, reuse: file.reuse, from: { kind: 'file', saved: file.holder } }; // 5
}

function chooseLoaded<S extends CachedSequence>(
  free: S,
  idle: readonly S[],
  busy: readonly S[],
  scope: string,
  prompt: ArrayLike<number>,
  contextTokens: number,
): PrefixChoice<S> {
  const own = bestMatch(idle, scope, prompt);
  const other = bestMatch(busy, scope, prompt);
  const best = other.reuse > own.reuse ? other : own;
  if (best.holder === null || best.reuse <= prompt.length * worthShare) return kept(free, scope, prompt); // 1
  if (best === own && best.reuse >= best.holder.tokens.length * loseShareMax) return kept(best.holder, scope, prompt); // 2
  const instead = kept(free, scope, prompt);
  const gain = best.reuse - Math.max(instead.reuse, best === other ? own.reuse : 0);
  const worthCopying = gain >= Math.max(moveGainMin, contextTokens * moveGainShare);
  if (free !== best.holder && worthCopying)
    return { sequence: free, reuse: best.reuse, from: { kind: 'copy', sequence: best.holder } }; // 3
  return kept(own.holder ?? free, scope, prompt); // 4
}

function kept<S extends CachedSequence>(sequence: S, scope: string, prompt: ArrayLike<number>): PrefixChoice<S> {
  return { sequence, reuse: matching(sequence, scope, prompt), from: null };
}

function bestMatch<H extends CachedTokens>(
  holders: readonly H[],
  scope: string,
  prompt: ArrayLike<number>,
): { holder: H | null; reuse: number } {
  let best: { holder: H | null; reuse: number } = { holder: null, reuse: 0 };
  for (const holder of holders) {
    const reuse = matching(holder, scope, prompt);
    if (reuse > best.reuse) best = { holder, reuse };
  }
  return best;
}

/** An empty sequence, else the one that nobody has used for longest. */
function leastWorth<S extends CachedSequence>(idle: readonly S[]): S | null {
  const worth = ({ tokens, usedAt }: CachedSequence): number => (tokens.length === 0 ? -1 : usedAt);
  return idle.reduce<S | null>((least, one) => (least === null || worth(one) < worth(least) ? one : least), null);
}

function matching(holder: CachedTokens, scope: string, prompt: ArrayLike<number>): number {
  return holder.scope === scope ? commonPrefix(holder.tokens, prompt) : 0;
}

/** Leading tokens that both have, at most all but the prompt's last. */
export function commonPrefix(tokens: ArrayLike<number>, prompt: ArrayLike<number>): number {
  return Math.min(sameTokens(tokens, prompt), Math.max(0, prompt.length - 1));
}

function sameTokens(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const bound = Math.min(a.length, b.length);
  let length = 0;
  while (length < bound && a[length] === b[length]) length += 1;
  return length;
}

/** True when everything of `part` is the beginning of `whole`, in the same scope. */
export function beginsWith(whole: CachedTokens, part: CachedTokens): boolean {
  return whole.scope === part.scope && sameTokens(whole.tokens, part.tokens) === part.tokens.length;
}

export interface SavingCost {
  /** What writing the sequence would take. */
  saveMs: number;
  /** What evaluating its tokens again would take. */
  rereadMs: number;
  /** What everybody may be kept waiting. */
  pauseMsMax: number;
}

/** Fewer tokens are read again in no time. */
const savedTokensMin = 64;
/** Who keeps more than the rest of its content goes on with it: a next turn that changed the last answer's end. */
const lostShareMin = 0.25;
/** Many files are never read again, so a file has to be much cheaper than what it may spare. */
const saveShareMax = 0.25;

/** Whether a sequence is worth a file before all but its first `reuse` tokens are overwritten. */
export function worthSaving(length: number, reuse: number, { saveMs, rereadMs, pauseMsMax }: SavingCost): boolean {
  const lost = length - reuse;
  if (lost < savedTokensMin || lost < length * lostShareMin) return false;
  return saveMs <= pauseMsMax && saveMs <= rereadMs * saveShareMax;
}
