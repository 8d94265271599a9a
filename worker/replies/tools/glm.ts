// GLM 4.5 to 4.7: `<tool_call>name`, then `<arg_key>key</arg_key><arg_value>value</arg_value>` for each argument.
import type { Tool } from '@berth/shared/request.ts';
import { hermes } from './hermes.ts';
import { type Input, type Reading, literal, space, until } from './input.ts';
import { type ToolSyntax, isName } from './syntax.ts';
import { taggedCall } from './tagged.ts';

const [open, close] = ['<tool_call>', '</tool_call>'];
const tags = {
  key: '<arg_key>',
  keyEnd: '</arg_key>',
  value: '<arg_value>',
  valueEnd: '</arg_value>',
  end: close,
};

/** A forced call is JSON between the family's tags: grammars hold JSON to a schema, not this. */
export const glm: ToolSyntax = {
  ...hermes,
  name: 'glm',
  knows: (template) => template.includes(tags.key),
  tags: [open, close, tags.key, tags.keyEnd, tags.value, tags.valueEnd],
  *read(input, tools) {
    const start = input.at;
    yield* literal(input, open);
    yield* space(input);
    if (input.text[input.at] !== '{') return yield* bareCall(input, tools);
    input.at = start;
    return yield* hermes.read(input, tools);
  },
};

function* bareCall(input: Input, tools: readonly Tool[]): Reading<boolean> {
  const name = (yield* until(input, 256, tags.key, close))?.trim() ?? '';
  return isName(name) && (yield* taggedCall(input, tools, name, tags));
}
