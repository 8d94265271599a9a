// Ollama's replies: golden transcripts of streams, whole replies, and text that arrives as it was written.
import { parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { ollamaReply } from '@berth/worker/replies/ollama.ts';
import * as fc from 'fast-check';
import { thinkTags } from '@berth/worker/replies/thinking.ts';
import { describe, expect, test } from 'vitest';
import { aContext, aSettlement, ending, streamed, whole } from './replying.ts';

const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];
const messages = [{ role: 'user', content: 'x' }];
const aChat = (fields: object = {}, context = aContext()) =>
  ollamaReply(parseOllamaChat({ model: 'berth', messages, ...fields }), context);
const aGenerate = (fields: object = {}, context = aContext()) =>
  ollamaReply(parseOllamaGenerate({ model: 'berth', prompt: 'x', ...fields }), context);

const head = '"model":"berth","created_at":"2026-11-22T09:30:00.500Z"';
const lastHead = '"model":"berth","created_at":"2026-11-22T09:30:00.750Z"';
const message = (content: string, more = '') => `"message":{"role":"assistant","content":"${content}"${more}}`;
const counts =
  '"total_duration":250000000,"load_duration":1,"prompt_eval_count":12,"prompt_eval_duration":10500000,' +
  '"eval_count":3,"eval_duration":30250000';

describe('a stream', () => {
  test('of a chat is one line per piece and a last one with counts and durations', () => {
    expect(streamed(aChat(), ['Hel', 'lo'])).toBe(
      `{${head},${message('Hel')},"done":false}\n` +
        `{${head},${message('lo')},"done":false}\n` +
        `{${lastHead},${message('')},"done":true,"done_reason":"stop",${counts}}\n`,
    );
  });

  test('of a generate has response instead of message', () => {
    expect(streamed(aGenerate(), ['Hi'], aSettlement({ finish: 'length' }))).toBe(
      `{${head},"response":"Hi","done":false}\n` +
        `{${lastHead},"response":"","done":true,"done_reason":"length",${counts}}\n`,
    );
  });

  test('of a tool call has the call in a line of its own, with an object of arguments', () => {
    const pieces = ['<tool_call>{"name":"weather","arg', 'uments":{"city":"Oslo"}}</tool_call>'];
    const calls =
      ',"tool_calls":[{"id":"call_00ff_0","function":{"index":0,"name":"weather","arguments":{"city":"Oslo"}}}]';
    expect(streamed(aChat({ tools }), pieces)).toBe(
      `{${head},${message('', calls)},"done":false}\n` +
        `{${lastHead},${message('')},"done":true,"done_reason":"stop",${counts}}\n`,
    );
  });

  test('tells thinking apart, or leaves it out when it was switched off', () => {
    const pieces = ['<think>hmm</think>', 'Yes'];
    const context = aContext({ thoughts: thinkTags });
    expect(streamed(aChat({}, context), pieces)).toContain(
      `{${head},${message('', ',"thinking":"hmm"')},"done":false}\n{${head},${message('Yes')},"done":false}\n`,
    );
    expect(streamed(aGenerate({}, context), pieces)).toContain(
      `{${head},"response":"","thinking":"hmm","done":false}\n{${head},"response":"Yes","done":false}\n`,
    );
    expect(streamed(aChat({ think: false }, context), pieces)).not.toContain('hmm');
  });

  test('sends what was held back before its last line', () => {
    expect(streamed(aChat({ tools }), ['a <tool'])).toContain(`{${head},${message(' <tool')},"done":false}\n`);
  });

  test('says what it is in its head', () => {
    expect(aChat().headers['content-type']).toBe('application/x-ndjson');
    expect(aChat({ stream: false }).headers['content-type']).toBe('application/json');
  });
});

describe('a load and an unload', () => {
  test.each(['load', 'unload'] as const)('%s answers at once, with its reason and no counts', (finish) => {
    const reply = ollamaReply(parseOllamaChat({ model: 'berth' }), aContext());
    expect(reply.end(aSettlement({ finish }), ending)).toBe(
      `{${lastHead},${message('')},"done":true,"done_reason":"${finish}"}\n`,
    );
    const unstreamed = ollamaReply(parseOllamaGenerate({ model: 'berth', stream: false }), aContext());
    expect(unstreamed.whole(aSettlement({ finish }), ending)).toBe(
      `{${lastHead},"response":"","done":true,"done_reason":"${finish}"}`,
    );
  });
});

describe('a whole reply', () => {
  test('has the whole text beside counts and durations', () => {
    expect(whole(aGenerate({ stream: false }), ['Hel', 'lo'])).toEqual({
      model: 'berth',
      created_at: '2026-11-22T09:30:00.750Z',
      response: 'Hello',
      done: true,
      done_reason: 'stop',
      total_duration: 250_000_000,
      load_duration: 1,
      prompt_eval_count: 12,
      prompt_eval_duration: 10_500_000,
      eval_count: 3,
      eval_duration: 30_250_000,
    });
  });

  test('of a tool call has thinking, text and call in one message', () => {
    const pieces = ['<think>hm</think>Look: <tool_call>{"name":"weather"}</tool_call>'];
    expect(whole(aChat({ stream: false, tools }, aContext({ thoughts: thinkTags })), pieces)).toMatchObject({
      message: {
        role: 'assistant',
        content: 'Look:',
        thinking: 'hm',
        tool_calls: [{ id: 'call_00ff_0', function: { index: 0, name: 'weather', arguments: {} } }],
      },
      done_reason: 'stop',
    });
  });

  test('durations are never 0, however fast a machine is', () => {
    const settlement = aSettlement({ prefillMs: 0, decodeMs: 0, loadMs: 0 });
    expect(whole(aChat({ stream: false }), ['x'], settlement)).toMatchObject({
      load_duration: 1,
      prompt_eval_duration: 1,
      eval_duration: 1,
    });
  });
});

describe('any text in any pieces', () => {
  test.each([
    ['chat', aChat, {}],
    ['chat with tools', aChat, { tools }],
    ['generate', aGenerate, {}],
  ])('arrives byte for byte, streamed and whole, in %s', (_how, make, fields) => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (pieces) => {
        const text = pieces.join('');
        fc.pre(!text.includes('<tool_call>'));
        const lines = streamed(make(fields), pieces).split(/\r\n|[\n\r\v\f\u0085\u2028\u2029]/);
        expect(lines.pop()).toBe('');
        expect(lines.map((line) => textOf(JSON.parse(line))).join('')).toBe(text);
        expect(textOf(JSON.parse(JSON.stringify(whole(make({ ...fields, stream: false }), pieces))))).toBe(text);
      }),
    );
  });
});

function textOf(line: { message?: { content: string }; response?: string }): string {
  return line.message?.content ?? line.response ?? '';
}

test('scores stand beside the text of their tokens, as Ollama has them', () => {
  const score = (token: string) => ({ token, logprob: -0.5, bytes: [...Buffer.from(token)] });
  const told = (token: string) => ({
    ...score(token),
    top_logprobs: [score(token), { token: '\uFFFD', logprob: -2, bytes: [0xe2] }],
  });
  const body = { model: 'berth', messages: [{ role: 'user', content: 'x' }], logprobs: true, top_logprobs: 2 };
  const lines = streamed(ollamaReply(parseOllamaChat(body), aContext()), ['Hel', 'lo'], aSettlement(), true);
  expect(
    lines
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).logprobs),
  ).toEqual([[told('Hel')], [told('lo')], undefined]);
  const reply = ollamaReply(parseOllamaChat({ ...body, stream: false }), aContext());
  expect(whole(reply, ['Hel', 'lo'], aSettlement(), true)).toMatchObject({ logprobs: [told('Hel'), told('lo')] });
});
