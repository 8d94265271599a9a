// Cohere: Command A and R7B write `<|START_ACTION|>[{"tool_name": …, "parameters": {…}}]<|END_ACTION|>`, R and R+ a fence after `Action:`.
import { closing, literal, space } from './input.ts';
import { callsBetween, listOfCalls } from './mistral.ts';
import { type ToolSyntax, offered } from './syntax.ts';

const [open, close, older, fence] = ['<|START_ACTION|>', '<|END_ACTION|>', 'Action:', '```'];

export const cohere: ToolSyntax = {
  name: 'cohere',
  knows: (template) => template.includes(open) || (template.includes(older) && template.includes('tool_name')),
  opens: [open, older],
  opensAnswer: [],
  tags: [open, close],
  frame: (template) => {
    const isOld = !template.includes(open) && template.includes(older);
    return {
      open: isOld ? `${older}\n${fence}json\n[` : `${open}[`,
      call: ['{"tool_name": "', '", "parameters": ', '}'],
      between: ', ',
      close: isOld ? `]${fence}` : `]${close}`,
      ...(isOld && { tag: `${older}\n${fence}json` }),
    };
  },
  *read(input, tools) {
    if (!(yield* literal(input, older))) return yield* callsBetween(input, open, close);
    yield* space(input);
    if (!(yield* literal(input, `${fence}json`))) return false;
    yield* space(input);
    // To call none they name the tool `directly-answer`, which no client has offered.
    if (!(yield* literal(input, '[')) || !(yield* listOfCalls(input, offered(tools)))) return false;
    yield* space(input);
    yield* closing(input, fence);
    return true;
  },
};
