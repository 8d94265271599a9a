// MODELS_FILE: what it may say, and what is said to a typing error.
import { expect, it } from 'vitest';
import { parseModelsFile } from '@berth/shared/models-file.ts';

const settings = (model: object) => parseModelsFile(JSON.stringify({ models: { m: model } }), 'models.json').models;

it('says how single models are run', () => {
  const all = {
    context: 8_192,
    slots: 2,
    keepAlive: '1h',
    pinned: true,
    preload: true,
    templateFile: 'chat.jinja',
    adapters: ['a.gguf', { file: 'b.gguf', scale: 0.5 }],
    gpus: '0,1',
    gpuLayers: 20,
    parameters: { temperature: 0.2, stop: ['END'] },
    system: 'Be short.',
  };
  expect(settings(all).get('m:latest')).toMatchObject({
    contextTokens: 8_192,
    slots: 2,
    keepAliveMs: 3_600_000,
    pinned: true,
    preload: true,
    templateFile: 'chat.jinja',
    adapters: [
      { path: 'a.gguf', scale: 1 },
      { path: 'b.gguf', scale: 0.5 },
    ],
    gpus: '0,1',
    gpuLayers: 20,
    sampling: { temperature: 0.2, topK: null },
    stop: ['END'],
    system: 'Be short.',
  });
  expect(settings({}).get('m:latest')).toEqual({});
  expect(settings({ keepAlive: -1 }).get('m:latest')).toEqual({ keepAliveMs: Infinity });
});

it.each([
  [{ contxt: 1 }, /models\.m\.contxt is not known here.*context, slots/],
  [{ context: 1 }, /models\.m\.context must be from 64/],
  [{ slots: 'two' }, /models\.m\.slots must be a number/],
  [{ keepAlive: 'long' }, /models\.m\.keepAlive must be a number of seconds or a duration/],
  [{ pinned: 'yes' }, /models\.m\.pinned must be true or false/],
  [{ template: 'a', templateFile: 'b' }, /templateFile and template exclude each other/],
  [{ adapters: [{ path: 'a' }] }, /adapters\[0\]\.path is not known here.*file, scale/],
  [{ gpus: 'all' }, /gpus must be NVIDIA GPUs such as "0,1"/],
  [{ parameters: { temprature: 1 } }, /parameters\.temprature is not known here/],
  [{ parameters: { temperature: 'hot' } }, /parameters\.temperature must be a number/],
  [[], /models\.m must be an object/],
])('%j is refused by its field', (model, why) => {
  expect(() => settings(model)).toThrow(why);
});

it('names a model once', () => {
  expect(() => parseModelsFile('{"models":{"m":{},"m:latest":{}}}', 'models.json')).toThrow(
    'models.m:latest is there twice',
  );
});
