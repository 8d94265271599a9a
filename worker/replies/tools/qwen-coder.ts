// Qwen 3 Coder and Qwen 3.5: a call in tags, each argument's value as bare text: `<function=f><parameter=a>…`.
import type { Tool } from '@berth/shared/request.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import { hermes } from './hermes.ts';
import { type Input, type Reading, closing, literal, space, until } from './input.ts';
import { jsonOf, namedCall, whole } from './json.ts';
import { type ToolSyntax, anyName } from './syntax.ts';

const nameCharsMax = 256;

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
  const args: Record<string, unknown> = {};
  for (;;) {
    yield* space(input);
    if (yield* closing(input, '</function>')) return yield* whole(name, JSON.stringify(args), false);
    if (!(yield* literal(input, '<parameter='))) return false;
    const key = yield* until(input, nameCharsMax, '>');
    if (key === null || key === '__proto__' || !(yield* literal(input, '>'))) return false;
    const value = yield* until(input, Infinity, '</parameter>');
    if (value === null || !(yield* literal(input, '</parameter>'))) return false;
    args[key] = valueOf(value.replace(/^\n|\n$/g, ''), tools, name, key);
  }
}

/** Text where the tool's schema wants text or says nothing; else JSON if it is any. */
function valueOf(written: string, tools: readonly Tool[], name: string, key: string): unknown {
  const properties = tools.find((tool) => tool.name === name)?.parameters['properties'];
  const schema = isObject(properties) ? properties[key] : undefined;
  if (!isObject(schema) || schema['type'] === 'string') return written;
  return written.trim() === 'null' ? null : (jsonOf(written) ?? written);
}
