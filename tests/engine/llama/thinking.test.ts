// What a template says of thinking reaches the reply, and tags that are control tokens are seen.
import type { Tool } from '@berth/shared/request.ts';
import type { EngineRequest } from '@berth/worker/engine/engine.ts';
import { llamaEngines } from '@berth/worker/engine/llama/open.ts';
import { afterAll, expect, test } from 'vitest';
import { text, writeGguf } from '../../models/gguf.ts';
import { answer, reasoningModel, thought } from '../../models/reasoning.ts';
import { scriptedModel } from '../../models/scripted.ts';
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
  const { started, text: said } = await collect(engine, aRequest('hello', opening));
  expect(started.thinking).toBe(true);
  expect(said).toBe(`${thought}\n</think>\n\n${answer}`);
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

test('a template of the file for conversations with tools is used for those', async () => {
  const { metadata, tensors } = scriptedModel({ name: 'two', says: ['Yes'], template: 'a{{ messages[0].content }}' });
  const both = { ...metadata, 'tokenizer.chat_template.tool_use': text('tools of {{ messages[0].content }}\n') };
  writeGguf(folder.path('two.gguf'), { metadata: both, tensors });
  await using engine = await open(folder.path('two.gguf'));
  const tokensOf = async (tools: Tool[]) => {
    const prompt = { ...(aRequest('b').prompt as Extract<EngineRequest['prompt'], { kind: 'chat' }>), tools };
    return (await collect(engine, aRequest('', { prompt }))).started.promptTokens;
  };
  const few = await tokensOf([]);
  expect(await tokensOf([{ name: 'f', description: '', parameters: {} }])).toBeGreaterThan(few);
});

test('a control token is written out where it is a tag, and only there', async () => {
  await using engine = await open(folder.scripted('tagged.gguf', ['Look', '<|im_start|>', 'there']));
  expect((await collect(engine, aRequest('hello'))).text).toBe('Lookthere');
  const tags = ['<|im_start|>', '<tool_call>'];
  expect((await collect(engine, aRequest('hello', { tags }))).text).toBe('Look<|im_start|>there');
});
