// From tokens to text that may be sent: whole characters only, and nothing of a stop string.

export interface Pieces {
  /** The text that this token completes; empty while a character is still open. */
  push(token: number): string;
  /** What is left at the end; an open character comes out as U+FFFD. */
  flush(): string;
}

/** A character has at most four bytes, so five tokens that end in an open one are broken bytes, not patience. */
const openTokensMax = 4;

/**
 * Joins tokens to pieces of whole UTF-8 characters.
 *
 * @param detokenize the text of some tokens, with U+FFFD for bytes that are no whole character
 * @param before tokens that stand before the first: they tell the tokenizer whether a space belongs in front
 */
export function wholePieces(detokenize: (tokens: readonly number[]) => string, before: readonly number[]): Pieces {
  let anchor = before;
  let anchorText = detokenize(before);
  let open: number[] = [];

  const textOfOpen = (): string => {
    const both = detokenize([...anchor, ...open]);
    return both.startsWith(anchorText) ? both.slice(anchorText.length) : detokenize(open);
  };
  const close = (text: string): string => {
    anchor = open;
    anchorText = detokenize(open);
    open = [];
    return text;
  };
  return {
    push: (token) => {
      open.push(token);
      const text = textOfOpen();
      return text.endsWith('\uFFFD') && open.length <= openTokensMax ? '' : close(text);
    },
    flush: () => (open.length === 0 ? '' : close(textOfOpen())),
  };
}

export interface StopSearch {
  /** False where there is nothing to find. */
  readonly seeks: boolean;
  /** What may be sent of the text so far, and whether a stop string has ended it. */
  push(text: string): { text: string; found: boolean };
  /** What was held back because it might have become a stop string. */
  flush(): string;
}

/**
 * Holds text back as long as it may be the beginning of a stop string. The stop string that is complete first
 * ends the text, so that the answer does not depend on how it was cut into tokens.
 */
export function stopSearch(stops: readonly string[]): StopSearch {
  const sought = stops.filter((stop) => stop !== '');
  let held = '';
  return {
    seeks: sought.length > 0,
    push: (text) => {
      if (sought.length === 0) return { text, found: false };
      held += text;
      const cut = firstStop(held, sought);
      const keep = cut ?? held.length - openLength(held, sought);
      const ready = held.slice(0, keep);
      held = cut === null ? held.slice(keep) : '';
      return { text: ready, found: cut !== null };
    },
    flush: () => {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

/** Where the stop string begins that is complete first (of two, the longer), or `null`. */
function firstStop(text: string, stops: readonly string[]): number | null {
  let best: { start: number; end: number } | null = null;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    const end = start + stop.length;
    if (start < 0) continue;
    if (best === null || end < best.end || (end === best.end && start < best.start)) best = { start, end };
  }
  return best?.start ?? null;
}

/** Length of the longest end of the text that is the beginning of a stop string. */
function openLength(text: string, stops: readonly string[]): number {
  const longest = Math.max(...stops.map((stop) => stop.length)) - 1;
  for (let length = Math.min(longest, text.length); length > 0; length -= 1) {
    const end = text.slice(-length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
  }
  return 0;
}
