// Text that arrives in pieces, and what a reader of tool calls asks of it. A reader is a generator that waits for more.

/** What a reader tells on its way. */
export type Step =
  /** It needs more text; the next step comes when there is some, or when the text has ended. */
  | { kind: 'wait' }
  /** From here on it is certain that this is a call, though not that its arguments will be whole. */
  | { kind: 'begins'; name: string }
  /** The next piece of the begun call's arguments. */
  | { kind: 'arguments'; text: string }
  | Call;

export interface Call {
  kind: 'call';
  name: string;
  arguments: Record<string, unknown>;
  /** The arguments' JSON, as the model wrote it where it wrote JSON. */
  written: string;
  /** The steps `begins` and `arguments` have told it all. */
  begun: boolean;
}

export type Reading<T> = Generator<Step, T, void>;

export interface Input {
  text: string;
  /** Everything before it has been read. */
  at: number;
  ended: boolean;
}

const wait: Step = { kind: 'wait' };

/** Waits for more text. False when there is none: it has ended. */
export function* more(input: Input): Reading<boolean> {
  const { length } = input.text;
  if (!input.ended) yield wait;
  return input.text.length > length;
}

/** Passes over white space; true when a character that is none follows. */
export function* space(input: Input): Reading<boolean> {
  for (;;) {
    while (input.at < input.text.length && /\s/.test(input.text[input.at] ?? '')) input.at += 1;
    if (input.at < input.text.length) return true;
    if (!(yield* more(input))) return false;
  }
}

/** Passes over the word if it stands here. */
export function* literal(input: Input, word: string): Reading<boolean> {
  for (;;) {
    const here = input.text.slice(input.at, input.at + word.length);
    if (here === word) return ((input.at += word.length), true);
    if (!word.startsWith(here) || !(yield* more(input))) return false;
  }
}

/** Passes over a closing tag, or over what was written of it when the text ended. */
export function* closing(input: Input, word: string): Reading<boolean> {
  if (yield* literal(input, word)) return true;
  const here = input.text.slice(input.at);
  if (here === '' || !input.ended || !word.startsWith(here)) return false;
  input.at = input.text.length;
  return true;
}

/** What stands before the first of the words, without it; `null` when none comes. */
export function* until(input: Input, charsMax: number, ...words: readonly string[]): Reading<string | null> {
  let from = input.at;
  for (;;) {
    const found = words.map((word) => input.text.indexOf(word, from)).filter((place) => place !== -1);
    const end = Math.min(...found);
    const before = input.text.slice(input.at, Math.min(end, input.text.length));
    if (before.length > charsMax) return null;
    if (found.length > 0) return ((input.at = end), before);
    from = Math.max(input.at, input.text.length - Math.max(...words.map((word) => word.length)) + 1);
    if (!(yield* more(input))) return null;
  }
}
