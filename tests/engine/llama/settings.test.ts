// What the settings of a single model change in its engine: the template, and adapters that are added to its weights.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { EngineOptions } from '../../../worker/engine/engine.ts';
import { f32, tensorOf, text, writeGguf } from '../../models/gguf.ts';
import { randomModel } from '../../models/random.ts';
import { aRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder, publicOnly } from './models.ts';

const folder = modelFolder();
const open = llamaEngines({ env: process.env, publicOnly });
let path = '';
let adapter = '';
beforeAll(() => {
  path = folder.random('words.gguf');
  adapter = folder.path('adapter.gguf');
  const shape = { parameters: 1e6, type: 'f32', vocabulary: 1024, context: 2048 } as const;
  const { tensors } = randomModel({ ...shape, ends: false, seed: 3, name: 'words.gguf' });
  const [columns = 0, rows = 0] = tensors.find(({ name }) => name === 'blk.0.attn_output.weight')?.shape ?? [];
  const rank = 4;
  const wave = (count: number, step: number) => Float32Array.from({ length: count }, (_, at) => Math.sin(at * step));
  writeGguf(adapter, {
    metadata: {
      'general.type': text('adapter'),
      'general.architecture': text('llama'),
      'adapter.type': text('lora'),
      'adapter.lora.alpha': f32(64),
    },
    tensors: [
      tensorOf('blk.0.attn_output.weight.lora_a', 'f32', [columns, rank], wave(columns * rank, 0.7)),
      tensorOf('blk.0.attn_output.weight.lora_b', 'f32', [rank, rows], wave(rank * rows, 1.3)),
    ],
  });
});
afterAll(() => folder[Symbol.dispose]());

const user = { role: 'user' as const, content: 'ba be bi' };
const say = { maxTokens: 12, prompt: { kind: 'chat' as const, messages: [user], tools: [] } };
const answer = async (more: Partial<EngineOptions>) => {
  await using engine = await open({ ...someOptions, path, slots: 1, ...more }, unaborted());
  const { text, end } = await collect(engine, aRequest('', say));
  return { text, promptTokens: end.usage.promptTokens };
};

it('an adapter changes what the model says, as much as its scale says, and a template what it is asked', async () => {
  const plain = await answer({});
  expect(await answer({ adapters: [{ path: adapter, scale: 0 }] })).toEqual(plain);
  const template = '{{ messages[0].content }} bo bu bo bu bo bu bo bu bo bu bo bu bo bu';
  const other = await answer({ adapters: [{ path: adapter, scale: 1 }], template });
  expect(other.text).not.toBe(plain.text);
  expect(other.promptTokens).not.toBe(plain.promptTokens);
});

it('an adapter of another model is refused with what to check', async () => {
  await expect(answer({ adapters: [{ path, scale: 1 }] })).rejects.toMatchObject({
    outcome: 'load_failed',
    message: expect.stringMatching(/with its adapters words\.gguf.*Check that the adapters were made for this model/),
  });
});
