// Gemma 4: `<|tool_call>call:name{key:<|"|>text<|"|>,other:5}<tool_call|>`: JSON but for its quotes and bare keys.
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { jsonOf, namedCall, whole } from './json.ts';
import { type ToolSyntax, anyName, isName } from './syntax.ts';

const [open, close, quote] = ['<|tool_call>', '<tool_call|>', '<|"|>'];

export const gemma: ToolSyntax = {
  name: 'gemma',
  knows: (template) => template.includes(open),
  opens: [open],
  opensAnswer: [],
  tags: [open, close, quote],
  // Forced calls are JSON between the family's tags: grammars hold JSON to a schema.
  frame: () => ({ open: '', call: [`${open}{"name": "`, '", "arguments": ', `}${close}`], between: '', close: '' }),
  *read(input) {
    yield* literal(input, open);
    yield* space(input);
    const called = (yield* literal(input, 'call:')) ? yield* bareCall(input) : yield* namedCall(input, anyName);
    if (!called) return false;
    yield* space(input);
    yield* closing(input, close);
    return true;
  },
};

function* bareCall(input: Input): Reading<boolean> {
  const name = yield* until(input, 256, '{');
  if (name === null || !isName(name.trim())) return false;
  // The closing tag cannot stand in a text: it is a token of its own.
  const body = yield* until(input, Infinity, close);
  const written = body ?? input.text.slice(input.at);
  const json = jsonFrom(written);
  if (jsonOf(json) === null) return false;
  input.at += body === null ? written.length : 0;
  return yield* whole(name.trim(), json, false);
}

/** Between the quotes everything is text; outside, what stands before a colon is a key. */
function jsonFrom(written: string): string {
  return written
    .trim()
    .split(quote)
    .map((part, index) =>
      index % 2 === 1
        ? JSON.stringify(part)
        : part.replace(/([{,]\s*)([^\s{}[\],:"]+)\s*:/g, (_all, before, key) => `${before}${JSON.stringify(key)}:`),
    )
    .join('');
}
