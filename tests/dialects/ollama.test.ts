// Ollama's chat and generate requests: what real clients send is taken, every wrong type is refused by name.
import { ollama, parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

const hello = [{ role: 'user', content: 'Hello' }];
const chat = (fields: object = {}) => parseOllamaChat({ model: 'berth', messages: hello, ...fields });
const generate = (fields: object = {}) => parseOllamaGenerate({ model: 'berth', prompt: 'Hello', ...fields });

describe('requests as clients send them', () => {
  test('a chat streams by default and leaves everything to the engine', () => {
    expect(chat()).toEqual({
      dialect: 'ollama',
      endpoint: 'chat',
      model: 'berth',
      prompt: { kind: 'chat', messages: hello, tools: [], forgets: true },
      stream: true,
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

  test('ollama-provider-v2 and ChatOllama: think false, a tool_choice, empty options, null fields', () => {
    const generation = chat({
      think: false,
      tool_choice: 'auto',
      options: {},
      format: null,
      tools: null,
      stream: false,
    });
    expect(generation).toMatchObject({ stream: false, prompt: { think: false, tools: [] } });
  });

  test('Continue and Open WebUI: options of every kind; what a server decides is ignored', () => {
    const generation = chat({
      options: {
        num_ctx: 8192,
        num_predict: 64,
        temperature: 0.2,
        top_k: 40,
        top_p: 0.9,
        min_p: 0.05,
        typical_p: 1,
        repeat_penalty: 1.1,
        repeat_last_n: 64,
        presence_penalty: 1,
        frequency_penalty: -1,
        seed: 42,
        stop: ['</s>', ''],
        num_keep: 5,
        num_gpu: 99,
        num_thread: 8,
        use_mmap: true,
        mirostat: null,
      },
    });
    expect(generation).toMatchObject({ contextTokens: 8192, maxTokens: 64, stop: ['</s>'] });
    expect(generation.sampling).toEqual({
      temperature: 0.2,
      topK: 40,
      topP: 0.9,
      minP: 0.05,
      repeatPenalty: 1.1,
      repeatLastN: 64,
      presencePenalty: 1,
      frequencyPenalty: -1,
      seed: 42,
    });
  });

  test('a seed of -1 is drawn, and a bound of -1 or -2 is none', () => {
    expect(chat({ options: { seed: -1 } }).sampling.seed).toBeNull();
    expect(chat({ options: { num_predict: -1 } }).maxTokens).toBeNull();
    expect(chat({ options: { num_predict: -2 } }).maxTokens).toBeNull();
  });

  test('an agent: arguments are objects, roles come in any case, tools are named', () => {
    const messages = [
      { role: 'User', content: 'Hello', images: [] },
      { role: 'assistant', tool_calls: [{ function: { name: 'weather', arguments: { city: 'Oslo' } } }] },
      { role: 'tool', content: 'rain', tool_name: 'weather' },
    ];
    const tools = [
      { type: 'function', function: { name: 'weather', description: 'd', parameters: { type: 'object' } } },
    ];
    expect(chat({ messages, tools }).prompt).toEqual({
      kind: 'chat',
      messages: [
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: '', toolCalls: [{ id: '', name: 'weather', arguments: { city: 'Oslo' } }] },
        { role: 'tool', content: 'rain', name: 'weather' },
      ],
      tools: [{ name: 'weather', description: 'd', parameters: { type: 'object' } }],
      forgets: true,
    });
  });

  test('a conversation forgets what does not fit unless it is to be whole', () => {
    expect(chat({ truncate: false }).prompt).not.toHaveProperty('forgets');
    expect(chat({ truncate: null }).prompt).toHaveProperty('forgets', true);
    expect(generate({ truncate: true }).prompt).not.toHaveProperty('forgets');
  });

  test('generate fills in before a suffix, also where nothing stands before', () => {
    expect(generate({ suffix: 'end' }).prompt).toEqual({ kind: 'infill', before: 'Hello', after: 'end' });
    expect(generate({ prompt: '', suffix: 'end' }).prompt).toEqual({ kind: 'infill', before: '', after: 'end' });
    expect(generate({ suffix: 'end' })).not.toHaveProperty('tellsContext');
  });

  test('generate goes on from a context, and tells its own', () => {
    expect(generate({ context: [1, 2] })).toMatchObject({
      prompt: { kind: 'chat', messages: hello, history: [1, 2] },
      tellsContext: true,
    });
    expect(generate({ raw: true })).not.toHaveProperty('tellsContext');
    expect(generate({ prompt: '', context: [1] }).prompt).toBeNull();
  });

  test('generate puts the system before the prompt, and raw sends the text as it stands', () => {
    expect(generate({ system: 'Be brief.' }).prompt).toEqual({
      kind: 'chat',
      messages: [{ role: 'system', content: 'Be brief.' }, ...hello],
      tools: [],
    });
    expect(generate({ raw: true }).prompt).toEqual({ kind: 'raw', text: 'Hello' });
    expect(generate({ suffix: '', template: '', images: [], context: [] }).endpoint).toBe('generate');
  });

  test.each([
    ['no messages', () => parseOllamaChat({ model: 'm' })],
    ['empty messages', () => parseOllamaChat({ model: 'm', messages: [] })],
    ['no prompt', () => parseOllamaGenerate({ model: 'm' })],
    ['an empty prompt', () => parseOllamaGenerate({ model: 'm', prompt: '', system: 'x' })],
  ])('%s only loads the model', (_what, read) => {
    expect(read().prompt).toBeNull();
  });

  test.each([
    ['json', { kind: 'json' }],
    ['', { kind: 'text' }],
    [
      { $schema: 'x', type: 'object' },
      { kind: 'schema', schema: { $schema: 'x', type: 'object' } },
    ],
  ])('format %j is %j', (format, expected) => {
    expect(chat({ format }).format).toEqual(expected);
    expect(generate({ format }).format).toEqual(expected);
  });

  test.each([
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['100ms', 100],
    ['.5s', 500],
    ['+2s', 2000],
    ['1500us', 1.5],
    ['1500\u03bcs', 1.5],
    ['0', 0],
    ['0s', 0],
    [0, 0],
    [300, 300_000],
    [0.5, 500],
    [-1, Infinity],
    ['-1m', Infinity],
    [1e300, Infinity],
    ['9999999h', Infinity],
  ])('keep_alive %j is %j ms', (written, keepAliveMs) => {
    expect(chat({ keep_alive: written }).keepAliveMs).toBe(keepAliveMs);
  });
});

describe('requests that are refused', () => {
  const withMessage = (message: unknown) => ({ messages: [message] });
  const option = (options: unknown) => ({ options });

  test.each<[string, object]>([
    ['model', { model: undefined }],
    ['model', { model: ['m'] }],
    ['model', { model: 'a b' }],
    ['stream', { stream: 'false' }],
    ['think', { think: 'hard' }],
    ['think', { think: 1 }],
    ['format', { format: 'xml' }],
    ['format', { format: 5 }],
    ['format', { format: ['json'] }],
    ['keep_alive', { keep_alive: '300' }],
    ['keep_alive', { keep_alive: '' }],
    ['keep_alive', { keep_alive: '5 m' }],
    ['keep_alive', { keep_alive: '5d' }],
    ['keep_alive', { keep_alive: true }],
    ['keep_alive', { keep_alive: '1m'.repeat(40) }],
    ['options', option([])],
    ['options', option('x')],
    ['options.temperature', option({ temperature: 'hot' })],
    ['options.temperature', option({ temperature: -1 })],
    ['options.top_k', option({ top_k: 1.5 })],
    ['options.top_p', option({ top_p: 2 })],
    ['options.min_p', option({ min_p: '0' })],
    ['options.typical_p', option({ typical_p: 0.5 })],
    ['options.repeat_penalty', option({ repeat_penalty: 0 })],
    ['options.repeat_last_n', option({ repeat_last_n: -2 })],
    ['options.presence_penalty', option({ presence_penalty: 5 })],
    ['options.frequency_penalty', option({ frequency_penalty: -2.5 })],
    ['options.seed', option({ seed: '42' })],
    ['options.num_ctx', option({ num_ctx: 0 })],
    ['options.num_predict', option({ num_predict: -3 })],
    ['options.stop', option({ stop: Array.from({ length: 17 }, String) })],
    ['options.stop[0]', option({ stop: [1] })],
    ['logprobs', { logprobs: 'yes' }],
    ['top_logprobs', { top_logprobs: 21 }],
  ])('%s is at fault in case %#, in chat and in generate', (param, fields) => {
    for (const read of [chat, generate]) {
      const refusal = refused(() => read(fields));
      expect(refusal).toMatchObject({ outcome: 'bad_request', param });
      expect(refusal.message.startsWith(param)).toBe(true);
    }
  });

  test.each<[string, object]>([
    ['messages', { messages: 'Hello' }],
    ['messages[0].role', withMessage({ content: 'x' })],
    ['messages[0].role', withMessage({ role: 'developer' })],
    ['messages[0].content', withMessage({ role: 'user', content: [{ type: 'text', text: 'x' }] })],
    ['messages[0].images[0]', withMessage({ role: 'user', content: 'x', images: [1] })],
    ['messages[0].images', withMessage({ role: 'user', content: 'x', images: 'aGk=' })],
    [
      'messages[0].tool_calls[0].function.arguments',
      withMessage({ role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: '{}' } }] }),
    ],
    ['tools[0].function.name', { tools: [{ type: 'function', function: {} }] }],
  ])('%s is at fault in chat, case %#', (param, fields) => {
    expect(refused(() => chat(fields))).toMatchObject({ outcome: 'bad_request', param });
  });

  test.each<[string, object]>([
    ['prompt', { prompt: 5 }],
    ['system', { system: {} }],
    ['system', { raw: true, system: 'x' }],
    ['raw', { raw: 'yes' }],
    ['suffix', { suffix: 5 }],
    ['suffix', { suffix: 'end', raw: true }],
    ['context', { suffix: 'end', context: [1] }],
    ['truncate', { truncate: 'no' }],
    ['template', { template: '{{ .Prompt }}' }],
    ['images', { images: ['aGk='], raw: true }],
    ['context', { context: [1, 2], raw: true }],
    ['context', { context: 'earlier' }],
    ['context[0]', { context: ['1'] }],
  ])('%s is at fault in generate, case %#', (param, fields) => {
    expect(refused(() => generate(fields))).toMatchObject({ outcome: 'bad_request', param });
  });
});

describe('frames', () => {
  test('an error is one text, in a body and in a line', () => {
    const refusal = new Refusal('worker_failed', 'the worker died');
    expect(ollama.errorBody(refusal, 'id')).toBe('{"error":"the worker died"}');
    expect(ollama.errorFrame(refusal, 'id')).toBe('{"error":"the worker died"}\n');
  });

  test("a full queue is told in Ollama's own words", () => {
    const refusal = new Refusal('queue_full', 'all 512 places are taken', { retryAfterS: 3 });
    expect(JSON.parse(ollama.errorBody(refusal, 'id'))).toEqual({
      error: 'server busy, please try again.  maximum pending requests exceeded',
    });
  });

  test('waiting is an empty piece of the endpoint, or of both when it is unknown; it says where one stands', () => {
    const context = { model: 'm', place: null, expectedMs: null, nowMs: 0 };
    const head = { model: 'm', created_at: '1970-01-01T00:00:00.000Z', done: false };
    const message = { role: 'assistant', content: '' };
    expect(JSON.parse(ollama.waitFrame({ ...context, endpoint: 'chat' }))).toEqual({ ...head, message });
    expect(JSON.parse(ollama.waitFrame({ ...context, endpoint: 'generate' }))).toEqual({ ...head, response: '' });
    expect(JSON.parse(ollama.waitFrame(context))).toEqual({ ...head, message, response: '' });
    expect(ollama.waitFrame(context).match(/\n/g)).toHaveLength(1);
    const placed = { ...context, endpoint: 'chat' as const, place: 3 };
    expect(JSON.parse(ollama.waitFrame(placed))).toEqual({ ...head, message, queue: { place: 3, seconds: null } });
    const expected = { ...placed, expectedMs: 12_400 };
    expect(JSON.parse(ollama.waitFrame(expected))).toMatchObject({ queue: { place: 3, seconds: 12 } });
  });
});
