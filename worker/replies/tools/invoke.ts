// MiniMax M2, and DeepSeek from V3.2 on with a mark in each tag: `<invoke name="f"><parameter name="a">value</parameter></invoke>`.
import type { Tool } from '@berth/shared/request.ts';
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { namedCall } from './json.ts';
import { type ToolSyntax, anyName, isName } from './syntax.ts';
import { taggedCall } from './tagged.ts';

const mark = '｜DSML｜';
/** What stands around the calls of a turn, and before the names of the tags in it. */
const blocks = [
  { name: 'minimax:tool_call', prefix: '' },
  { name: `${mark}function_calls`, prefix: mark },
  { name: `${mark}tool_calls`, prefix: mark },
] as const;

export const invoke: ToolSyntax = {
  name: 'invoke',
  knows: (template) => template.includes(blocks[0].name) || template.includes(mark),
  opens: blocks.map(({ name }) => `<${name}>`),
  opensAnswer: [],
  tags: [mark, ...blocks.flatMap(({ name }) => [`<${name}>`, `</${name}>`])],
  // Forced calls are JSON between the family's tags: grammars hold JSON to a schema.
  frame: (template) => {
    const [minimax, older, newer] = blocks;
    const isOlder = !template.includes('tool_calls>') || template.includes('function_calls>');
    const { name } = template.includes(mark) ? (isOlder ? older : newer) : minimax;
    return { open: `<${name}>\n`, call: ['{"name": "', '", "arguments": ', '}'], between: '\n', close: `\n</${name}>` };
  },
  *read(input, tools) {
    for (const { name, prefix } of blocks)
      if (yield* literal(input, `<${name}>`)) return yield* callsUpTo(input, tools, `</${name}>`, prefix);
    return false;
  },
};

function* callsUpTo(input: Input, tools: readonly Tool[], end: string, prefix: string): Reading<boolean> {
  for (let calls = 0; ; calls += 1) {
    yield* space(input);
    if (calls > 0 && (yield* closing(input, end))) return true;
    const isJson = input.text[input.at] === '{';
    const isCall = isJson ? yield* namedCall(input, anyName) : yield* oneCall(input, tools, prefix);
    if (!isCall) return false;
  }
}

function* oneCall(input: Input, tools: readonly Tool[], prefix: string): Reading<boolean> {
  if (!(yield* literal(input, `<${prefix}invoke name="`))) return false;
  const name = (yield* until(input, 256, '">'))?.trim() ?? '';
  if (!isName(name) || !(yield* literal(input, '">'))) return false;
  const end = `</${prefix}invoke>`;
  const argument = { key: `<${prefix}parameter name="`, keyEnd: '"', value: '>', valueEnd: `</${prefix}parameter>` };
  return yield* taggedCall(input, tools, name, { ...argument, end });
}
