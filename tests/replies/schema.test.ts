// What is sent is valid by OpenAI's published description, where that is present beside the checkout.
// Ollama's is YAML, which nothing here reads: its replies are held to golden transcripts only.
import type { ModelCard } from '@berth/shared/announcement.ts';
import { openaiModel, openaiModels } from '@berth/shared/dialects/catalog.ts';
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { Refusal, type RefusalName, refusals } from '@berth/shared/outcome.ts';
import { openaiReply } from '@berth/worker/replies/openai.ts';
import { thinkTags } from '@berth/worker/replies/thinking.ts';
import { describe, expect, test } from 'vitest';
import { aContext, aSettlement, streamed, whole } from './replying.ts';
import { faultsOf, openaiDescription } from './schema.ts';

const found = openaiDescription();
if (found === null) console.log('skipped: ../shared/specs/openai.json is not there, so replies are not held to it');

const description = found ?? {};
const isOutcome = (name: string): name is RefusalName => Object.hasOwn(refusals, name);
const card: ModelCard = {
  name: 'berth:latest',
  loaded: false,
  evictable: false,
  failed: null,
  contextTokens: 1,
  trainedTokens: null,
  sizeBytes: 1,
  vramBytes: 0,
  digest: '',
  architecture: 'llama',
  parameterSize: '',
  quantization: '',
  modifiedAt: '2026-11-22T09:30:00Z',
  capabilities: [],
  expiresAt: null,
};

const scored = { logprobs: true, top_logprobs: 2 };
const answers: [string, object, string[]][] = [
  ['text and scores', scored, ['Hel', 'lo']],
  ['held back text and scores', scored, ['<think>hm', '</think>', 'Hi']],
  ['text', {}, ['Hel', 'lo']],
  ['nothing', {}, []],
  ['text and usage', { stream_options: { include_usage: true } }, ['Hi']],
  ['thinking', {}, ['<think>hm</think>', 'Hi']],
  [
    'calls',
    { tools: [{ type: 'function', function: { name: 'f' } }] },
    ['See <tool_call>{"name":"f","arguments":{"a":1}}</tool_call>', '<tool_call>{"name":"f"}</tool_call>'],
  ],
];

describe.skipIf(found === null)("OpenAI's published description", () => {
  const aReply = (fields: object) => {
    const generation = parseOpenaiChat({ model: 'berth', messages: [{ role: 'user', content: 'x' }], ...fields });
    return openaiReply(generation, aContext({ thoughts: thinkTags }));
  };

  test.each(answers)('holds for a whole reply of %s', (_what, fields, pieces) => {
    const body = whole(aReply(fields), pieces, aSettlement(), fields === scored);
    expect(faultsOf(description, 'CreateChatCompletionResponse', body)).toEqual([]);
  });

  test.each(answers)('holds for every chunk of %s', (_what, fields, pieces) => {
    const frames = streamed(aReply({ ...fields, stream: true }), pieces, aSettlement(), fields === scored)
      .trimEnd()
      .split('\n\n');
    expect(frames.pop()).toBe('data: [DONE]');
    for (const frame of frames) {
      const chunk: unknown = JSON.parse(frame.slice('data: '.length));
      expect(faultsOf(description, 'CreateChatCompletionStreamResponse', chunk)).toEqual([]);
    }
  });

  test.each(Object.keys(refusals).filter(isOutcome))('holds for the error %s', (outcome) => {
    const body: unknown = JSON.parse(openai.errorBody(new Refusal(outcome, 'x'), 'id'));
    expect(faultsOf(description, 'ErrorResponse', body)).toEqual([]);
  });

  test('holds for the lists of models', () => {
    expect(faultsOf(description, 'ListModelsResponse', openaiModels([card]))).toEqual([]);
    expect(faultsOf(description, 'Model', openaiModel(card))).toEqual([]);
  });

  test('finds what is wrong', () => {
    const broken = { id: 1, object: 'chat.completion', created: 1.5, choices: [{ index: 0, message: null }] };
    const faults = faultsOf(description, 'CreateChatCompletionResponse', broken).join('\n');
    for (const part of ['.id is not string', '.created is not integer', 'has no model', 'has no finish_reason']) {
      expect(faults).toContain(part);
    }
    expect(faultsOf(description, 'CompletionUsage', { ...aSettlement() })).toHaveLength(3);
  });
});
