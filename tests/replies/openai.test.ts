// OpenAI's replies: golden transcripts of streams, whole replies, and text that arrives as it was written.
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { openaiReply } from '@berth/worker/replies/openai.ts';
import * as fc from 'fast-check';
import { thinkTags } from '@berth/worker/replies/thinking.ts';
import { describe, expect, test } from 'vitest';
import { aContext, aSettlement, ending, eventsOf, streamed, whole } from './replying.ts';

const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object' } } }];
const aReply = (fields: object = {}, context = aContext()) =>
  openaiReply(parseOpenaiChat({ model: 'berth', messages: [{ role: 'user', content: 'x' }], ...fields }), context);
const aStream = (fields: object = {}, context = aContext()) => aReply({ stream: true, ...fields }, context);

const head = '"id":"chatcmpl-00ff","created":1795339800,"model":"berth","object":"chat.completion.chunk"';
const chunk = (delta: string, finish = 'null', usage = '') =>
  `data: {${head},"choices":[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]${usage}}\n\n`;

describe('a stream', () => {
  test('is the role, the deltas, the finish and [DONE]', () => {
    expect(streamed(aStream(), ['Hel', 'lo'])).toBe(
      chunk('{"role":"assistant","content":""}') +
        chunk('{"content":"Hel"}') +
        chunk('{"content":"lo"}') +
        chunk('{}', '"stop"') +
        'data: [DONE]\n\n',
    );
  });

  test('with include_usage has usage null in all chunks but its last, which has no choices', () => {
    const noUsage = ',"usage":null';
    expect(
      streamed(aStream({ stream_options: { include_usage: true } }), ['Hi'], aSettlement({ finish: 'length' })),
    ).toBe(
      chunk('{"role":"assistant","content":""}', 'null', noUsage) +
        chunk('{"content":"Hi"}', 'null', noUsage) +
        chunk('{}', '"length"', noUsage) +
        `data: {${head},"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,` +
        '"prompt_tokens_details":{"cached_tokens":8}}}\n\n' +
        'data: [DONE]\n\n',
    );
  });

  test('of a tool call has id and name once, then the arguments as they are written, and finishes with tool_calls', () => {
    const pieces = [
      'Let me see.\n<tool',
      '_call>\n{"name": "weather", "argu',
      'ments": {"city":',
      ' "Oslo"}}\n</tool_call>\n',
    ];
    const second = '<tool_call>{"name": "weather", "arguments": {}}</tool_call>';
    expect(streamed(aStream({ tools }), [...pieces, second])).toBe(
      chunk('{"role":"assistant","content":""}') +
        chunk('{"content":"Let me see."}') +
        chunk(
          '{"tool_calls":[{"index":0,"id":"call_00ff_0","type":"function","function":{"name":"weather","arguments":""}}]}',
        ) +
        chunk('{"tool_calls":[{"index":0,"function":{"arguments":"{\\"city\\":"}}]}') +
        chunk('{"tool_calls":[{"index":0,"function":{"arguments":" \\"Oslo\\"}"}}]}') +
        chunk(
          '{"tool_calls":[{"index":1,"id":"call_00ff_1","type":"function","function":{"name":"weather","arguments":""}}]}',
        ) +
        chunk('{"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]}') +
        chunk('{}', '"tool_calls"') +
        'data: [DONE]\n\n',
    );
  });

  test('has only the first call when parallel calls were switched off', () => {
    const call = '<tool_call>{"name":"weather","arguments":{}}</tool_call>';
    const text = streamed(aStream({ tools, parallel_tool_calls: false }), [call, call]);
    expect(text.match(/"name":"weather"/g)).toHaveLength(1);
  });

  test('tells thinking apart, or leaves it out when it was switched off', () => {
    const pieces = ['<think>', '\nhm', 'm\n</think>\n\n', 'Yes'];
    const thinking = aContext({ thoughts: thinkTags });
    expect(streamed(aStream({}, thinking), pieces)).toContain(
      chunk('{"reasoning_content":"hm"}') + chunk('{"reasoning_content":"m"}') + chunk('{"content":"Yes"}'),
    );
    const silent = streamed(aStream({ reasoning_effort: 'none' }, thinking), pieces);
    expect(silent).toContain(chunk('{"role":"assistant","content":""}') + chunk('{"content":"Yes"}'));
  });

  test('escapes what some clients take for the end of a line', () => {
    expect(streamed(aStream(), ['a\u2028b\n'])).toContain(chunk('{"content":"a\\u2028b\\n"}'));
  });

  test('says what it is in its head', () => {
    expect(aStream().headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(aReply().headers['content-type']).toBe('application/json');
  });

  test.each(['cancelled', 'error'] as const)('never ends after %s', (finish) => {
    expect(() => aStream().end(aSettlement({ finish }), { nowMs: 0, totalMs: 0 })).toThrow(finish);
  });
});

describe('a whole reply', () => {
  test('has one choice, the usage, and nothing before its end', () => {
    expect(whole(aReply(), ['Hel', 'lo'])).toEqual({
      id: 'chatcmpl-00ff',
      object: 'chat.completion',
      created: 1795339800,
      model: 'berth',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: {
        prompt_tokens: 12,
        completion_tokens: 3,
        total_tokens: 15,
        prompt_tokens_details: { cached_tokens: 8 },
      },
    });
  });

  test('of a tool call has content null and finishes with tool_calls', () => {
    const pieces = ['<think>which?</think><tool_call>{"name":"weather","arguments":{"city":"Oslo"}}</tool_call>'];
    expect(whole(aReply({ tools }, aContext({ thoughts: thinkTags })), pieces)).toMatchObject({
      choices: [
        {
          message: {
            content: null,
            reasoning_content: 'which?',
            tool_calls: [
              { id: 'call_00ff_0', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
            ],
          },
          finish_reason: 'tool_calls',
        },
      ],
    });
  });

  test('that was cut by its bound says length, even after a call', () => {
    const pieces = ['<tool_call>{"name":"weather"}</tool_call>'];
    expect(whole(aReply({ tools }), pieces, aSettlement({ finish: 'length' }))).toMatchObject({
      choices: [{ finish_reason: 'length' }],
    });
  });

  test('of nothing is an empty text', () => {
    expect(whole(aReply(), [])).toMatchObject({ choices: [{ message: { content: '' } }] });
  });
});

describe('several answers', () => {
  const call = '<tool_call>{"name":"weather","arguments":{"city":"Oslo"}}</tool_call>';
  const events = [...eventsOf([call, call]), ...eventsOf(['No, no'], false, 'length'), ...eventsOf([call])];

  test('are choices of their own, whose calls have ids of their own', () => {
    const reply = aReply({ tools, n: 3 });
    for (const event of events) expect(reply.piece(event, 0)).toBe('');
    const { choices, usage } = JSON.parse(reply.whole(aSettlement(), ending));
    const called = { message: { content: null, tool_calls: [{}, {}] }, finish_reason: 'tool_calls' };
    expect(choices).toMatchObject([
      { index: 0, ...called },
      { index: 1, message: { content: 'No, no' }, finish_reason: 'length' },
      { index: 2, ...called, message: { tool_calls: [{}] } },
    ]);
    const ids = choices.flatMap(({ message }: { message: { tool_calls?: { id: string }[] } }) =>
      (message.tool_calls ?? []).map(({ id }) => id),
    );
    expect(new Set(ids).size).toBe(3);
    expect(usage).toMatchObject({ prompt_tokens: 12, completion_tokens: 3 });
  });

  test('stream one after another: each its role, its deltas and its finish, calls counted from 0', () => {
    const reply = aStream({ tools, n: 3 });
    const text = events.map((event) => reply.piece(event, 0)).join('') + reply.end(aSettlement(), ending);
    const chunks = [...text.matchAll(/^data: ({.*)$/gm)].map(([, json = '']) => JSON.parse(json).choices[0]);
    const ofChoice = [0, 1, 2].map((choice) => chunks.filter(({ index }) => index === choice));
    expect(ofChoice.flat()).toEqual(chunks);
    for (const told of ofChoice) expect(told[0].delta).toEqual({ role: 'assistant', content: '' });
    expect(ofChoice.map((told) => told.at(-1).finish_reason)).toEqual(['tool_calls', 'length', 'tool_calls']);
    const begun = (told: typeof chunks) =>
      told.flatMap(({ delta }) => delta.tool_calls ?? []).filter(({ id }: { id?: string }) => id !== undefined);
    expect(ofChoice.map((told) => begun(told).map(({ index }) => index))).toEqual([[0, 1], [], [0]]);
    expect(new Set(begun(chunks).map(({ id }) => id)).size).toBe(3);
    expect(text.match(/\[DONE\]/g)).toHaveLength(1);
  });
});

describe('any text in any pieces', () => {
  const pieces = fc.array(fc.string({ unit: 'binary' }));

  test.each([
    ['plain', {}],
    ['with tools', { tools }],
  ])('arrives byte for byte, streamed and whole, %s', (_how, fields) => {
    fc.assert(
      fc.property(pieces, (pieces) => {
        const text = pieces.join('');
        fc.pre(!text.includes('<tool_call>'));
        const context = aContext();
        expect(contentOf(streamed(aStream(fields, context), pieces))).toBe(text);
        expect(whole(aReply(fields, context), pieces)).toMatchObject({ choices: [{ message: { content: text } }] });
      }),
    );
  });
});

/** The text that a client puts together from a stream, read by the rules of server-sent events. */
function contentOf(stream: string): string {
  const frames = stream.split(/\r\n\r\n|\n\n|\r\r/).filter((frame) => frame !== '');
  const data = frames.map((frame) => {
    const lines = frame.split(/\r\n|[\n\r\v\f\u0085\u2028\u2029]/);
    expect(lines).toHaveLength(1);
    return (lines[0] ?? '').replace(/^data: /, '');
  });
  expect(data.pop()).toBe('[DONE]');
  return data.map((json) => deltaOf(JSON.parse(json))).join('');
}

function deltaOf(chunk: { choices: { delta: { content?: string } }[] }): string {
  return chunk.choices[0]?.delta.content ?? '';
}

describe('scores', () => {
  const fields = { logprobs: true, top_logprobs: 2 };
  const entry = (token: string) => ({ token, logprob: -0.5, bytes: [...Buffer.from(token)] });
  const told = (token: string) => ({
    ...entry(token),
    top_logprobs: [entry(token), { token: '\uFFFD', logprob: -2, bytes: [0xe2] }],
  });

  test('stand in each chunk with the text of their tokens', () => {
    const frames = streamed(aStream(fields), ['Hel', 'lo'], aSettlement(), true).split('\n\n').slice(0, -2);
    const scores = frames.map((frame) => JSON.parse(frame.slice('data: '.length)).choices[0].logprobs);
    const content = (token: string) => ({ content: [told(token)], refusal: null });
    expect(scores).toEqual([{ content: [], refusal: null }, content('Hel'), content('lo'), null]);
  });

  test('of text that was held back come with the next, and none is lost', () => {
    const frames = streamed(aStream({ ...fields, tools }), ['a <tool', '_ca', 'p'], aSettlement(), true);
    const tokens = [...frames.matchAll(/^data: ({.*)$/gm)].flatMap(([, json = '']) =>
      (JSON.parse(json).choices[0].logprobs?.content ?? []).map(({ token }: { token: string }) => token),
    );
    expect(tokens).toEqual(['a <tool', '_ca', 'p']);
  });

  test('of a whole reply are one list', () => {
    expect(whole(aReply(fields), ['Hel', 'lo'], aSettlement(), true)).toMatchObject({
      choices: [{ logprobs: { content: [told('Hel'), told('lo')], refusal: null } }],
    });
  });
});
