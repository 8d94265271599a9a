// Calls of gpt-oss: messages to a tool, whose heads the stage of the channels has brought into one form.
import { callClose, callHead, callOpen, channelTags } from '../channels.ts';
import { closing, literal, space, until } from './input.ts';
import { argumentsOf } from './json.ts';
import type { ToolSyntax } from './syntax.ts';

export const channels: ToolSyntax = {
  name: 'channels',
  knows: (template) => template.includes('<|channel|>') && template.includes(callHead),
  opens: [callOpen],
  opensAnswer: [],
  tags: channelTags,
  // The way that these models are taught. What they write ends with a token that ends the answer.
  frame: () => ({
    open: '',
    call: [callOpen, ` <|constrain|>json${callHead}`, ''],
    between: null,
    close: '',
    tag: callOpen,
  }),
  *read(input) {
    yield* literal(input, callOpen);
    const name = yield* until(input, 256, callHead);
    if (name === null || !(yield* literal(input, callHead)) || !(yield* argumentsOf(input, name))) return false;
    yield* space(input);
    yield* closing(input, callClose);
    return true;
  },
};
