// DeepSeek: calls between tags with full-width bars. V3.1 writes `name<sep>{…}`, V3 and R1 `function<sep>name` and a fence.
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { argumentsOf } from './json.ts';
import type { ToolSyntax } from './syntax.ts';

const [callsOpen, callsClose] = ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'];
const [callOpen, separator, callClose] = ['<｜tool▁call▁begin｜>', '<｜tool▁sep｜>', '<｜tool▁call▁end｜>'];
const fence = '```';

export const deepseek: ToolSyntax = {
  name: 'deepseek',
  knows: (template) => template.includes(callOpen),
  opens: [callsOpen, callOpen],
  opensAnswer: [],
  tags: [callsOpen, callsClose, callOpen, separator, callClose],
  frame: (template) => ({
    open: callsOpen,
    call: template.includes(`${fence}json`)
      ? [`${callOpen}function${separator}`, `\n${fence}json\n`, `\n${fence}${callClose}`]
      : [callOpen, separator, callClose],
    between: template.includes(`${fence}json`) ? '\n' : '',
    close: callsClose,
  }),
  *read(input) {
    yield* literal(input, callsOpen);
    for (let calls = 0; ; calls += 1) {
      yield* space(input);
      if (!(yield* literal(input, callOpen))) {
        yield* closing(input, callsClose);
        return calls > 0;
      }
      if (!(yield* oneCall(input))) return false;
    }
  },
};

function* oneCall(input: Input): Reading<boolean> {
  const first = yield* until(input, 256, separator);
  if (first === null || !(yield* literal(input, separator))) return false;
  const name = first.trim() === 'function' ? yield* fenced(input) : first.trim();
  if (name === null || name === '' || !(yield* argumentsOf(input, name))) return false;
  yield* space(input);
  if (yield* closing(input, fence)) yield* space(input);
  yield* closing(input, callClose);
  return true;
}

/** The name on its line, and the fence before the arguments; a tool may itself be called `function`. */
function* fenced(input: Input): Reading<string | null> {
  yield* space(input);
  if (input.text[input.at] === '{') return 'function';
  const name = yield* until(input, 256, '\n');
  yield* space(input);
  return (yield* literal(input, `${fence}json`)) ? (name?.trim() ?? null) : null;
}
