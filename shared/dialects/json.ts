// JSON on the wire: a bounded reader whose errors say where, and a writer whose lines no client splits.
import { Refusal } from '../outcome.ts';

export type JsonObject = Record<string, unknown>;

/** Nesting that no honest request reaches. */
const depthMax = 64;
/** Objects and arrays of one body: each costs far more memory than its two bytes. */
const containersMax = 50_000;
/** Names of all objects: V8 takes some microseconds for each that it has not seen before. */
const namesMax = 100_000;
const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;

/**
 * The value in a request's body.
 * @throws Refusal `bad_request` that says where the text stops being JSON and never repeats any of it
 */
export function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw new Refusal('bad_request', 'the body is empty: send a JSON object');
  checkDepth(bytes);
  const text = decode(bytes);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Refusal('bad_request', `the body is not valid JSON: ${describeFault(text)}`);
  }
}

/** JSON text on one line. Python's `splitlines` also splits at these three, and JSON leaves them bare. */
export function lineJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u0085\u2028\u2029]/g,
    (separator) => `\\u${separator.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Refusal('bad_request', 'the body is not valid UTF-8');
  }
}

/** Counts brackets before anything is built, so that a body of brackets costs one pass and no memory. */
function checkDepth(bytes: Uint8Array): void {
  let depth = 0;
  let containers = 0;
  let names = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === quote) at = endOfString(bytes, at);
    else if (byte === 0x5b || byte === 0x7b) {
      depth++;
      containers++;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
    else if (byte === colon) names++;
    if (depth > depthMax) throw new Refusal('bad_request', `the body is nested deeper than ${depthMax} levels`);
    if (containers > containersMax) {
      throw new Refusal('bad_request', `the body has more than ${containersMax} objects and arrays`);
    }
    if (names > namesMax) throw new Refusal('bad_request', `the body has more than ${namesMax} names`);
  }
}

/** Index of the quote that ends the string which begins at `start`, or the end of the bytes. */
function endOfString(bytes: Uint8Array, start: number): number {
  let end = start;
  for (;;) {
    end = bytes.indexOf(quote, end + 1);
    if (end === -1) return bytes.length;
    let before = end - 1;
    while (bytes[before] === backslash) before--;
    if ((end - before) % 2 === 1) return end;
  }
}

const space = /[ \t\n\r]*/y;
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\d.])|true|false|null/y;
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** Walks over text that `JSON.parse` refused. V8's own message names no place for most faults, and quotes the text. */
function describeFault(text: string): string {
  const at = faultOf(text);
  if (at >= text.length) return 'it ends too early';
  // Counted, not split: a fault behind four million lines is not worth a string for each.
  let [lines, start] = [1, 0];
  for (let end = text.indexOf('\n'); end !== -1 && end < at; end = text.indexOf('\n', start))
    [lines, start] = [lines + 1, end + 1];
  return `line ${lines}, column ${at - start + 1}`;
}

/** Index of the first character that cannot be JSON. Depth is bounded before, so recursion is. */
function faultOf(text: string): number {
  let at = 0;
  const skip = (pattern: RegExp): boolean => {
    pattern.lastIndex = at;
    const found = pattern.test(text);
    if (found) at = pattern.lastIndex;
    return found;
  };
  const eat = (character: string): boolean => {
    skip(space);
    if (text[at] !== character) return false;
    at++;
    return true;
  };
  // By hand, not by one pattern: a pattern would need stack for each character of a long string.
  const string = (): boolean => {
    if (!eat('"')) return false;
    while (at < text.length && text[at] !== '"') {
      if (text.charCodeAt(at) < 0x20) return false;
      if (text[at] !== '\\') at++;
      else if (!skip(escape)) return false;
    }
    return eat('"');
  };
  const members = (close: string, member: () => boolean): boolean => {
    if (eat(close)) return true;
    do if (!member()) return false;
    while (eat(','));
    return eat(close);
  };
  const value = (): boolean => {
    if (eat('{')) return members('}', () => string() && eat(':') && value());
    if (eat('[')) return members(']', value);
    return text[at] === '"' ? string() : skip(scalar);
  };
  if (value()) skip(space);
  return at;
}
