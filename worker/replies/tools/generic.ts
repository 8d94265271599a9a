// A model whose template takes tools and whose way of calling is not known: the tags of Hermes, or JSON alone.
import { hermes } from './hermes.ts';
import { closing, literal, space } from './input.ts';
import { namedCall } from './json.ts';
import { type ToolSyntax, offered } from './syntax.ts';

export const generic: ToolSyntax = {
  ...hermes,
  name: 'generic',
  knows: () => true,
  opensAnswer: ['{', '[', '```json'],
  frame: () => ({ open: '', call: ['{"name": "', '", "arguments": ', '}'], between: '\n', close: '' }),
  *read(input, tools) {
    if (input.text.startsWith('<tool_call>', input.at)) return yield* hermes.read(input, tools);
    const fenced = yield* literal(input, '```json');
    yield* space(input);
    const listed = yield* literal(input, '[');
    for (;;) {
      yield* space(input);
      if (!(yield* namedCall(input, offered(tools)))) return false;
      const here = input.at;
      yield* space(input);
      const next = listed ? yield* literal(input, ',') : input.text[input.at] === '{';
      if (next) continue;
      if (!listed && !fenced) input.at = here;
      break;
    }
    if (listed) yield* closing(input, ']');
    if (fenced && (yield* space(input))) yield* closing(input, '```');
    return true;
  },
};
