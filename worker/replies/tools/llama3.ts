// Llama 3.1 to 3.3: the whole answer is `{"name": …, "parameters": {…}}`, sometimes after `<|python_tag|>`.
import { literal, space } from './input.ts';
import { namedCall } from './json.ts';
import { type ToolSyntax, anyName, offered } from './syntax.ts';

const tag = '<|python_tag|>';

export const llama3: ToolSyntax = {
  name: 'llama3',
  knows: (template) => template.includes(tag) || template.includes('<|start_header_id|>'),
  opens: [tag],
  opensAnswer: ['{'],
  tags: [tag],
  frame: () => ({ open: '', call: ['{"name": "', '", "parameters": ', '}'], between: null, close: '' }),
  *read(input, tools) {
    const tagged = yield* literal(input, tag);
    yield* space(input);
    if (!(yield* namedCall(input, tagged ? anyName : offered(tools)))) return false;
    // Several calls are separated by semicolons, though the models are taught one at a time.
    for (;;) {
      const here = input.at;
      yield* space(input);
      if (yield* literal(input, ';')) yield* space(input);
      if (!(yield* literal(input, '{'))) return ((input.at = here), true);
      input.at -= 1;
      if (!(yield* namedCall(input, offered(tools)))) return false;
    }
  },
};
