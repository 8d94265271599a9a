// Calls in a list between tags, `<|tool_call|>[{"name": …, "arguments": {…}}]<|/tool_call|>`: Phi 4 mini, Nemotron Nano 2, Apriel; or `functools[…]`.
import { literal } from './input.ts';
import { callsBetween, listOfCalls } from './mistral.ts';
import type { ToolSyntax } from './syntax.ts';

const pairs = [
  ['<|tool_call|>', '<|/tool_call|>'],
  ['<TOOLCALL>', '</TOOLCALL>'],
  ['<tool_calls>', '</tool_calls>'],
] as const;
const older = 'functools[';

export const listed: ToolSyntax = {
  name: 'listed',
  knows: (template) => [older, '<|tool|>', ...pairs.map(([open]) => open)].some((mark) => template.includes(mark)),
  opens: [...pairs.map(([open]) => open), older],
  opensAnswer: [],
  tags: pairs.flat(),
  frame: (template) => {
    const [open, close] = pairs.find(([mark]) => template.includes(mark)) ?? pairs[0];
    const isOlder = template.includes(older);
    return {
      open: isOlder ? older : `${open}[`,
      call: ['{"name": "', '", "arguments": ', '}'],
      between: ', ',
      close: isOlder ? ']' : `]${close}`,
    };
  },
  *read(input) {
    if (yield* literal(input, older)) return yield* listOfCalls(input);
    for (const [open, close] of pairs)
      if (input.text.startsWith(open, input.at)) return yield* callsBetween(input, open, close);
    return false;
  },
};
