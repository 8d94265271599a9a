// Embeddings from client to engine and back: real clients, a real embedding model, a lane that leaves chat alone.
import { randomUUID } from 'node:crypto';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { embeddingModel } from '../models/embedding.ts';
import { writeGguf } from '../models/gguf.ts';
import { demoPath, startGateway, startWorker } from './berth.ts';
import type { Berth } from './berth.ts';
import { installClients, loadClient, ollamaClient, openaiVersions } from './clients.ts';
import { eventually } from './eventually.ts';
import { tapped } from './tap.ts';
import type { Tapped } from './tap.ts';
import { openValidity } from './validity.ts';

interface Embeddings {
  embeddings: {
    create(body: object): Promise<{ data: { embedding: number[] | string }[]; usage: { prompt_tokens: number } }>;
  };
}

const texts = ['the cat sleeps', 'a kitten sleeps', 'the bank account'];
const answers: Tapped[] = [];
let folder: string;
let gateway: Berth;
let direct: Berth;
let worker: Berth;

beforeAll(async () => {
  await installClients();
  folder = await mkdtemp(join(tmpdir(), 'berth-embed-'));
  writeGguf(join(folder, 'embedder.gguf'), embeddingModel());
  await copyFile(demoPath, join(folder, 'talker.gguf'));
  const pool = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}` };
  const narrow = { MODELS_DIR: folder, NUM_PARALLEL: '1', EMBED_PARALLEL: '1', WORKER_ID: 'w1' };
  [direct, worker] = await Promise.all([startGateway(pool), startWorker({ ...pool, ...narrow })]);
  gateway = await tapped(direct, answers);
  await eventually('both lanes are there', async () => (await lanes()).length === 2);
}, 180_000);
afterAll(async () => {
  await Promise.all([gateway.stop(), worker.stop()]);
  await rm(folder, { recursive: true, force: true });
});

interface Lane {
  worker: string;
  held: number;
  capacity: number;
  state: string;
}

const json = async (path: string): Promise<never> => (await fetch(`${direct.url}${path}`)).json() as Promise<never>;
const lanes = async (): Promise<Lane[]> => ((await json('/api/queue')) as { workers: Lane[] }).workers;
const cosine = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, at) => sum + value * b[at]!, 0);

function expectSense([cat, kitten, bank]: number[][]): void {
  for (const vector of [cat!, kitten!, bank!]) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
  expect(cosine(cat!, kitten!)).toBeGreaterThan(0.8);
  expect(Math.abs(cosine(cat!, bank!))).toBeLessThan(0.3);
}

const post = (path: string, body: object, signal?: AbortSignal): Promise<Response> =>
  fetch(`${direct.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
const say = (more: object = {}) => ({
  model: 'talker',
  messages: [{ role: 'user', content: 'What is a slot?' }],
  ...more,
});

describe.each(openaiVersions)('%s', (version) => {
  const client = () => {
    const { OpenAI }: { OpenAI: new (options: object) => Embeddings } = loadClient(version);
    return new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none' }).embeddings;
  };

  test('asks for base64 by itself and decodes sense', async () => {
    const { data, usage } = await client().create({ model: 'embedder', input: texts });
    expectSense(data.map(({ embedding }) => embedding as number[]));
    expect(usage.prompt_tokens).toBe(15);
    expect(answers.at(-1)?.text).toMatch(/"embedding":"[A-Za-z0-9+/]+=*"/);
  });

  test('floats, tokens and dimensions', async () => {
    const floats = await client().create({ model: 'embedder', input: texts[0], encoding_format: 'float' });
    const short = await client().create({ model: 'embedder', input: texts[0], dimensions: 8 });
    expect([floats.data[0]?.embedding.length, short.data[0]?.embedding.length]).toEqual([96, 8]);
    expect((await client().create({ model: 'embedder', input: [[7, 8], [9]] })).data).toHaveLength(2);
  });

  test('is told by its own errors what a model cannot do', async () => {
    const asked = client().create({ model: 'talker', input: 'x' });
    await expect(asked).rejects.toMatchObject({ status: 400, message: expect.stringContaining('does not support') });
  });
});

test('ollama embeds, and so does its older form', async () => {
  interface Embeds {
    embed(body: object): Promise<{ embeddings: number[][]; prompt_eval_count: number; load_duration: number }>;
    embeddings(body: object): Promise<{ embedding: number[] }>;
    show(body: object): Promise<{ capabilities: string[] }>;
  }
  const client = ollamaClient(gateway.url) as unknown as Embeds;
  const { embeddings, prompt_eval_count, load_duration } = await client.embed({ model: 'embedder', input: texts });
  expectSense(embeddings);
  expect([prompt_eval_count, load_duration > 0]).toEqual([15, true]);
  expect((await client.embed({ model: 'embedder', input: '' })).embeddings).toEqual([]);
  const [first] = embeddings;
  const { embedding } = await client.embeddings({ model: 'embedder', prompt: texts[0] });
  embedding.forEach((value, at) => expect(value).toBeCloseTo(first![at]!, 6));
  expect((await client.show({ model: 'embedder' })).capabilities).toEqual(['embedding']);
});

test('everything that was answered is as the published descriptions say', () => {
  const faults = openValidity();
  // OpenAI's describes numbers only; base64, which its own clients ask for, is in its prose.
  const unpacked = (answer: Tapped) => ({
    ...answer,
    text: answer.text.replace(/"embedding":"[^"]+"/g, '"embedding":[1]'),
  });
  if (faults) expect(answers.map(unpacked).flatMap(faults)).toEqual([]);
});

describe('the lane', () => {
  test('is a second entry of the pool with its own slots; models are listed once', async () => {
    const found = (await lanes()).toSorted((a, b) => (a.worker < b.worker ? -1 : 1));
    expect(found.map((lane) => [lane.worker, lane.capacity, lane.state])).toEqual([
      ['w1', 1, 'ready'],
      ['w1+embeddings', 1, 'ready'],
    ]);
    const { data } = (await json('/v1/models')) as { data: { id: string }[] };
    expect(data.map(({ id }) => id)).toEqual(['embedder:latest', 'talker:latest']);
  });

  test('a chat is answered while an indexing job holds every slot for embeddings, and an abort frees them', async () => {
    const left = new AbortController();
    const inputs = Array.from({ length: 2_048 }, () => 'cat '.repeat(400));
    const indexing = post('/v1/embeddings', { model: 'embedder', input: inputs.slice(0, 600) }, left.signal);
    indexing.catch(() => undefined);
    const held = async () => (await lanes()).find((lane) => lane.worker === 'w1+embeddings')?.held;
    await eventually('the job runs', async () => (await held()) === 1);
    expect((await post('/v1/chat/completions', say({ max_tokens: 4 }))).status).toBe(200);
    expect(await held()).toBe(1);
    left.abort();
    await eventually('the lane is free', async () => (await held()) === 0);
    expect((await post('/embeddings', { model: 'embedder', input: 'cat' })).status).toBe(200);
  });

  test('an embedding model asked for a chat is refused before anything waits', async () => {
    const reply = await post('/v1/chat/completions', say({ model: 'embedder' }));
    expect([reply.status, await reply.text()]).toEqual([400, expect.stringContaining('does not support chat')]);
  });
});

test('log-probabilities reach a client of the real model, streamed and whole', async () => {
  const asked = say({ logprobs: true, top_logprobs: 3, max_tokens: 6, temperature: 0 });
  const whole = (await (await post('/v1/chat/completions', asked)).json()) as {
    choices: [{ message: { content: string }; logprobs: { content: { token: string; top_logprobs: unknown[] }[] } }];
  };
  const { message, logprobs } = whole.choices[0];
  expect(logprobs.content.map(({ token }) => token).join('')).toBe(message.content);
  expect(logprobs.content.every(({ top_logprobs }) => top_logprobs.length === 3)).toBe(true);
  const stream = await (await post('/v1/chat/completions', { ...asked, stream: true })).text();
  expect(stream.match(/"top_logprobs"/g)).toHaveLength(logprobs.content.length);
  const unknown = await post('/v1/chat/completions', say({ logit_bias: { 999999: 5 } }));
  expect([unknown.status, ((await unknown.json()) as { error: { param: string } }).error.param]).toEqual([
    400,
    'logit_bias.999999',
  ]);
});
