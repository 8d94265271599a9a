// OpenAI's chat requests: what real clients send is taken, every wrong type is refused by name.
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Generation, Prompt } from '@berth/shared/request.ts';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

const hello = [{ role: 'user', content: 'Hello' }];
const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } };
const aRequest = (fields: object = {}) => ({ model: 'berth', messages: hello, ...fields });
const read = (fields: object = {}) => parseOpenaiChat(aRequest(fields));

function chatOf(prompt: Prompt | null): Extract<Prompt, { kind: 'chat' }> {
  if (prompt?.kind !== 'chat') throw new Error('not a chat');
  return prompt;
}
const messagesOf = (messages: unknown[]) => chatOf(parseOpenaiChat({ model: 'm', messages }).prompt).messages;

describe('requests as clients send them', () => {
  test('the smallest request leaves everything to the engine', () => {
    expect(read()).toEqual({
      dialect: 'openai',
      endpoint: 'chat',
      model: 'berth',
      prompt: { kind: 'chat', messages: hello, tools: [] },
      stream: false,
      includeUsage: false,
      sampling: {
        temperature: null,
        topK: null,
        topP: null,
        minP: null,
        repeatPenalty: null,
        repeatLastN: null,
        presencePenalty: null,
        frequencyPenalty: null,
        seed: null,
      },
      maxTokens: null,
      stop: [],
      format: { kind: 'text' },
      keepAliveMs: null,
      contextTokens: null,
    });
  });

  test('openai-node: every optional field there is, at values that change nothing or can be honoured', () => {
    const generation = read({
      messages: [{ role: 'developer', content: 'Be brief.', name: 'lead' }, ...hello],
      audio: { format: 'wav', voice: 'ash' },
      frequency_penalty: -2,
      presence_penalty: 2,
      function_call: 'none',
      logit_bias: { 50256: 0 },
      logprobs: false,
      top_logprobs: 0,
      max_completion_tokens: 9,
      max_tokens: 99,
      metadata: { foo: 'string' },
      modalities: ['text'],
      n: 1,
      parallel_tool_calls: true,
      prediction: { content: 'string', type: 'content' },
      prompt_cache_key: 'key',
      reasoning_effort: 'none',
      response_format: { type: 'text' },
      safety_identifier: 'id',
      seed: -9007199254740991,
      service_tier: 'auto',
      stop: '\n',
      store: true,
      stream: true,
      stream_options: { include_obfuscation: true, include_usage: true },
      temperature: 1,
      tool_choice: 'none',
      tools: [weather],
      top_p: 1,
      user: 'user-1234',
      verbosity: 'low',
    });
    expect(generation.prompt).toEqual({
      kind: 'chat',
      messages: [{ role: 'system', content: 'Be brief.', name: 'lead' }, ...hello],
      tools: [],
      think: false,
    });
    expect(generation).toMatchObject({ stream: true, includeUsage: true, maxTokens: 9, stop: ['\n'] });
    expect(generation.sampling).toMatchObject({ temperature: 1, topP: 1, frequencyPenalty: -2, presencePenalty: 2 });
    expect(generation.sampling.seed).toBe(1);
  });

  test('log-probabilities and biases', () => {
    expect(read({ logprobs: true }).topLogprobs).toBe(0);
    expect(read({ logprobs: true, top_logprobs: 20 }).topLogprobs).toBe(20);
    expect(read({ logprobs: false }).topLogprobs).toBeUndefined();
    expect(read({ logit_bias: { 5: -100, 7: 0, 9: 1.5 } }).sampling.logitBias).toEqual([
      [5, -100],
      [9, 1.5],
    ]);
  });

  test('LangChain and pydantic clients send null for what was left out', () => {
    const names = ['temperature', 'stop', 'tools', 'n', 'seed', 'max_tokens', 'response_format', 'stream_options'];
    expect(read(Object.fromEntries(names.map((name) => [name, null])))).toEqual(read());
  });

  test('AI SDK and Open WebUI: text parts are joined by line breaks', () => {
    const content = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ];
    expect(messagesOf([{ role: 'user', content }])).toEqual([{ role: 'user', content: 'one\ntwo' }]);
  });

  test('an agent: calls with content null, then the answer of a tool, which learns its name', () => {
    const called = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } };
    expect(
      messagesOf([
        ...hello,
        { role: 'assistant', content: null, tool_calls: [called] },
        { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
      ]).slice(1),
    ).toEqual([
      { role: 'assistant', content: '', toolCalls: [{ id: 'call_1', name: 'weather', arguments: { city: 'Oslo' } }] },
      { role: 'tool', content: 'rain', toolCallId: 'call_1', name: 'weather' },
    ]);
  });

  test('tools reach the template; without parameters they take an empty object', () => {
    const bare = { type: 'function', function: { name: 'now', description: 'The time' } };
    const { prompt } = read({ tools: [weather, bare], tool_choice: 'auto', parallel_tool_calls: false });
    expect(chatOf(prompt).tools).toEqual([
      { name: 'weather', description: '', parameters: { type: 'object', properties: {} } },
      { name: 'now', description: 'The time', parameters: { type: 'object', properties: {} } },
    ]);
    expect(read({ parallel_tool_calls: false }).parallelCalls).toBe(false);
  });

  test('a call can be forced, of any tool, of some or of one', () => {
    const now = { type: 'function', function: { name: 'now', strict: true } };
    const tools = [weather, now];
    const named = { type: 'function', function: { name: 'now' } };
    const allowed = (mode: string) => ({ type: 'allowed_tools', allowed_tools: { mode, tools: [named] } });
    const names = ({ prompt }: Generation) => chatOf(prompt).tools.map(({ name }) => name);
    expect(read({ tools, tool_choice: 'required' }).mustCall).toEqual(['weather', 'now']);
    expect(read({ tools, tool_choice: named })).toMatchObject({ mustCall: ['now'], parallelCalls: false });
    expect(names(read({ tools, tool_choice: named }))).toEqual(['weather', 'now']);
    expect(names(read({ tools, tool_choice: allowed('auto') }))).toEqual(['now']);
    expect(read({ tools, tool_choice: allowed('auto') }).mustCall).toBeUndefined();
    expect(read({ tools, tool_choice: allowed('required') }).mustCall).toEqual(['now']);
    expect(names(read({ tools, tool_choice: 'none' }))).toEqual([]);
    expect(chatOf(read({ tools }).prompt).tools.map(({ strict }) => strict)).toEqual([undefined, true]);
  });

  test.each([
    [{ response_format: { type: 'json_object' } }, { kind: 'json' }],
    [
      { grammar: 'root ::= "a"', response_format: { type: 'text' } },
      { kind: 'grammar', grammar: 'root ::= "a"' },
    ],
    [{ response_format: { type: 'grammar', grammar: 'root ::= "a"' } }, { kind: 'grammar', grammar: 'root ::= "a"' }],
    [{ grammar: '' }, { kind: 'text' }],
    [
      {
        response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema: { type: 'object' } } },
      },
      { kind: 'schema', schema: { type: 'object' } },
    ],
    [{ response_format: { type: 'json_object', schema: { a: 1 } } }, { kind: 'schema', schema: { a: 1 } }],
    [{ json_schema: { type: 'number' } }, { kind: 'schema', schema: { type: 'number' } }],
  ])('the output of %j is bound to its format', (fields, format) => {
    expect(read(fields).format).toEqual(format);
  });

  test.each([
    [{ reasoning_effort: 'minimal' }, 'low'],
    [{ reasoning_effort: 'xhigh' }, 'max'],
    [{ chat_template_kwargs: { enable_thinking: false } }, false],
    [{}, undefined],
  ])('%j asks for thinking %j', (fields, think) => {
    expect(chatOf(read(fields).prompt).think).toBe(think);
  });

  test('usage is only for streams, and -1 tokens is no bound', () => {
    expect(read({ stream_options: { include_usage: true } }).includeUsage).toBe(false);
    expect(read({ max_tokens: -1 }).maxTokens).toBeNull();
  });

  test("llama-server's sampling extras are honoured", () => {
    const { sampling } = read({ top_k: -1, min_p: 0.1, repeat_penalty: 1.1 });
    expect(sampling).toMatchObject({ topK: 0, minP: 0.1, repeatPenalty: 1.1 });
  });

  test('a lone surrogate becomes a character that can be encoded', () => {
    expect(messagesOf([{ role: 'user', content: 'a\ud800b' }])[0]?.content).toBe('a\ufffdb');
  });
});

describe('requests that are refused', () => {
  const nested = (levels: number): object => (levels === 0 ? {} : { a: nested(levels - 1) });
  const withMessage = (message: unknown) => ({ messages: [...hello, message] });
  const withTool = (fields: object) => ({ tools: [{ type: 'function', function: { name: 'f', ...fields } }] });
  const pastCall = (fields: object) => withMessage({ role: 'assistant', tool_calls: [{ id: 'c', ...fields }] });
  const withSchema = (schema: unknown) => ({ response_format: { type: 'json_schema', json_schema: { schema } } });

  test.each<[string, object]>([
    ['model', { model: undefined }],
    ['model', { model: 5 }],
    ['model', { model: '' }],
    ['model', { model: 'two words' }],
    ['model', { model: 'line\nbreak' }],
    ['model', { model: 'x'.repeat(257) }],
    ['messages', { messages: undefined }],
    ['messages', { messages: 'Hello' }],
    ['messages', { messages: [] }],
    ['messages', { messages: Array.from({ length: 4097 }, () => hello[0]) }],
    ['messages[1]', withMessage('Hello')],
    ['messages[1].role', withMessage({ content: 'x' })],
    ['messages[1].role', withMessage({ role: 'function', content: 'x' })],
    ['messages[1].role', withMessage({ role: 7, content: 'x' })],
    ['messages[1].content', withMessage({ role: 'user', content: null })],
    ['messages[1].content', withMessage({ role: 'user', content: 5 })],
    ['messages[1].content', withMessage({ role: 'user', content: { text: 'x' } })],
    ['messages[1].content', withMessage({ role: 'assistant', content: null })],
    ['messages[1].content[0]', withMessage({ role: 'user', content: ['x'] })],
    [
      'messages[1].content[0].image_url.url',
      withMessage({ role: 'user', content: [{ type: 'image_url', image_url: {} }] }),
    ],
    [
      'messages[1].content[0].image_url.url',
      withMessage({ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://10.0.0.1/a.png' } }] }),
    ],
    [
      'messages[1].content[0].image_url',
      withMessage({ role: 'user', content: [{ type: 'image_url', image_url: 'file:///etc/passwd' }] }),
    ],
    ['messages[1].content[0].input_audio', withMessage({ role: 'user', content: [{ type: 'input_audio' }] })],
    ['messages[1].content[0].type', withMessage({ role: 'user', content: [{ type: 'video' }] })],
    ['messages[1].content[0].text', withMessage({ role: 'user', content: [{ type: 'text', text: 1 }] })],
    ['messages[1].tool_call_id', withMessage({ role: 'tool', content: 'x' })],
    ['messages[1].name', withMessage({ role: 'user', content: 'x', name: 3 })],
    ['messages[1].function_call', withMessage({ role: 'assistant', function_call: { name: 'f' } })],
    ['messages[1].tool_calls', withMessage({ role: 'assistant', tool_calls: {} })],
    ['messages[1].tool_calls[0].function', pastCall({})],
    ['messages[1].tool_calls[0].function.name', pastCall({ function: { arguments: '{}' } })],
    ['messages[1].tool_calls[0].function.arguments', pastCall({ function: { name: 'f', arguments: {} } })],
    ['messages[1].tool_calls[0].function.arguments', pastCall({ function: { name: 'f', arguments: '{' } })],
    ['messages[1].tool_calls[0].function.arguments', pastCall({ function: { name: 'f', arguments: '[]' } })],
    ['stream', { stream: 'yes' }],
    ['stream_options', { stream: true, stream_options: true }],
    ['stream_options.include_usage', { stream: true, stream_options: { include_usage: 1 } }],
    ['temperature', { temperature: '1' }],
    ['temperature', { temperature: 2.1 }],
    ['temperature', { temperature: -0.1 }],
    ['temperature', { temperature: Infinity }],
    ['top_p', { top_p: 1.5 }],
    ['top_k', { top_k: 1.5 }],
    ['min_p', { min_p: -1 }],
    ['repeat_penalty', { repeat_penalty: 0 }],
    ['frequency_penalty', { frequency_penalty: 3 }],
    ['presence_penalty', { presence_penalty: '0' }],
    ['seed', { seed: 1.5 }],
    ['max_tokens', { max_tokens: 0 }],
    ['max_tokens', { max_tokens: '5' }],
    ['max_completion_tokens', { max_completion_tokens: 1.5 }],
    ['stop', { stop: 5 }],
    ['stop', { stop: ['1', '2', '3', '4', '5'] }],
    ['stop[1]', { stop: ['a', 5] }],
    ['stop[0]', { stop: ['x'.repeat(257)] }],
    ['n', { n: 65 }],
    ['n', { n: 1.5 }],
    ['n', { n: 0 }],
    ['logprobs', { logprobs: 'no' }],
    ['top_logprobs', { top_logprobs: 21 }],
    ['top_logprobs', { top_logprobs: 3 }],
    ['logit_bias', { logit_bias: { five: 1 } }],
    ['logit_bias', { logit_bias: { '-5': 1 } }],
    ['logit_bias', { logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, token) => [token, 1])) }],
    ['logit_bias.5', { logit_bias: { 5: 101 } }],
    ['logit_bias', { logit_bias: [] }],
    ['logit_bias.5', { logit_bias: { 5: 'x' } }],
    ['modalities[0]', { modalities: ['audio'] }],
    ['functions', { functions: [{ name: 'f' }] }],
    ['grammar', { grammar: ['root ::= "a"'] }],
    ['grammar', { grammar: 'x'.repeat(65_537) }],
    ['grammar', { grammar: 'root ::= "a"', tools: [weather] }],
    ['grammar', { grammar: 'root ::= "a"', response_format: { type: 'json_object' } }],
    ['grammar', { grammar: 'root ::= "a"', json_schema: {} }],
    ['grammar_lazy', { grammar: 'root ::= "a"', grammar_lazy: true }],
    ['response_format.grammar', { response_format: { type: 'grammar' } }],
    ['web_search_options', { web_search_options: {} }],
    ['response_format', { response_format: 'json' }],
    ['response_format.type', { response_format: {} }],
    ['response_format.type', { response_format: { type: 'xml' } }],
    ['response_format.json_schema', { response_format: { type: 'json_schema' } }],
    ['response_format.json_schema.schema', withSchema(undefined)],
    ['response_format.json_schema.schema', withSchema('object')],
    ['response_format.json_schema.schema', withSchema(nested(17))],
    ['response_format.json_schema.schema', withSchema({ description: 'x'.repeat(65_536) })],
    ['response_format.json_schema.schema', withSchema(JSON.parse('{"properties":{"__proto__":{}}}'))],
    ['tools', { tools: {} }],
    ['tools', { tools: Array.from({ length: 129 }, () => weather) }],
    ['tools[0].type', { tools: [{ type: 'code_interpreter' }] }],
    ['tools[0].function', { tools: [{ type: 'function' }] }],
    ['tools[0].function.name', { tools: [{ type: 'function', function: {} }] }],
    ['tools[0].function.description', withTool({ description: 5 })],
    ['tools[0].function.parameters', withTool({ parameters: 'x' })],
    ['tools[0].function.strict', withTool({ strict: 'yes' })],
    ['tool_choice', { tool_choice: 'required' }],
    ['tool_choice', { tools: [weather], tool_choice: { type: 'function', function: { name: 'wether' } } }],
    ['tool_choice.function', { tools: [weather], tool_choice: { type: 'function' } }],
    ['tool_choice.type', { tools: [weather], tool_choice: { type: 'custom' } }],
    ['tool_choice.allowed_tools.mode', { tools: [weather], tool_choice: { type: 'allowed_tools', allowed_tools: {} } }],
    ['tool_choice', { tool_choice: 5 }],
    ['parallel_tool_calls', { parallel_tool_calls: 'no' }],
    ['reasoning_effort', { reasoning_effort: 'huge' }],
    ['chat_template_kwargs.enable_thinking', { chat_template_kwargs: { enable_thinking: 'yes' } }],
  ])('%s is at fault in case %#', (param, fields) => {
    const refusal = refused(() => parseOpenaiChat(aRequest(fields)));
    expect(refusal).toMatchObject({ outcome: 'bad_request', param });
    expect(refusal.message.startsWith(param)).toBe(true);
  });

  test.each([null, 'text', 5, [], true])('a body that is %j is refused as a whole', (body) => {
    expect(refused(() => parseOpenaiChat(body))).toMatchObject({ outcome: 'bad_request', param: null });
  });

  test('a message never repeats what the client wrote', () => {
    const secret = 'sk-secret';
    const refusals = [
      refused(() => read({ temperature: secret })),
      refused(() => read({ reasoning_effort: secret })),
      refused(() => read(withMessage({ role: secret, content: secret }))),
      refused(() => read(withMessage({ role: 'user', content: [{ type: secret }] }))),
    ];
    for (const { message } of refusals) expect(message).not.toContain(secret);
  });
});

describe("names of every object's prototype", () => {
  test('an inherited field is absent, and one written in the body changes nothing', () => {
    const body: unknown = JSON.parse(
      '{"__proto__":{"stream":true,"model":"evil"},"constructor":{"prototype":{"stream":true}},"model":"m","messages":[{"role":"user","content":"x","__proto__":{"tool_calls":5}}]}',
    );
    expect(parseOpenaiChat(body)).toMatchObject({ model: 'm', stream: false });
    expect(Object.prototype).not.toHaveProperty('stream');
    expect(refused(() => parseOpenaiChat(JSON.parse('{"__proto__":{"model":"evil"}}'))).param).toBe('model');
  });

  test('a field that only a prototype has is absent', () => {
    const body: unknown = Object.assign(Object.create({ model: 'inherited', stream: true }), { messages: hello });
    expect(refused(() => parseOpenaiChat(body)).param).toBe('model');
  });

  test('"constructor" is a name like any other for a tool and its parameters', () => {
    const parameters = { type: 'object', properties: { constructor: { type: 'string' } } };
    const { prompt } = read({ tools: [{ type: 'function', function: { name: 'constructor', parameters } }] });
    expect(chatOf(prompt).tools[0]).toMatchObject({ name: 'constructor', parameters });
  });
});

describe('frames', () => {
  test('an error has all four keys, in a body and in a stream', () => {
    const refusal = new Refusal('bad_request', 'n must be 1', { param: 'n' });
    const body = { error: { message: 'n must be 1', type: 'invalid_request_error', param: 'n', code: null } };
    expect(JSON.parse(openai.errorBody(refusal, 'id'))).toEqual(body);
    expect(openai.errorFrame(refusal, 'id')).toBe(`data: ${JSON.stringify(body)}\n\n`);
  });

  test('waiting is a comment', () => {
    const frame = (place: number | null, expectedMs: number | null) =>
      openai.waitFrame({ model: 'm', place, expectedMs, nowMs: 0 });
    expect(frame(3, 12_400)).toBe(': waiting, place 3, about 12 s\n\n');
    expect(frame(1, 20)).toBe(': waiting, place 1, about 1 s\n\n');
    expect(frame(3, null)).toBe(': waiting, place 3\n\n');
    expect(frame(null, null)).toBe(': waiting\n\n');
  });
});
