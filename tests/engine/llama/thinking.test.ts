// What a template says of thinking reaches the reply, and tags that are control tokens are seen.
import type { EngineRequest } from '@berth/worker/engine/engine.ts';
import { llamaEngines } from '@berth/worker/engine/llama/open.ts';
import { afterAll, expect, test } from 'vitest';
import { writeGguf } from '../../models/gguf.ts';
import { answer, reasoningModel, thought } from '../../models/reasoning.ts';
import { aRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder, publicOnly } from './models.ts';

const folder = modelFolder();
afterAll(() => folder[Symbol.dispose]());

const open = (path: string) => llamaEngines({ env: process.env, publicOnly })({ ...someOptions, path }, unaborted());

test('a thought that the template opens is told as one, and a held answer is none', async () => {
  writeGguf(folder.path('opened.gguf'), reasoningModel('template'));
  await using engine = await open(folder.path('opened.gguf'));
  const opening = { thoughtOpens: '<think>' };
  expect((await collect(engine, aRequest('hello', { thoughtOpens: '[THINK]' }))).started.thinking).toBeUndefined();
  const { started, text } = await collect(engine, aRequest('hello', opening));
  expect(started.thinking).toBe(true);
  expect(text).toBe(`${thought}\n</think>\n\n${answer}`);
  const held = await collect(
    engine,
    aRequest('hello', { ...opening, format: { kind: 'schema', schema: { const: 5 } } }),
  );
  expect(held.started.thinking).toBeUndefined();
  expect(held.text).toBe('5');
});

test('a template that can switch thinking off is told to', async () => {
  writeGguf(folder.path('thinks.gguf'), reasoningModel('model'));
  await using engine = await open(folder.path('thinks.gguf'));
  const prompt = aRequest('hello').prompt as Extract<EngineRequest['prompt'], { kind: 'chat' }>;
  const tokensOf = async (more: Partial<EngineRequest>) =>
    (await collect(engine, aRequest('', { prompt, ...more }))).started.promptTokens;
  const thinking = await tokensOf({});
  expect(await tokensOf({ prompt: { ...prompt, think: true } })).toBe(thinking);
  expect(await tokensOf({ prompt: { ...prompt, think: false } })).toBeGreaterThan(thinking);
  // A held answer leaves no room for a thought, so none is begun.
  expect(await tokensOf({ format: { kind: 'schema', schema: { const: 5 } } })).toBeGreaterThan(thinking);
});

test('a control token is written out where it is a tag, and only there', async () => {
  await using engine = await open(folder.scripted('tagged.gguf', ['Look', '<|im_start|>', 'there']));
  expect((await collect(engine, aRequest('hello'))).text).toBe('Lookthere');
  const tags = ['<|im_start|>', '<tool_call>'];
  expect((await collect(engine, aRequest('hello', { tags }))).text).toBe('Look<|im_start|>there');
});
