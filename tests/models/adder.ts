// A model for agents: it calls the tool `add` twice at once, then once more on what the tool said, then tells the sum.
// What it says next hangs on the last token of the tool's last result, so a result that got lost leads nowhere. It can
// fill in between two texts, too.
import { chatTemplate } from './dialogues/chat.ts';
import type { Gguf } from './gguf.ts';
import { scriptedModel } from './scripted.ts';

export const adderCalls = [
  { a: 1, b: 2 },
  { a: 3, b: 4 },
  { a: 3, b: 7 },
] as const;
export const adderAnswer = 'The sum is 10.';

const marks = ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'] as const;
/** Between any two texts. */
export const filledIn = 'return a + b';

/** The usual template, which lets the answer to a tool begin behind what the tool said. */
const template = `${chatTemplate}
{%- if add_generation_prompt and messages[-1].role == 'tool' -%}{{- messages[-1].content -}}{%- endif -%}`;

const first = ['<tool_call>\n{"name": "', 'add', '", "arguments": ', '{"a": 1, ', '"b": 2}', '}\n</tool_call>'];
const second = ['\n<tool_call>\n', '{"name": "add"', ', "arguments":', ' {"a": 3, "b"', ': 4}}', '\n</tool_call>'];

export function adderModel(): Gguf {
  return scriptedModel({
    name: 'adder',
    says: [...first, ...second],
    after: {
      7: ['<tool_call>\n', '{"name": "add", ', '"arguments": {"a": 3, "b": ', '7}}\n</tool_call>'],
      0: ['The ', 'sum ', 'is ', '10', '.'],
      [marks[2]]: ['return ', 'a +', ' b'],
    },
    marks,
    template,
  });
}
