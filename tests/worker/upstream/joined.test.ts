// A server of the team's joins as a worker: what is announced, how requests reach it, and what holds when it does wrong.
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { createLog } from '@berth/shared/log.ts';
import { startUpstream } from '../../doubles/upstream.ts';
import type { Upstream, UpstreamKind, UpstreamOptions } from '../../doubles/upstream.ts';
import { chat, until } from '../a-worker.ts';
import { aJoined } from './a-joined.ts';
import type { TestJoined } from './a-joined.ts';
import type { JoinedOptions } from '../../../worker/upstream/joined.ts';

let upstream: Upstream;
let joined: TestJoined;
afterEach(async () => {
  await joined[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

async function join(options: UpstreamOptions, more: Partial<JoinedOptions> = {}): Promise<TestJoined> {
  upstream = await startUpstream(options);
  joined = await aJoined(upstream.url, more);
  return joined;
}

const isReady = () => joined.announcement().state === 'ready' && (joined.beat()?.capacity ?? 0) > 0;
const kinds: UpstreamKind[] = ['ollama', 'vllm', 'llama-server', 'openai'];
const ollamaChat = (text: string, more: object = {}) => ({
  path: '/api/chat',
  body: { model: 'm', messages: [{ role: 'user', content: text }], ...more },
});
type Body = Record<string, unknown> & {
  message: { content: string };
  data: { embedding: number[] }[];
  choices: { index: number; text: string }[];
};
const answerOf = (body: string) => JSON.parse(body) as Body;

describe.each(kinds)('a server of the kind %s', (kind) => {
  it('is announced with its models and as many slots as were declared, once it has answered a canary', async () => {
    await join({ kind });
    expect(upstream.seen).toHaveLength(1);
    expect(joined.announcement()).toMatchObject({
      slots: 2,
      state: 'ready',
      models: [{ name: 'm:latest', loaded: true }],
    });
    expect(joined.beat()).toMatchObject({ capacity: 2, serves: ['m:latest'], running: [] });
  });

  it('answers in both dialects, whole and streamed, under the name that the client used, with the settlement behind', async () => {
    await join({ kind });
    const whole = await joined.call({ body: chat('one two three', { model: 'alias' }) });
    expect([whole.status, answerOf(whole.body)]).toMatchObject([
      200,
      {
        object: 'chat.completion',
        model: 'alias',
        choices: [{ message: { content: 'one two three' }, finish_reason: 'stop' }],
      },
    ]);
    expect(whole.settlement).toMatchObject({ finish: 'stop', promptTokens: 5, outputTokens: 3 });

    const streamed = await joined.call({ body: chat('one two three', { stream: true }) });
    const deltas = [...streamed.body.matchAll(/"content":"([^"]*)"/g)].map(([, text]) => text).join('');
    expect([deltas, streamed.body.endsWith('data: [DONE]\n\n'), streamed.body.includes('usage')]).toEqual([
      'one two three',
      true,
      false,
    ]);
    expect(streamed.settlement).toMatchObject({ promptTokens: 5, outputTokens: 3 });

    const asLines = await joined.call(ollamaChat('one two three'));
    const lines = asLines.body
      .trim()
      .split('\n')
      .map((line) => answerOf(line));
    const text = lines.map(({ message }) => message.content).join('');
    expect([text, lines.at(-1)]).toMatchObject(['one two three', { model: 'm', done: true, eval_count: 3 }]);
    const asOne = await joined.call(ollamaChat('one two three', { stream: false }));
    expect(answerOf(asOne.body)).toMatchObject({
      message: { content: 'one two three' },
      done: true,
      done_reason: 'stop',
    });
    expect(asOne.settlement).toMatchObject({ promptTokens: 5, outputTokens: 3 });
    const models = new Set(upstream.seen.map(({ body }) => body['model']));
    expect([...models]).toEqual(['m']);
  });

  it('gives several answers one after another, as one reply', async () => {
    await join({ kind });
    const n = await joined.call({ body: chat('one two', { n: 2, seed: 7 }) });
    expect(answerOf(n.body)).toMatchObject({
      choices: [
        { index: 0, message: { content: 'one two' } },
        { index: 1, message: { content: 'one two' } },
      ],
      usage: { prompt_tokens: 5, completion_tokens: 4 },
    });
    expect(upstream.seen.slice(-2).map(({ body }) => [body['seed'], body['n']])).toEqual([
      [7, undefined],
      [8, undefined],
    ]);
    const body = { model: 'm', prompt: ['a b', 'c'], stream: true, stream_options: { include_usage: true } };
    const prompts = await joined.call({ path: '/v1/completions', body });
    const chunks = prompts.body.split('\n\n').filter((line) => line.startsWith('data: {'));
    const read = chunks.map((chunk) => answerOf(chunk.slice('data: '.length)));
    expect(read.flatMap(({ choices }) => choices.map(({ index, text }) => [index, text]))).toEqual([
      [0, 'a'],
      [0, ' b'],
      [0, ''],
      [1, 'c'],
      [1, ''],
    ]);
    expect(new Set(read.map(({ id }) => id)).size).toBe(1);
    expect(read.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 10, completion_tokens: 3 } });
    expect(upstream.mostAtOnce()).toBe(1);
  });

  it('never gets more requests than the slots, and those that come are told so', async () => {
    await join({ kind, behaviour: { tokenMs: 20 } });
    const answers = await Promise.all(Array.from({ length: 5 }, () => joined.call({ body: chat('a b c d e f g h') })));
    expect(answers.map(({ status }) => String(status)).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      '200',
      '200',
      '409',
      '409',
      '409',
    ]);
    expect(upstream.mostAtOnce()).toBe(2);
  });

  it('embeds, whatever form the client wants', async () => {
    await join({ kind, models: [{ id: 'bge-m', loaded: true, capabilities: ['embedding'] }] });
    const model = 'bge-m:latest';
    expect(joined.announcement().models[0]?.capabilities).toEqual(['embedding']);
    const floats = await joined.call({ path: '/v1/embeddings', model, body: { model: 'bge-m', input: ['ab', 'cd'] } });
    const [first] = answerOf(floats.body).data;
    expect(Math.hypot(...(first?.embedding ?? []))).toBeCloseTo(1);
    const body = { model: 'bge-m', input: 'ab', encoding_format: 'base64' };
    expect((await joined.call({ path: '/v1/embeddings', model, body })).body).toMatch(/"embedding":"[\w+/]{16}"/);
    const ollama = await joined.call({ path: '/api/embed', model, body: { model: 'bge-m', input: 'ab' } });
    expect(answerOf(ollama.body)).toMatchObject({
      embeddings: [[expect.any(Number), expect.any(Number), expect.any(Number)]],
    });
  });
});

it('a server is left at once by a client that goes, and gives the slot back when it has noticed', async () => {
  await join({ kind: 'vllm', behaviour: { tokenMs: 20 } });
  const running = joined.begin({ body: chat('word '.repeat(500), { stream: true }) });
  await running.until('word');
  running.abort();
  await until(() => upstream.seen.at(-1)?.left === true);
  expect(joined.leaves).toEqual([]);
  await until(() => joined.leaves.length === 1);
  expect(upstream.running()).toBe(0);
});

describe('a server that does wrong', () => {
  const stream = { body: chat('one two three four', { stream: true }) };
  it.each<[string, UpstreamOptions['behaviour'], string]>([
    ['dies in mid-stream', { diesAfter: 2 }, 'broke off'],
    ['ends in mid-stream as if that were all', { stopsAfter: 2 }, 'broke off'],
    ['tells of an error in mid-stream', { failsAfter: 2 }, 'the runner has died'],
  ])('%s: the answer is cut with an error, never ended', async (_, behaviour, why) => {
    await join({ kind: 'vllm' });
    upstream.behave(behaviour ?? {});
    const answer = await joined.call(stream);
    expect([answer.settlement, answer.refusal?.outcome]).toEqual([null, 'worker_failed']);
    expect(answer.refusal?.message).toContain(why);
  });

  it('dies before its first token: a true error, which the gateway may try elsewhere', async () => {
    await join({ kind: 'vllm' });
    upstream.behave({ diesAfter: 0 });
    const answer = await joined.call(stream);
    expect([answer.status, answer.body]).toEqual([502, expect.stringContaining('broke off')]);
  });

  it.each([
    [400, '{"error":{"message":"this does not fit"}}', 400, 'this does not fit'],
    [400, '{"object":"error","message":"maximum context length is 5 tokens"}', 400, 'context_length_exceeded'],
    [500, '{"detail":"out of order"}', 502, 'out of order'],
    [503, '{"error":{"message":"Loading model"}}', 409, 'busy'],
    [429, '', 409, 'busy'],
    [401, '{"error":"a key"}', 409, 'busy'],
  ])('says %i %s: the client hears %i', async (status, body, heard, words) => {
    await join({ kind: 'llama-server' });
    upstream.behave({ refuses: { status, body } });
    const answer = await joined.call({ body: chat('x') });
    expect([answer.status, answer.body]).toEqual([heard, expect.stringContaining(words)]);
  });

  it('has other models than before: those are announced', async () => {
    await join({ kind: 'vllm', models: ['a'] });
    upstream.models.delete('a');
    upstream.models.set('b', { id: 'b', loaded: true, capabilities: ['completion'] });
    await until(() => joined.beat()?.serves.includes('b:latest') === true);
    expect(joined.announcement().models.map(({ name }) => name)).toEqual(['b:latest']);
    expect((await joined.call({ model: 'a:latest' })).status).toBe(404);
  });

  it('vanishes: nothing was started, it is out of rotation, and back in it when it is back', async () => {
    await join({ kind: 'ollama' });
    await upstream.vanish();
    expect((await joined.call()).status).toBe(409);
    await until(() => joined.announcement().state === 'stalled');
    expect(joined.beat()).toMatchObject({ capacity: 0, serves: [] });
    await upstream.comeBack();
    await until(isReady);
    expect((await joined.call()).status).toBe(200);
  });

  it('is another kind of server when it is back', async () => {
    await join({ kind: 'ollama' });
    await upstream.vanish();
    await until(() => joined.announcement().state === 'stalled');
    upstream = await startUpstream({ kind: 'vllm', models: ['n'], at: Number(new URL(upstream.url).port) });
    await until(() => isReady() && joined.beat()?.serves.includes('n:latest') === true);
    expect((await joined.call({ model: 'n:latest', body: chat('x', { model: 'n' }) })).status).toBe(200);
  });

  it('hangs: the silence is bounded, and a canary that fails keeps it out of rotation', async () => {
    await join({ kind: 'vllm' }, { silenceMs: 300 });
    upstream.behave({ hangs: true });
    const answer = await joined.call();
    expect([answer.status, answer.body]).toEqual([502, expect.stringContaining('silent')]);
  });

  it.each<[string, UpstreamOptions]>([
    ['is a web page', { kind: 'vllm', behaviour: { isPage: true } }],
    ['wants a key', { kind: 'openai', behaviour: { key: 'sk-1' } }],
    ['has no models', { kind: 'ollama', models: [] }],
    ['refuses the canary', { kind: 'llama-server', behaviour: { refuses: { status: 503, body: 'Loading model' } } }],
  ])('%s: it says so, stays out of rotation, and joins when that has changed', async (_, options) => {
    const told: string[] = [];
    const write = (line: string) => void told.push(line);
    await join(options, { log: createLog({ source: 'w', level: 'warn', format: 'json', clock: systemClock, write }) });
    expect(joined.beat()).toMatchObject({ capacity: 0, serves: [] });
    expect(told.join('')).toMatch(/web page|UPSTREAM_KEY|no models|Loading model/);
    upstream.behave({ isPage: false, key: null, refuses: null });
    upstream.models.set('m', { id: 'm', loaded: true, capabilities: ['completion'] });
    await until(isReady);
  });

  it('has the key that it wants', async () => {
    await join({ kind: 'openai', behaviour: { key: 'sk-1' } }, { key: 'sk-1' });
    expect(isReady()).toBe(true);
  });
});

describe('an Ollama', () => {
  const two = [
    { id: 'a', loaded: true, capabilities: ['completion'] },
    { id: 'b', loaded: false, capabilities: ['completion', 'vision'] },
  ];

  it('serves what it has loaded, and loads by order, the victim first unloaded', async () => {
    await join({ kind: 'ollama', models: two });
    expect(joined.beat()?.serves).toEqual(['a:latest']);
    joined.orders.set('j1', { model: 'b:latest', victim: 'a:latest' });
    await until(() => joined.beat()?.serves.includes('b:latest') === true);
    expect(joined.beat()?.serves).toEqual(['b:latest']);
    const loads = upstream.seen
      .filter(({ body }) => body['prompt'] === undefined)
      .map(({ body }) => [body['model'], body['keep_alive']]);
    expect(loads).toEqual([
      ['a', 0],
      ['b', undefined],
    ]);
  });

  it('that cannot load a model says why', async () => {
    await join({ kind: 'ollama', models: two, behaviour: { loads: 'never' } });
    joined.orders.set('j1', { model: 'b:latest', victim: '' });
    await until(() => joined.announcement().models.some(({ failed }) => failed !== null));
    expect(joined.announcement().models[1]?.failed?.reason).toContain('terminated');
    joined.orders.clear();
  });

  it('gets keep-alive and the empty prompt as they are, and no option that would load a model anew', async () => {
    await join({ kind: 'ollama' });
    const unloaded = await joined.call({ path: '/api/generate', body: { model: 'm', keep_alive: 0 } });
    expect([answerOf(unloaded.body), unloaded.settlement?.finish]).toMatchObject([{ done_reason: 'unload' }, 'unload']);
    await until(() => joined.beat()?.serves.length === 0);
    const options = { num_ctx: 99_999, temperature: 0.5, num_predict: 2 };
    const answer = await joined.call(ollamaChat('one two three', { options, keep_alive: '1h', stream: false }));
    expect(answerOf(answer.body)).toMatchObject({ message: { content: 'one two' } });
    expect(upstream.seen.at(-1)?.body).toMatchObject({
      keep_alive: '1h',
      options: { temperature: 0.5, num_predict: 2 },
    });
    expect(upstream.seen.at(-1)?.body['options']).not.toHaveProperty('num_ctx');
  });

  it('sees what a model of it can see', async () => {
    await join({ kind: 'ollama', models: two });
    const seen = { model: 'b', messages: [{ role: 'user', content: 'what?', images: ['iVBORw0'] }] };
    expect((await joined.call({ path: '/api/chat', model: 'b:latest', body: seen })).status).toBe(200);
    expect(upstream.seen.at(-1)?.body).toMatchObject({ messages: [{ images: ['iVBORw0'] }] });
    const blind = await joined.call({ path: '/api/chat', model: 'a:latest', body: { ...seen, model: 'a' } });
    expect([blind.status, blind.body]).toEqual([400, expect.stringContaining("'a' cannot see")]);
  });
});

describe("a request in Ollama's dialect, for a server that does not speak it", () => {
  it('keeps what it means', async () => {
    await join({ kind: 'vllm' });
    const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }];
    const options = { temperature: 0.5, top_k: 3, repeat_penalty: 1.1, num_predict: 9, stop: ['END'] };
    const answer = await joined.call(
      ollamaChat('<think>hm <call>here', { tools, options, format: 'json', think: true }),
    );
    const lines = answer.body
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { message: Record<string, unknown> });
    expect(lines.map(({ message }) => message)).toMatchObject([
      { thinking: 'hm' },
      { tool_calls: [{ function: { name: 'look', arguments: { place: 'here' } } }] },
      { content: '' },
    ]);
    expect(upstream.seen.at(-1)).toMatchObject({
      path: '/v1/chat/completions',
      body: {
        temperature: 0.5,
        top_k: 3,
        repetition_penalty: 1.1,
        max_tokens: 9,
        stop: ['END'],
        response_format: { type: 'json_object' },
        chat_template_kwargs: { enable_thinking: true },
        cache_salt: expect.stringMatching(/^[0-9a-f]{32}$/),
        tools: [{ function: { name: 'look' } }],
      },
    });
  });

  it('takes images along', async () => {
    await join({ kind: 'vllm' });
    const body = { model: 'm', messages: [{ role: 'user', content: 'what?', images: ['iVBORw0'] }], stream: false };
    expect((await joined.call({ path: '/api/chat', body })).status).toBe(200);
    expect(JSON.stringify(upstream.seen.at(-1)?.body)).toContain('data:image/png;base64,iVBORw0');
  });

  it.each([
    ['insert', { path: '/api/generate', body: { model: 'm', prompt: 'a', suffix: 'b' } }],
    ['context', { path: '/api/generate', body: { model: 'm', prompt: 'a', context: [1] } }],
    ['logprobs', ollamaChat('a', { logprobs: true })],
    ['options.top_k', ollamaChat('a', { options: { top_k: 3 } })],
    ['keep_alive', { path: '/api/generate', body: { model: 'm', keep_alive: 0 } }],
  ])('is refused by name where it has no equal: %s', async (field, call) => {
    await join({ kind: 'openai' });
    const answer = await joined.call(call);
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining(field)]);
  });
});

describe("a request in OpenAI's dialect", () => {
  const tools = [{ type: 'function', function: { name: 'f' } }];
  it.each<[UpstreamKind, string, Record<string, unknown>, string]>([
    ['vllm', '/v1/chat/completions', { grammar: 'root ::= "x"' }, 'grammar'],
    ['ollama', '/v1/chat/completions', { tools, tool_choice: 'required' }, 'tool_choice'],
    ['ollama', '/v1/chat/completions', { logit_bias: { 5: 1 } }, 'logit_bias'],
    ['ollama', '/v1/completions', { prompt: 'x', echo: true }, 'echo'],
  ])('is refused by name where a server (%s) would take no notice', async (kind, path, more, field) => {
    await join({ kind });
    const answer = await joined.call({ path, body: chat('x', more) });
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining(`${field} is not supported`)]);
  });

  it('is said in the words of the server', async () => {
    await join({ kind: 'vllm' });
    const schema = { type: 'object' };
    await joined.call({ body: chat('x', { json_schema: schema, repeat_penalty: 1.1, max_tokens: -1, min_p: 0.1 }) });
    const { body } = upstream.seen.at(-1) ?? {};
    expect(body).toMatchObject({
      response_format: { type: 'json_schema', json_schema: { schema } },
      repetition_penalty: 1.1,
      min_p: 0.1,
    });
    expect(body).not.toHaveProperty('max_tokens');
  });

  it('gets at most as many tokens as the key may have', async () => {
    await join({ kind: 'openai' });
    await joined.call({ body: chat('a b c d', { max_completion_tokens: 9 }), outputMax: 2 });
    expect(upstream.seen.at(-1)?.body).toMatchObject({ max_completion_tokens: 2 });
    await joined.call({ body: chat('a b c d'), outputMax: 3 });
    expect(upstream.seen.at(-1)?.body).toMatchObject({ max_tokens: 3 });
  });
});

describe('tokens', () => {
  it.each<[UpstreamKind, number]>([
    ['llama-server', 200],
    ['vllm', 200],
    ['ollama', 400],
  ])('of %s', async (kind, status) => {
    await join({ kind });
    const answer = await joined.call({ path: '/tokenize', body: { model: 'm', content: 'a b c' } });
    expect(answer.status).toBe(status);
    if (status === 200) expect(answerOf(answer.body)).toEqual({ tokens: [0, 1, 2] });
  });
});

describe('a llama-server with fewer slots than were declared', () => {
  it('gets no more than it can run at once', async () => {
    await join({ kind: 'llama-server', slots: 1, behaviour: { tokenMs: 10 } });
    expect(joined.announcement().slots).toBe(1);
    const answers = await Promise.all([joined.call({ body: chat('a b c d') }), joined.call({ body: chat('a b c d') })]);
    expect(answers.map(({ status }) => String(status)).toSorted((a, b) => (a < b ? -1 : 1))).toEqual(['200', '409']);
    expect(upstream.mostAtOnce()).toBe(1);
  });
});
