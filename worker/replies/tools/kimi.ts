// Kimi K2: a section of calls, each an id `functions.name:0`, then its arguments.
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { argumentsOf } from './json.ts';
import { type ToolSyntax, isName } from './syntax.ts';

const [sectionOpen, sectionClose] = ['<|tool_calls_section_begin|>', '<|tool_calls_section_end|>'];
const [callOpen, separator, callClose] = ['<|tool_call_begin|>', '<|tool_call_argument_begin|>', '<|tool_call_end|>'];

export const kimi: ToolSyntax = {
  name: 'kimi',
  // The first templates show no call, and only how tools are declared.
  knows: (template) => template.includes(callOpen) || template.includes('<|im_system|>tool_declare'),
  opens: [sectionOpen, callOpen],
  opensAnswer: [],
  tags: [sectionOpen, sectionClose, callOpen, separator, callClose],
  frame: () => ({
    open: sectionOpen,
    call: [`${callOpen}functions.`, `:0${separator}`, callClose],
    between: '',
    close: sectionClose,
  }),
  *read(input) {
    yield* literal(input, sectionOpen);
    for (let calls = 0; ; calls += 1) {
      yield* space(input);
      if (!(yield* literal(input, callOpen))) {
        yield* closing(input, sectionClose);
        return calls > 0;
      }
      if (!(yield* oneCall(input))) return false;
    }
  },
};

function* oneCall(input: Input): Reading<boolean> {
  const id = yield* until(input, 256, separator);
  const [, name = ''] = /^(?:functions\.)?(.+?)(?::\d+)?$/s.exec(id?.trim() ?? '') ?? [];
  if (!isName(name) || !(yield* literal(input, separator)) || !(yield* argumentsOf(input, name))) return false;
  yield* space(input);
  yield* closing(input, callClose);
  return true;
}
