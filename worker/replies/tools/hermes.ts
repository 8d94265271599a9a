// Hermes, Qwen 2.5, Qwen 3 and most ChatML models: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.
import { closing, literal, space } from './input.ts';
import { namedCall } from './json.ts';
import { type ToolSyntax, anyName } from './syntax.ts';

const [open, close] = ['<tool_call>', '</tool_call>'];

export const hermes: ToolSyntax = {
  name: 'hermes',
  knows: (template) => template.includes(open),
  opens: [open],
  opensAnswer: [],
  tags: [open, close],
  frame: () => ({
    open: '',
    call: [`${open}\n{"name": "`, '", "arguments": ', `}\n${close}`],
    between: '\n',
    close: '',
  }),
  *read(input) {
    yield* literal(input, open);
    yield* space(input);
    if (!(yield* namedCall(input, anyName))) return false;
    yield* space(input);
    // Some models end right after the JSON, without the closing tag.
    yield* closing(input, close);
    return true;
  },
};
