// A format that cannot be honoured is told by the field in which the client wrote it.
import { parseOllamaChat } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { expect, test } from 'vitest';
import { atItsField } from '../../worker/answer-format.ts';

const messages = [{ role: 'user', content: 'x' }];
const ask = { model: 'm', messages };
const strict = [{ type: 'function', function: { name: 'f', strict: true } }];
const schema = { type: 'object' };
const response_format = { type: 'json_schema', json_schema: { name: 's', schema } };
const refusal = new Refusal('bad_request', 'this server cannot honour it', { param: 'format' });

test.each([
  ['response_format', parseOpenaiChat({ ...ask, response_format })],
  ['response_format', parseOpenaiChat({ ...ask, response_format, tools: strict })],
  ['tools', parseOpenaiChat({ ...ask, tools: strict })],
  ['tools', parseOpenaiChat({ ...ask, tools: strict, tool_choice: 'required' })],
  ['grammar', parseOpenaiChat({ ...ask, grammar: 'root ::= "a"' })],
  ['format', parseOllamaChat({ ...ask, format: schema })],
])('%s, case %#', (param, generation) => {
  expect(atItsField(refusal, generation)).toMatchObject({ outcome: 'bad_request', message: refusal.message, param });
});

test('other errors stay as they are', () => {
  const others = [new Error('x'), new Refusal('bad_request', 'x', { param: 'messages' })];
  for (const error of others) expect(atItsField(error, parseOpenaiChat(ask))).toBe(error);
});
