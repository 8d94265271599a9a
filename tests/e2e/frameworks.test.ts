// The frameworks around the clients: AI SDK with its providers and LangChain, and the README's own lines.
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { adderModel, adderAnswer, adderCalls, filledIn } from '../models/adder.ts';
import { writeGguf } from '../models/gguf.ts';
import { adder, agents } from './agents.ts';
import { aFolder, demoPath, echoModels, root, startGateway, startLocal, startWorker } from './berth.ts';
import type { Berth, Folder } from './berth.ts';
import { clientsFolder, installClients, ollamaClient, openaiPackage, openaiVersions } from './clients.ts';
import { eventually } from './eventually.ts';
import { aiSdk, langchain, yesOrNo } from './frameworks.ts';
import type { Ai, Chat, LanguageModel } from './frameworks.ts';
import { heldSlots } from './pool.ts';
import { tapped } from './tap.ts';
import type { Tapped } from './tap.ts';
import { openValidity } from './validity.ts';

const model = 'berth-demo';
const prompt = 'What is a slot?';
/** For the echo engine: an answer of minutes. */
const endless = '[[tokenDelayMs=20 repeat=9999]] word ';

/** With the demo model, and one that calls tools. */
let demo: Berth;
/** One slot, no queue. */
let narrow: Berth;
let real: Folder;
let models: Folder;
const answers: Tapped[] = [];

beforeAll(async () => {
  await installClients();
  models = await echoModels('m');
  real = await aFolder();
  await copyFile(demoPath, join(real.path, `${model}.gguf`));
  writeGguf(join(real.path, `${adder}.gguf`), adderModel());
  const env = { ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: '1', MAX_QUEUE: '0' };
  const started = await Promise.all([startLocal({ env: { MODELS_DIR: real.path } }), startLocal({ env })]);
  demo = await tapped(started[0], answers);
  narrow = await tapped(started[1], answers);
}, 180_000);
afterAll(async () => {
  await Promise.all([demo.stop(), narrow.stop()]);
  await Promise.all([models, real].map((folder) => folder[Symbol.asyncDispose]()));
});

const slotIsFree = () => eventually('the slot is free', async () => (await heldSlots(narrow)) === 0);

async function joined(parts: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const part of parts) text += part;
  return text;
}

/** Holds the only slot until it is let go. */
async function holdSlot(): Promise<{ release(): Promise<void> }> {
  const controller = new AbortController();
  const body = JSON.stringify({ model: 'm', stream: true, messages: [{ role: 'user', content: endless }] });
  const url = `${narrow.url}/v1/chat/completions`;
  const reply = await fetch(url, { method: 'POST', body, signal: controller.signal });
  expect(reply.status).toBe(200);
  return {
    async release() {
      controller.abort();
      await slotIsFree();
    },
  };
}

describe("the README's lines", async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/```js\n(import .*?)```/gs)].map(([, code = '']) => code);
  const named = blocks.map((code) => [/from '([^']+)'/.exec(code)?.[1] ?? 'nothing', code] as const);

  test('are there for each client', () => {
    expect(named.map(([name]) => name)).toEqual([
      'openai',
      'ollama',
      '@ai-sdk/openai-compatible',
      'ollama-ai-provider-v2',
      '@langchain/openai',
      '@langchain/ollama',
    ]);
  });

  test.each(named)('of %s get an answer', async (name, code) => {
    // Beside the packages, so that the lines find them; nothing but the address is changed.
    const folder = join(clientsFolder, 'node_modules/.readme');
    await mkdir(folder, { recursive: true });
    const file = join(folder, `${name.replaceAll(/\W/g, '-')}.mjs`);
    const result = /const \{ (\w+) \} = await [^\n]*\n$/.exec(code)?.[1];
    const here = code.replaceAll('http://127.0.0.1:8080', demo.url);
    await writeFile(file, `${here}\nexport default ${result};\n`);
    const { default: shown }: { default: unknown } = await import(file);
    expect(JSON.stringify(shown)).toMatch(/[a-z]{3}/);
  });
});

describe.each(['openai-compatible', 'openai', 'ollama'] as const)('the AI SDK with its provider %s', (provider) => {
  let ai: Ai;
  const on = (berth: Berth, name: string): LanguageModel => ai.model(provider, berth.url, name);
  beforeAll(async () => {
    ai = await aiSdk();
  });

  test('generates and streams the same text, and counts tokens', async () => {
    const asked = { model: on(demo, model), prompt, temperature: 0 };
    const whole = await ai.generateText(asked);
    expect(whole.text).not.toBe('');
    expect(whole.finishReason).toBe('stop');
    expect(whole.usage.inputTokens).toBeGreaterThan(0);
    const stream = ai.streamText(asked);
    expect(await joined(stream.textStream)).toBe(whole.text);
    expect((await stream.usage).outputTokens).toBe(whole.usage.outputTokens);
  });

  test('gets what a schema describes', async () => {
    const { output } = await ai.generateText({ model: on(demo, model), prompt, output: await yesOrNo.output() });
    expect(['yes', 'no']).toContain(output?.answer);
  });

  test('aborts a stream, which frees the slot', async () => {
    const controller = new AbortController();
    const { textStream } = ai.streamText({
      model: on(narrow, 'm'),
      prompt: endless,
      abortSignal: controller.signal,
      onError: () => undefined,
    });
    let seen = 0;
    for await (const _ of textStream) if ((seen += 1) === 3) controller.abort();
    expect(seen).toBeGreaterThanOrEqual(3);
    await slotIsFree();
  });

  test('throws its error with the status, and retries until there is a slot', async () => {
    const unknown = ai.generateText({ model: on(demo, 'nobody'), prompt, maxRetries: 0 });
    await expect(unknown).rejects.toMatchObject({ statusCode: 404 });
    const slot = await holdSlot();
    const full = ai.generateText({ model: on(narrow, 'm'), prompt: 'hello', maxRetries: 0 });
    await expect(full).rejects.toMatchObject({ statusCode: provider === 'ollama' ? 503 : 429, isRetryable: true });
    const patient = ai.generateText({ model: on(narrow, 'm'), prompt: 'hello', maxRetries: 4 });
    patient.catch(() => undefined);
    await slot.release();
    expect((await patient).text).toBe('hello');
  });
});

describe.each(['ChatOpenAI', 'ChatOllama'] as const)("LangChain's %s", (name) => {
  const on = (berth: Berth, options: object): Chat => langchain(name, berth.url, options);

  test('invokes and streams the same text, and counts tokens', async () => {
    const chat = on(demo, { model, temperature: 0 });
    const whole = await chat.invoke(prompt);
    expect(whole.content).not.toBe('');
    expect(whole.usage_metadata?.output_tokens).toBeGreaterThan(0);
    let text = '';
    for await (const { content } of await chat.stream(prompt)) text += content;
    expect(text).toBe(whole.content);
  });

  test('gets what a schema describes', async () => {
    const structured = on(demo, { model }).withStructuredOutput(yesOrNo.schema(), { method: 'jsonSchema' });
    expect(['yes', 'no']).toContain((await structured.invoke(prompt)).answer);
  });

  test('aborts a stream by its signal, which frees the slot', async () => {
    const controller = new AbortController();
    const stream = await on(narrow, { model: 'm', maxRetries: 0 }).stream(endless, { signal: controller.signal });
    const read = async () => {
      let seen = 0;
      for await (const _ of stream) if ((seen += 1) === 3) controller.abort();
    };
    await expect(read()).rejects.toThrow(/abort/i);
    await slotIsFree();
  });

  test('throws for an unknown model', async () => {
    await expect(on(demo, { model: 'nobody', maxRetries: 0 }).invoke(prompt)).rejects.toThrow(
      "model 'nobody' not found",
    );
  });
});

test('ChatOpenAI retries a full queue until there is a slot', async () => {
  const slot = await holdSlot();
  const patient = langchain('ChatOpenAI', narrow.url, { model: 'm', maxRetries: 4 }).invoke('hello');
  patient.catch(() => undefined);
  await slot.release();
  expect((await patient).content).toBe('hello');
});

describe.each(openaiVersions)('the package %s', (name) => {
  const client = (berth: Berth, more = {}) =>
    new (openaiPackage(name).OpenAI)({ baseURL: `${berth.url}/v1`, apiKey: 'none', maxRetries: 0, ...more });

  test('parses what a zod schema describes', async () => {
    const body = {
      model,
      messages: [{ role: 'user', content: prompt }],
      response_format: yesOrNo.responseFormat(name),
    };
    const { choices } = await client(demo).chat.completions.parse(body);
    expect(['yes', 'no']).toContain(choices[0]?.message.parsed?.answer);
  });

  test('helps with a stream', async () => {
    const body = { model, messages: [{ role: 'user', content: prompt }], temperature: 0 };
    const stream = client(demo).chat.completions.stream(body);
    const final = await stream.finalContent();
    expect(final).toBe((await client(demo).chat.completions.create(body)).choices[0]?.message.content);
  });

  test('completes a text, whole and as a stream', async () => {
    const body = { model, prompt: 'A slot', temperature: 0, max_tokens: 8, logprobs: 2 };
    const whole = await client(demo).completions.create(body);
    expect(whole.choices[0]?.text).not.toBe('');
    let text = '';
    for await (const { choices } of await client(demo).completions.create({ ...body, stream: true }))
      text += choices[0]?.text ?? '';
    expect(text).toBe(whole.choices[0]?.text);
  });

  test('gives up after its timeout, which frees the slot', async () => {
    const body = { model: 'm', messages: [{ role: 'user', content: endless }] };
    const late = client(narrow, { timeout: 300 }).chat.completions.create(body);
    await expect(late).rejects.toThrow(/timed out/i);
    await slotIsFree();
  });
});

describe.each(agents)('an agent made of %s', (_, agent) => {
  test.each(['whole', 'streamed'])('calls its tool twice at once and once more, and answers: %s', async (kind) => {
    const { text, calls } = await agent(demo.url, kind === 'streamed');
    expect(calls).toEqual(adderCalls);
    expect(text).toBe(adderAnswer);
  });
});

describe('what stands between two texts', () => {
  const [before, after] = ['def add(a, b):\n    ', '\n\nprint(add(1, 2))'];

  test('is filled in for clients of both kinds', async () => {
    const ollama = ollamaClient(demo.url);
    const asked = { model: adder, prompt: before, suffix: after, options: { temperature: 0 } };
    expect((await ollama.generate(asked)).response).toBe(filledIn);
    expect((await ollama.show({ model: adder })).capabilities).toContain('insert');
    const openai = new (openaiPackage('openai').OpenAI)({ baseURL: `${demo.url}/v1`, apiKey: 'none' });
    const body = { model: adder, prompt: before, suffix: after, temperature: 0 };
    expect((await openai.completions.create(body)).choices[0]?.text).toBe(filledIn);
    expect((await openai.completions.create({ ...body, echo: true })).choices[0]?.text).toBe(before + filledIn);
  });

  test('is refused where a model cannot', async () => {
    const asked = ollamaClient(demo.url).generate({ model, prompt: before, suffix: after });
    await expect(asked).rejects.toMatchObject({ status_code: 400, message: "'berth-demo' does not support insert" });
  });
});

test('Ollama’s older way to go on with a conversation: the context of the last answer', async () => {
  const ollama = ollamaClient(demo.url);
  const first = await ollama.generate({ model, prompt: 'My name is Ann.', options: { temperature: 0 } });
  const next = { model, prompt, context: first.context, options: { temperature: 0 } };
  const whole = await ollama.generate(next);
  expect(whole.context.slice(0, first.context.length)).toEqual(first.context);
  expect(whole.prompt_eval_count).toBeGreaterThan(first.context.length);
  const parts: number[][] = [];
  for await (const part of await ollama.generate({ ...next, stream: true })) parts.push(part.context);
  expect(parts.at(-1)).toEqual(whole.context);
  expect(parts.slice(0, -1).filter(Boolean)).toEqual([]);
});

describe('at a pool that wants keys and has no worker yet', () => {
  const pool = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}` };
  const key = 'the-key-of-this-test';
  const messages = [{ role: 'user', content: 'hello' }];
  let gateway: Berth;
  beforeAll(async () => {
    gateway = await tapped(await startGateway({ ...pool, AUTH: 'on', API_KEY: key }), answers);
  });
  afterAll(() => gateway.stop());

  const openai = (name: (typeof openaiVersions)[number], apiKey: string, maxRetries: number) =>
    new (openaiPackage(name).OpenAI)({ baseURL: `${gateway.url}/v1`, apiKey, maxRetries }).chat.completions;
  const ai = async (apiKey: string, maxRetries: number) => {
    const sdk = await aiSdk();
    return sdk.generateText({ model: sdk.model('openai', gateway.url, 'm', apiKey), prompt: 'hello', maxRetries });
  };
  const chain = (apiKey: string, maxRetries: number) =>
    langchain('ChatOpenAI', gateway.url, { model: 'm', apiKey, maxRetries }).invoke('hello');

  test('each client says that the key is wrong, and asks once', async () => {
    for (const name of openaiVersions) {
      const refused = openai(name, 'wrong', 2).create({ model: 'm', messages });
      await expect(refused).rejects.toBeInstanceOf(openaiPackage(name).AuthenticationError);
    }
    await expect(ai('wrong', 2)).rejects.toMatchObject({ statusCode: 401, isRetryable: false });
    await expect(chain('wrong', 2)).rejects.toMatchObject({ status: 401 });
    const ollama = ollamaClient(gateway.url).chat({ model: 'm', messages });
    await expect(ollama).rejects.toMatchObject({ name: 'ResponseError', status_code: 401 });
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(5);
  });

  test('each client says that it is the server, and those that retry wait as they are told until a worker is there', async () => {
    for (const name of openaiVersions) {
      const refused = openai(name, key, 0).create({ model: 'm', messages });
      await expect(refused).rejects.toBeInstanceOf(openaiPackage(name).InternalServerError);
    }
    await expect(ai(key, 0)).rejects.toMatchObject({ statusCode: 503, isRetryable: true });
    const askedMs = performance.now();
    const patient = [
      ...openaiVersions.map(async (name) => {
        const { choices } = await openai(name, key, 9).create({ model: 'm', messages });
        return choices[0]?.message.content;
      }),
      ai(key, 9).then(({ text }) => text),
      chain(key, 9).then(({ content }) => content),
    ];
    const firstMs = Promise.race(patient.slice(0, 3)).then(() => performance.now() - askedMs);
    await using _worker = await startWorker({ ...pool, ENGINE: 'echo', MODELS_DIR: models.path });
    expect(await Promise.all(patient)).toEqual(['hello', 'hello', 'hello', 'hello']);
    // Retry-After says 2 s; what openai's and AI SDK's clients would wait by themselves is half a second, or none.
    expect(await firstMs).toBeGreaterThan(1_900);
  });
});

test('every answer to all this was valid by the published descriptions, stream events included', (context) => {
  const faultsOf = openValidity();
  if (faultsOf === null) {
    // The descriptions are others' and no part of this project: without them there is nothing to compare with.
    context.skip();
    return;
  }
  expect(answers.length).toBeGreaterThan(30);
  expect(answers.flatMap(faultsOf)).toEqual([]);
});
