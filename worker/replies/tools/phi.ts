// Phi 4 mini: `<|tool_call|>[{"name": …, "arguments": {…}}]<|/tool_call|>`, or `functools[…]`.
import { closing, literal, space } from './input.ts';
import { namedCall } from './json.ts';
import { listOfCalls } from './mistral.ts';
import { type ToolSyntax, anyName } from './syntax.ts';

const [open, close, older] = ['<|tool_call|>', '<|/tool_call|>', 'functools['];

export const phi: ToolSyntax = {
  name: 'phi',
  knows: (template) => template.includes(open) || template.includes(older) || template.includes('<|tool|>'),
  opens: [open, older],
  opensAnswer: [],
  tags: [open, close],
  frame: (template) => ({
    open: template.includes(older) ? older : `${open}[`,
    call: ['{"name": "', '", "arguments": ', '}'],
    between: ', ',
    close: template.includes(older) ? ']' : `]${close}`,
  }),
  *read(input) {
    if (yield* literal(input, older)) return yield* listOfCalls(input);
    yield* literal(input, open);
    yield* space(input);
    const calls = (yield* literal(input, '[')) ? yield* listOfCalls(input) : yield* namedCall(input, anyName);
    if (!calls) return false;
    yield* space(input);
    yield* closing(input, close);
    return true;
  },
};
