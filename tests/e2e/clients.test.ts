// The clients of OpenAI and Ollama, as people install them, against `npm start`.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { echoModels, startLocal } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { installClients, ollamaClient, openaiPackage, openaiVersions } from './clients.ts';
import type { OllamaClient, OllamaPart, OpenaiClient } from './clients.ts';
import { tapped } from './tap.ts';
import type { Tapped } from './tap.ts';
import { openValidity } from './validity.ts';
import { eventually } from './eventually.ts';
import { heldSlots } from './pool.ts';

const model = 'berth-demo';
const messages = [{ role: 'user', content: 'What is a slot?' }];
const greedy = { messages, model, temperature: 0 };
/** For the echo engine: an answer of minutes, and the death of the engine in mid-stream. */
const endless = [{ role: 'user', content: '[[tokenDelayMs=20 repeat=9999]] word ' }];
const dying = [{ role: 'user', content: '[[dieAfterTokens=2]] one two three four' }];

let demo: Berth;
/** One slot, no queue: what is refused, and what is cut. */
let narrow: Berth;
let models: Folder;
/** Everything that they answered. */
const answers: Tapped[] = [];

beforeAll(async () => {
  await installClients();
  models = await echoModels('m', ...openaiVersions, 'ollama');
  const env = { ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: '1', MAX_QUEUE: '0' };
  const started = await Promise.all([startLocal(), startLocal({ env })]);
  demo = await tapped(started[0], answers);
  narrow = await tapped(started[1], answers);
}, 180_000);
afterAll(async () => {
  await Promise.all([demo.stop(), narrow.stop()]);
  await models[Symbol.asyncDispose]();
});

const slotIsFree = () => eventually('the slot is free', async () => (await heldSlots(narrow)) === 0);

/** What the clients' users look at. */
interface Thrown extends Error {
  status?: unknown;
  code?: unknown;
  requestID?: unknown;
}

async function thrown(promise: Promise<unknown>): Promise<Thrown> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing was thrown');
}

async function all<T>(parts: AsyncIterable<T>): Promise<T[]> {
  const got: T[] = [];
  for await (const part of parts) got.push(part);
  return got;
}

describe.each(openaiVersions)('the package %s', (name) => {
  const { OpenAI, ...errors } = lazily(() => openaiPackage(name));
  const client = (berth: Berth, more = {}): OpenaiClient =>
    new (OpenAI())({ baseURL: `${berth.url}/v1`, apiKey: 'none', maxRetries: 0, ...more });

  test('lists the models and retrieves one', async () => {
    const { data } = await client(demo).models.list();
    expect(data.map(({ id }) => id)).toEqual([`${model}:latest`]);
    expect(await client(demo).models.retrieve(model)).toMatchObject({ id: model, object: 'model' });
  });

  test('chats, whole and as a stream with usage, and gets the same', async () => {
    const completion = await client(demo).chat.completions.create(greedy);
    const [choice] = completion.choices;
    expect(completion.model).toBe(model);
    expect(choice).toMatchObject({ finish_reason: 'stop', message: { role: 'assistant' } });
    expect(choice?.message.content).not.toBe('');
    const { prompt_tokens: prompt = 0, completion_tokens: output = 0, total_tokens: total } = completion.usage ?? {};
    expect([prompt > 0, output > 0, total]).toEqual([true, true, prompt + output]);

    const body = { ...greedy, stream: true as const, stream_options: { include_usage: true } };
    const chunks = await all(await client(demo).chat.completions.create(body));
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(choice?.message.content);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: output } });
  });

  test('stops a stream by its signal, which frees the slot', async () => {
    const controller = new AbortController();
    const body = { model: 'm', messages: endless, stream: true as const };
    const stream = await client(narrow).chat.completions.create(body, { signal: controller.signal });
    let seen = 0;
    for await (const _ of stream) if ((seen += 1) === 3) controller.abort();
    expect(seen).toBeGreaterThanOrEqual(3);
    await slotIsFree();
  });

  test('stops by leaving the loop, which frees the slot too', async () => {
    const stream = await client(narrow).chat.completions.create({ model: 'm', messages: endless, stream: true });
    for await (const _ of stream) break;
    await slotIsFree();
  });

  test('throws its own classes of errors, with what their readers look at', async () => {
    const { completions } = client(demo).chat;
    const unknown = await thrown(completions.create({ model: 'nobody', messages }));
    expect(unknown).toBeInstanceOf(errors.NotFoundError());
    expect(unknown).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
    expect(unknown.message).toContain("model 'nobody' not found");
    expect(unknown.requestID).toMatch(/^\w+$/);

    const wrong = await thrown(completions.create({ ...greedy, temperature: 99 }));
    expect(wrong).toBeInstanceOf(errors.BadRequestError());
    expect(wrong).toMatchObject({ status: 400, type: 'invalid_request_error', param: 'temperature' });

    const json_schema = { name: 'x', schema: { type: 'string', pattern: '^(a|b)*$' } };
    const format = await thrown(
      completions.create({ ...greedy, response_format: { type: 'json_schema', json_schema } }),
    );
    expect(format).toBeInstanceOf(errors.BadRequestError());
    expect(format).toMatchObject({ status: 400, param: 'response_format' });
    expect(format.message).toContain('pattern');

    const endlessly = [{ role: 'user', content: 'slot '.repeat(20_000) }];
    const long = await thrown(completions.create({ model, messages: endlessly }));
    expect(long).toBeInstanceOf(errors.BadRequestError());
    expect(long).toMatchObject({ status: 400, code: 'context_length_exceeded' });

    const missing = await thrown(client(demo).models.retrieve('nobody'));
    expect(missing).toBeInstanceOf(errors.NotFoundError());
  });

  test('is refused with RateLimitError when the queue is full, and by its own retries gets through', async () => {
    const stream = await client(narrow).chat.completions.create({ model: 'm', messages: endless, stream: true });
    const hello = { model: 'm', messages: [{ role: 'user', content: 'hello' }] };
    const refused = await thrown(client(narrow).chat.completions.create(hello));
    expect(refused).toBeInstanceOf(errors.RateLimitError());
    expect(refused).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });

    const patient = client(narrow, { maxRetries: 5 }).chat.completions.create(hello);
    for await (const _ of stream) break;
    expect((await patient).choices[0]?.message.content).toBe('hello');
  });

  test('throws when an answer breaks off, and does not take it for a whole one', async () => {
    const stream = await client(narrow).chat.completions.create({ model: name, messages: dying, stream: true });
    const texts: string[] = [];
    const read = async () => {
      for await (const { choices } of stream) texts.push(choices[0]?.delta.content ?? '');
    };
    const cut = await thrown(read());
    expect(cut).toBeInstanceOf(errors.APIError());
    expect(cut.message).toContain('the answer was cut');
    expect(texts.join('')).toBe('one two ');
    await slotIsFree();
  });
});

/** The package is there only when the tests run, not when they are gathered. */
function lazily(loadPackage: () => ReturnType<typeof openaiPackage>) {
  return {
    OpenAI: () => loadPackage().OpenAI,
    APIError: () => loadPackage().APIError,
    BadRequestError: () => loadPackage().BadRequestError,
    NotFoundError: () => loadPackage().NotFoundError,
    RateLimitError: () => loadPackage().RateLimitError,
  };
}

describe('the package ollama', () => {
  let client: OllamaClient;

  beforeAll(() => {
    client = ollamaClient(demo.url);
  });

  test('lists the models, shows one, tells which are loaded, and its version', async () => {
    const listed = (await client.list()).models;
    expect(listed).toHaveLength(1);
    expect(listed[0]).toMatchObject({ name: `${model}:latest`, details: { format: 'gguf', family: 'llama' } });
    expect(listed[0]?.digest).toMatch(/^[0-9a-f]{64}$/);
    const shown = await client.show({ model });
    expect(shown.capabilities).toContain('completion');
    expect(shown.details).toEqual(listed[0]?.details);
    expect(shown).toMatchObject({ template: expect.stringContaining('<tool_call>'), license: 'mit' });
    expect(shown.parameters).toMatch(/^num_ctx +\d+$/m);
    expect(shown.model_info).toMatchObject({
      'general.architecture': 'llama',
      'llama.context_length': expect.any(Number),
      'llama.embedding_length': expect.any(Number),
      'general.parameter_count': expect.any(Number),
      'tokenizer.ggml.tokens': null,
    });
    const { model_info: whole } = await client.show({ model, verbose: true });
    expect(whole['tokenizer.ggml.tokens']).toContain('<|im_end|>');
    expect((await client.version()).version).toMatch(/^\d+\.\d+\.\d+$/);

    await client.generate({ model, prompt: 'hello', options: { num_predict: 1 } });
    let loaded = (await client.ps()).models;
    // The gateways hear of a load within a second.
    await eventually('it is loaded', async () => ({ models: loaded } = await client.ps()).models.length > 0);
    expect(loaded.map(({ name }) => name)).toEqual([`${model}:latest`]);
    expect(new Date(loaded[0]?.expires_at ?? 0).getTime()).toBeGreaterThan(Date.now());
  });

  const options = { temperature: 0 };

  test('chats, whole and as a stream, and gets the same', async () => {
    const whole = await client.chat({ model, messages, options });
    expect(whole).toMatchObject({ model, done: true, done_reason: 'stop', message: { role: 'assistant' } });
    expect(whole.message.content).not.toBe('');
    const parts = await all(await client.chat({ model, messages, options, stream: true }));
    expect(parts.map(({ message }) => message.content).join('')).toBe(whole.message.content);
    expect(parts.at(-1)).toMatchObject({ done: true, eval_count: whole.eval_count });
    expect(parts.at(-1)?.prompt_eval_count).toBe(whole.prompt_eval_count);
  });

  test('generates, whole and as a stream, and gets the same', async () => {
    const prompt = 'What is a slot?';
    const whole = await client.generate({ model, prompt, options });
    const parts = await all(await client.generate({ model, prompt, options, stream: true }));
    expect(whole.response).not.toBe('');
    expect(parts.map(({ response }) => response).join('')).toBe(whole.response);
  });

  test('loads a model by an empty prompt', async () => {
    expect(await client.generate({ model, prompt: '' })).toMatchObject({
      done: true,
      done_reason: 'load',
      response: '',
    });
  });

  test('aborts a stream, which frees the slot', async () => {
    const stream = await ollamaClient(narrow.url).chat({ model: 'm', messages: endless, stream: true });
    const parts: OllamaPart[] = [];
    const read = async () => {
      for await (const part of stream) if (parts.push(part) === 3) stream.abort();
    };
    expect(await thrown(read())).toMatchObject({ name: 'AbortError' });
    await slotIsFree();
  });

  test('throws for an unknown model, a wrong option and a full queue, in words of the server', async () => {
    const unknown = await thrown(client.chat({ model: 'nobody', messages }));
    expect(unknown).toMatchObject({ name: 'ResponseError', status_code: 404, message: "model 'nobody' not found" });
    const wrong = await thrown(client.chat({ model, messages, options: { temperature: 'hot' } }));
    expect(wrong).toMatchObject({ name: 'ResponseError', status_code: 400 });
    expect(wrong.message).toContain('temperature');
    const format = { type: 'string', pattern: '^(a|b)*$' };
    expect(await thrown(client.chat({ model, messages, format }))).toMatchObject({ status_code: 400 });

    const stream = await ollamaClient(narrow.url).chat({ model: 'm', messages: endless, stream: true });
    const refused = await thrown(ollamaClient(narrow.url).chat({ model: 'm', messages }));
    expect(refused).toMatchObject({ name: 'ResponseError', status_code: 503 });
    expect(refused.message).toContain('server busy, please try again');
    stream.abort();
    await slotIsFree();
  });

  test('throws when an answer breaks off, and does not take it for a whole one', async () => {
    const stream = await ollamaClient(narrow.url).chat({ model: 'ollama', messages: dying, stream: true });
    const texts: string[] = [];
    const read = async () => {
      for await (const { message } of stream) texts.push(message.content);
    };
    const cut = await thrown(read());
    expect(cut.message).toContain('the answer was cut');
    expect(texts.join('')).toBe('one two ');
  });
});

test('who waits is told where it stands, and every client passes over that to its answer', async () => {
  const env = { ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: '1' };
  const queue = await tapped(await startLocal({ env }), answers);
  try {
    const hello = [{ role: 'user', content: 'hello' }];
    const first = ollamaClient(queue.url).generate({ model: 'm', prompt: '[[prefillDelayMs=6000]] first' });
    await eventually('the slot is taken', async () => (await heldSlots(queue)) === 1);
    const seen = answers.length;
    const clients = openaiVersions.map((name) => {
      const { OpenAI } = openaiPackage(name);
      return new OpenAI({ baseURL: `${queue.url}/v1`, apiKey: 'none', maxRetries: 0 });
    });
    const completions = clients.map(async (client) =>
      all(await client.chat.completions.create({ model: 'm', messages: hello, stream: true })),
    );
    const parts = await all(await ollamaClient(queue.url).chat({ model: 'm', messages: hello, stream: true }));
    for (const chunks of await Promise.all(completions)) {
      expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe('hello');
    }
    expect(parts.map(({ message }) => message.content).join('')).toBe('hello');
    expect(parts[0]).toMatchObject({ done: false, queue: { place: expect.any(Number) } });
    await first;
    const told = answers.slice(seen).filter(({ text }) => /^: waiting, place \d/.test(text));
    expect(told.length).toBe(openaiVersions.length);
  } finally {
    await queue.stop();
  }
});

test('every answer to all this was valid by the published descriptions, stream events included', (context) => {
  const faultsOf = openValidity();
  if (faultsOf === null) {
    // The descriptions are others' and no part of this project: without them there is nothing to compare with.
    context.skip();
    return;
  }
  expect(answers.length).toBeGreaterThan(40);
  expect(answers.flatMap(faultsOf)).toEqual([]);
  // And what is wrong is found: in a body, and in one event of a stream.
  const broken = answers.filter(
    ({ path, status, whole }) => path.endsWith('/chat/completions') && status === 200 && whole,
  );
  for (const answer of broken) {
    const text = answer.text.replace('"created":', '"create":');
    expect(faultsOf({ ...answer, text }).join('\n')).toContain("must have required property 'created'");
  }
  expect(broken.length).toBeGreaterThan(0);
});
