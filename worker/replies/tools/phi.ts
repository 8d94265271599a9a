// Phi 4 mini: `<|tool_call|>[{"name": …, "arguments": {…}}]<|/tool_call|>`, or `functools[…]`.
import { literal } from './input.ts';
import { callsBetween, listOfCalls } from './mistral.ts';
import type { ToolSyntax } from './syntax.ts';

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
    return yield* callsBetween(input, open, close);
  },
};
