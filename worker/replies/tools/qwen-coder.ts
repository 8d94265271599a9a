// Qwen 3 Coder and Qwen 3.5: a call in tags, each argument's value as bare text: `<function=f><parameter=a>…`.
import type { Tool } from '@berth/shared/request.ts';
import { hermes } from './hermes.ts';
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { namedCall } from './json.ts';
import { type ToolSyntax, anyName } from './syntax.ts';
import { type ArgumentTags, taggedCall } from './tagged.ts';

const nameCharsMax = 256;
const tags: ArgumentTags = {
  key: '<parameter=',
  keyEnd: '>',
  value: '',
  valueEnd: '</parameter>',
  end: '</function>',
  onOwnLines: true,
};

/** A forced call is written the Hermes way, which these models know too: grammars hold JSON to a schema, not this. */
export const qwenCoder: ToolSyntax = {
  ...hermes,
  name: 'qwen-coder',
  knows: (template) => template.includes('<function='),
  opens: ['<tool_call>', '<function='],
  tags: ['<tool_call>', '</tool_call>'],
  *read(input, tools) {
    const tagged = yield* literal(input, '<tool_call>');
    yield* space(input);
    const called = input.text[input.at] === '{' ? yield* namedCall(input, anyName) : yield* functionOf(input, tools);
    if (!called) return false;
    if (tagged && (yield* space(input))) yield* closing(input, '</tool_call>');
    return true;
  },
};

function* functionOf(input: Input, tools: readonly Tool[]): Reading<boolean> {
  if (!(yield* literal(input, '<function='))) return false;
  const name = (yield* until(input, nameCharsMax, '>')) ?? '';
  if (name === '' || !(yield* literal(input, '>'))) return false;
  return yield* taggedCall(input, tools, name, tags);
}
