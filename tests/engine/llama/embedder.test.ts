// Embeddings by the real engine: whose cosines make sense, whoever asks at the same time.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { embeddingModel } from '../../models/embedding.ts';
import { writeGguf } from '../../models/gguf.ts';
import { aRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
let engine: Engine | undefined;
beforeAll(async () => {
  const path = folder.path('embedding.gguf');
  writeGguf(path, embeddingModel());
  engine = await llamaEngines({ env: process.env })({ ...someOptions, path, embeds: true, slots: 1 }, unaborted());
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const embed = (input: string | number[], truncate = false) => engine!.embed({ input, truncate, at: 'input' });
const cosine = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b));

test('what means the same is near, what does not is far', async () => {
  const [cat, kitten, bank] = await Promise.all(
    ['the cat sleeps', 'a kitten sleeps', 'the bank account'].map((text) => embed(text)),
  );
  expect(cosine(cat!.vector, kitten!.vector)).toBeGreaterThan(0.8);
  expect(Math.abs(cosine(cat!.vector, bank!.vector))).toBeLessThan(0.3);
});

test('forty at once get the vector that each gets alone', async () => {
  const texts = Array.from({ length: 40 }, (_, index) => `cat ${'rain '.repeat(index % 7)} loan ${index}`);
  const alone: string[] = [];
  for (const text of texts) alone.push((await embed(text)).vector.join());
  const together = await Promise.all(texts.map((text) => embed(text)));
  expect(together.map(({ vector }) => vector.join())).toEqual(alone);
  expect(new Set(alone).size).toBe(40);
});

test('tokens are counted with those around every text, and may be given instead of one', async () => {
  const { tokens } = await embed('the cat sleeps');
  expect(tokens).toBe(5);
  const { tokens: ids } = await engine!.tokenize({
    kind: 'tokenize',
    text: 'the cat sleeps',
    first: false,
    control: false,
  });
  expect((await embed(ids)).vector).toEqual((await embed('the cat sleeps')).vector);
});

test('the whole context can be used; beyond it is cut, or refused', async () => {
  const words = (count: number) => 'cat '.repeat(count);
  expect(engine?.info.contextTokens).toBe(512);
  expect((await embed(words(510))).tokens).toBe(512);
  expect((await embed(words(600), true)).tokens).toBe(512);
  await expect(embed(words(511))).rejects.toMatchObject({
    outcome: 'context_exceeded',
    param: 'input',
    message: expect.stringContaining('context length of 512'),
  });
});

test('a token that the model does not have is refused by its place, and nothing breaks', async () => {
  await expect(embed([5, 1_000_000])).rejects.toMatchObject({ outcome: 'bad_request', param: 'input[1]' });
  expect((await embed('')).tokens).toBe(2);
});

test('it generates nothing, and says so', async () => {
  await expect(collect(engine!, aRequest('hi'))).rejects.toThrow('only embeds');
  const steps = engine!.steps();
  await embed('cat');
  expect(engine!.steps()).toBeGreaterThan(steps);
});

test('an engine that dies tells everybody who waits', async () => {
  const path = folder.path('embedding.gguf');
  const mortal = await llamaEngines({ env: process.env })(
    { ...someOptions, path, embeds: true, slots: 1 },
    unaborted(),
  );
  const waiting = Array.from({ length: 50 }, () =>
    mortal.embed({ input: 'cat '.repeat(500), truncate: true, at: 'input' }),
  );
  process.kill(mortal.pid, 'SIGKILL');
  const ends = await Promise.allSettled(waiting);
  expect(ends.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
  await expect(mortal.embed({ input: 'cat', truncate: true, at: 'input' })).rejects.toThrow('engine process');
});
