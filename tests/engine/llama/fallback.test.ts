// The engine over the public API only: slower, one request at a time, but right. `npm run fallback` runs the engine's
// own tests on it, but for those of several slots in one batch and of logprobs, which the API does not give.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { aRawRequest, aRequest, collect, plainSampling, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
let [fallback, usual]: Engine[] = [];
beforeAll(async () => {
  const path = folder.random('words.gguf');
  const open = (publicOnly: boolean) =>
    llamaEngines({ env: process.env, publicOnly })({ ...someOptions, path }, unaborted());
  [fallback, usual] = await Promise.all([open(true), open(false)]);
});
afterAll(async () => {
  await fallback?.[Symbol.asyncDispose]();
  await usual?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const both = (request: Parameters<typeof collect>[1]) =>
  Promise.all([collect(fallback!, request), collect(usual!, request)]);

test('has one slot', () => {
  expect(fallback?.info.slots).toBe(1);
});

test.each(['ba', 'ka ke ki ko ku '.repeat(60)])('says the same as the slot loop, greedily', async (text) => {
  const [slow, fast] = await both(aRequest(text, { maxTokens: 20 }));
  expect(slow.text).toBe(fast.text);
  expect(slow.end.usage.outputTokens).toBe(20);
});

test('requests at once wait for each other', async () => {
  const answers = await Promise.all(
    ['ba', 'be', 'bi'].map((text) => collect(fallback!, aRequest(text, { maxTokens: 6 }))),
  );
  expect(answers.map(({ end }) => end.usage.outputTokens)).toEqual([6, 6, 6]);
});

test('the same seed says the same, another something else', async () => {
  const say = async (seed: number) => {
    const sampling = { ...plainSampling, temperature: 0.9, seed };
    return (await collect(fallback!, aRequest('ba', { sampling, maxTokens: 16 }))).text;
  };
  expect(await say(1)).toBe(await say(1));
  expect(await say(1)).not.toBe(await say(2));
});

test('a prefix is reused in its scope only', async () => {
  const turn = (text: string, cacheScope: string) => aRawRequest(text, { cacheScope, maxTokens: 8 });
  const head = 'ka ke ki ko ku '.repeat(20);
  const cold = await collect(fallback!, turn(`${head}ba`, 'cold'));
  await collect(fallback!, turn(head, 'warm'));
  const warm = await collect(fallback!, turn(`${head}ba`, 'warm'));
  expect(cold.started.cachedTokens).toBe(0);
  expect(warm.started.cachedTokens).toBeGreaterThan(50);
  expect(warm.text).toBe(cold.text);
});

test('an answer keeps to a schema', async () => {
  const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };
  const { text } = await collect(fallback!, aRequest('ba', { format: { kind: 'schema', schema }, maxTokens: 100 }));
  expect(JSON.parse(text)).toEqual({ n: expect.any(Number) });
});

test('an answer keeps to a grammar', async () => {
  const format = { kind: 'grammar', grammar: 'root ::= "n" [0-9]{2} ( "." | "!" )' } as const;
  expect((await collect(fallback!, aRequest('ba', { format, maxTokens: 100 }))).text).toMatch(/^n[0-9]{2}[.!]$/);
});

test('an abort frees the slot', async () => {
  const abort = new AbortController();
  const running = collect(fallback!, aRequest('ba'), abort.signal);
  setTimeout(() => abort.abort(new Error('client gone')), 30);
  await expect(running).rejects.toThrow('client gone');
  expect((await collect(fallback!, aRequest('be', { maxTokens: 2 }))).end.finish).toBe('length');
});

test('what it cannot do is refused by its name', async () => {
  await expect(collect(fallback!, aRequest('ba', { topLogprobs: 2 }))).rejects.toMatchObject({
    outcome: 'bad_request',
    message: expect.stringContaining('logprobs'),
  });
});
