// Mistral: `[TOOL_CALLS][{"name": …, "arguments": {…}, "id": …}]` of old, `[TOOL_CALLS]name[ARGS]{…}` since 2025.
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { argumentsOf, namedCall } from './json.ts';
import { type ToolSyntax, anyName, isName } from './syntax.ts';

const open = '[TOOL_CALLS]';
const [argsTag, idTag] = ['[ARGS]', '[CALL_ID]'];

export const mistral: ToolSyntax = {
  name: 'mistral',
  knows: (template) => template.includes(open),
  opens: [open],
  opensAnswer: [],
  tags: [open, argsTag, idTag],
  frame: (template) =>
    template.includes(argsTag)
      ? { open: '', call: [open, argsTag, ''], between: '', close: '' }
      : { open: `${open}[`, call: ['{"name": "', '", "arguments": ', '}'], between: ', ', close: ']' },
  *read(input) {
    yield* literal(input, open);
    yield* space(input);
    if (yield* literal(input, '[')) return yield* listOfCalls(input);
    const name = yield* until(input, 256, argsTag, idTag, '{');
    if (name === null || !isName(name.trim())) return false;
    if ((yield* literal(input, idTag)) && (yield* until(input, 64, argsTag)) === null) return false;
    yield* literal(input, argsTag);
    return yield* argumentsOf(input, name.trim());
  },
};

/** A list of calls, or some that follow each other, between two tags. */
export function* callsBetween(input: Input, opening: string, end: string): Reading<boolean> {
  yield* literal(input, opening);
  yield* space(input);
  const calls = (yield* literal(input, '[')) ? yield* listOfCalls(input) : yield* rowOfCalls(input);
  if (!calls) return false;
  yield* space(input);
  yield* closing(input, end);
  return true;
}

function* rowOfCalls(input: Input): Reading<boolean> {
  for (;;) {
    if (!(yield* namedCall(input, anyName))) return false;
    yield* space(input);
    if (input.text[input.at] !== '{') return true;
  }
}

/** The calls of a list whose bracket is open. */
export function* listOfCalls(input: Input, isOffered: (name: string) => boolean = anyName): Reading<boolean> {
  for (;;) {
    yield* space(input);
    if (!(yield* namedCall(input, isOffered))) return false;
    yield* space(input);
    if (yield* literal(input, ',')) continue;
    yield* closing(input, ']');
    return true;
  }
}
