// Tool calls that are written as JSON: `{"name": …, "arguments": {…}}`, and arguments on their own.
import { isObject } from '@berth/shared/dialects/check.ts';
import { type Input, type Reading, literal, more, space } from './input.ts';

/** Longest name of a tool and white space around it that is looked at before the arguments. */
const headCharsMax = 1024;
/** The usual order, whose arguments can be passed on while they are written: an object that begins well. */
const head =
  /^\{\s*(?:"tool_call_id"\s*:\s*"[^"\\]{0,64}"\s*,\s*)?"(?:tool_)?name"\s*:\s*("(?:[^"\\]|\\.){1,256}")\s*,\s*"(?:arguments|parameters)"\s*:\s*\{(?=\s*["}])/s;
/** Its first key tells an answer in JSON from a call, so that such an answer is not held back. */
const isNoCall =
  /^(?:[^{]|\{\s*(?:[^"\s]|"(?!(?:tool_)?name"|arguments"|parameters"|(?:tool_call_)?id"|type"|function")[^"]*"))/;

/** Reads a call's object here. False when it is none; `isOffered` says which names count. */
export function* namedCall(input: Input, isOffered: (name: string) => boolean): Reading<boolean> {
  const scan = bracketScan(input.at);
  while (input.at < input.text.length || (yield* more(input))) {
    if (isNoCall.test(input.text.slice(input.at, input.at + headCharsMax))) return false;
    const begun = head.exec(input.text.slice(input.at, input.at + headCharsMax));
    if (begun !== null) return yield* streamedCall(input, begun, isOffered);
    const end = scan(input.text);
    if (end !== null) return yield* heldCall(input, end, isOffered);
    if (!(yield* more(input))) return false;
  }
  return false;
}

function* streamedCall(input: Input, [all, quoted]: string[], isOffered: (name: string) => boolean): Reading<boolean> {
  const name = jsonOf(quoted ?? '');
  if (typeof name !== 'string' || !isOffered(name)) return false;
  input.at += (all ?? '').length - 1;
  const written = yield* objectHere(input, name);
  // What else the object says, such as an id, is passed over.
  if (written === null || !(yield* passOver(input))) return false;
  return yield* whole(name, written, true);
}

function* heldCall(input: Input, end: number, isOffered: (name: string) => boolean): Reading<boolean> {
  const call = callOf(input.text.slice(input.at, end));
  if (call === null || !isOffered(call.name)) return false;
  input.at = end;
  return yield* whole(call.name, call.written, false);
}

/** Reads the arguments' object here, and tells of the call while they come. False when they are none. */
export function* argumentsOf(input: Input, name: string): Reading<boolean> {
  yield* space(input);
  const written = yield* objectHere(input, name);
  return written !== null && (yield* whole(name, written, true));
}

/** Tells of a call whose arguments are whole. False when they are no object. */
export function* whole(name: string, written: string, begun: boolean): Reading<boolean> {
  const args = jsonOf(written);
  if (!isObject(args)) return false;
  yield { kind: 'call', name, arguments: args, written, begun };
  return true;
}

/** The text of the object here, told piece by piece; `null` when it never ends or is none. */
function* objectHere(input: Input, name: string): Reading<string | null> {
  const start = input.at;
  if (!(yield* literal(input, '{')) || !(yield* space(input)) || !'"}'.includes(input.text[input.at] ?? ' ')) {
    input.at = start;
    return null;
  }
  input.at = start;
  yield { kind: 'begins', name };
  const scan = bracketScan(start);
  for (;;) {
    const end = scan(input.text);
    const text = input.text.slice(input.at, end ?? input.text.length);
    input.at += text.length;
    if (text !== '') yield { kind: 'arguments', text };
    if (end !== null) return input.text.slice(start, end);
    if (!(yield* more(input))) return null;
  }
}

function* passOver(input: Input): Reading<boolean> {
  const scan = bracketScan(input.at, 1);
  for (;;) {
    const end = scan(input.text);
    if (end !== null) return ((input.at = end), true);
    if (!(yield* more(input))) return false;
  }
}

/** Where the bracket that stands at `from` is closed; asked again with more text it goes on where it was. */
function bracketScan(from: number, depthBefore = 0): (text: string) => number | null {
  let [at, depth, inString] = [from, depthBefore, false];
  return (text) => {
    for (; at < text.length; at += 1) {
      const character = text[at];
      if (inString && character === '\\') {
        if (at + 1 >= text.length) return null;
        at += 1;
      } else if (character === '"') inString = !inString;
      else if (inString) continue;
      else if (character === '{' || character === '[') depth += 1;
      else if ((character === '}' || character === ']') && (depth -= 1) <= 0) return at + 1;
    }
    return null;
  };
}

/** Some models write the arguments as a string of JSON, or as `parameters`, or leave them out; Cohere's say `tool_name`. */
function callOf(text: string): { name: string; written: string } | null {
  const call = jsonOf(text);
  if (!isObject(call)) return null;
  const name = call['name'] ?? call['tool_name'];
  if (typeof name !== 'string' || name === '') return null;
  const given = call['arguments'] ?? call['parameters'] ?? {};
  return { name, written: typeof given === 'string' ? given : JSON.stringify(given) };
}

export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return null;
  }
}
