// Models that Ollama has pulled are served from its own store, with what their authors have set.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { silentLog } from '@berth/shared/log.ts';
import { createCatalog } from '../../../worker/models/catalog.ts';
import { noDefaults, withDefaults } from '../../../worker/models/defaults.ts';
import { readGguf } from '../../../worker/models/gguf.ts';
import { readStore } from '../../../worker/models/store.ts';
import { virtualClock } from '../../doubles/clock.ts';
import { storeModel } from '../../models/store.ts';
import { gguf } from '../gguf-file.ts';

let root = '';
let store = '';
let file = '';
const library = 'registry.ollama.ai/library';

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'berth-store-'));
  store = join(root, 'models');
  file = join(root, 'some.gguf');
  await writeFile(file, gguf());
});
afterEach(() => rm(root, { recursive: true, force: true }));

const warned: string[] = [];
const catalog = () =>
  createCatalog({
    modelsDir: store,
    demoPath: file,
    check: readGguf,
    clock: virtualClock(),
    log: { ...silentLog, warn: (line: string) => void warned.push(line) },
  });

it('names are as Ollama writes them, several of them for one file', async () => {
  await storeModel(store, { at: `${library}/llama3.2/latest`, file });
  await storeModel(store, { at: `${library}/llama3.2/3b`, file });
  await storeModel(store, { at: 'registry.ollama.ai/mario/plumber/v1', file });
  await storeModel(store, { at: 'hf.co/bartowski/Some-GGUF/Q4_K_M', file });
  const found = catalog();
  await found.scan();
  const names = ['hf.co/bartowski/Some-GGUF:Q4_K_M', 'llama3.2:3b', 'llama3.2:latest', 'mario/plumber:v1'];
  expect(found.models().map(({ name }) => name)).toEqual(names);
  expect(await found.find('llama3.2:latest')).toMatchObject({ capabilities: ['completion'], defaults: noDefaults });
});

it('files beside the store are served as ever', async () => {
  await storeModel(store, { at: `${library}/a/latest`, file });
  await writeFile(join(store, 'own.gguf'), gguf());
  const found = catalog();
  await found.scan();
  expect(found.models().map(({ name }) => name)).toEqual(['a:latest', 'own:latest']);
});

it('what the author has set is read', async () => {
  const params = { temperature: 0.6, top_k: 20, stop: ['<|im_end|>'], num_ctx: 8192, num_gpu: 1 };
  await storeModel(store, { at: `${library}/a/latest`, file, params, system: 'Be kind.' });
  const [model] = (await readStore(store))?.models ?? [];
  expect(model?.defaults).toEqual({
    sampling: { ...noDefaults.sampling, temperature: 0.6, topK: 20 },
    stop: ['<|im_end|>'],
    system: 'Be kind.',
  });
});

it.each([
  ['names no model', { file: null }, 'names no model file'],
  ['has lost its adapter', { layers: [aLayer('adapter', `sha256:${'a'.repeat(64)}`)] }, 'its adapter cannot be read'],
  ['leads out of the store', { file: null, layers: [aLayer('model', '../../../etc/passwd')] }, 'by no digest'],
  ['has lost its parameters', { layers: [aLayer('params', `sha256:${'b'.repeat(64)}`)] }, 'ENOENT'],
  ['has nonsense for parameters', { params: { temperature: 'hot' } }, 'temperature'],
])('a model that %s is passed over with one line, and the others are served', async (_, more, why) => {
  await storeModel(store, { at: `${library}/good/latest`, file });
  await storeModel(store, { at: `${library}/odd/latest`, file, ...more });
  const found = catalog();
  warned.splice(0);
  await found.scan();
  await found.scan();
  expect(found.models().map(({ name }) => name)).toEqual(['good:latest']);
  expect(warned).toEqual([expect.stringMatching(new RegExp(`cannot use odd:latest( of Ollama's store)?: .*${why}`))]);
});

it('a damaged manifest harms no other', async () => {
  await storeModel(store, { at: `${library}/good/latest`, file });
  await mkdir(join(store, 'manifests', library, 'bad'), { recursive: true });
  await writeFile(join(store, 'manifests', library, 'bad', 'latest'), '{"layers":');
  const { models, problems } = (await readStore(store)) ?? { models: [], problems: [] };
  expect([models.map(({ name }) => name), problems.length]).toEqual([['good:latest'], 1]);
});

it('a folder with neither manifests nor blobs is no store', async () => {
  await mkdir(join(store, 'manifests'), { recursive: true });
  expect(await readStore(store)).toBeNull();
});

it('a request comes before the author, and the author before our own', () => {
  const defaults = {
    sampling: { ...noDefaults.sampling, temperature: 0.6, topK: 20 },
    stop: ['x'],
    system: 'Be kind.',
  };
  const user = { role: 'user', content: 'hello' };
  const ask = (more: object) => withDefaults(defaults, parseOpenaiChat({ model: 'm', messages: [user], ...more }));
  expect(ask({ temperature: 1 })).toMatchObject({
    sampling: { temperature: 1, topK: 20, topP: null },
    stop: ['x'],
    prompt: { messages: [{ role: 'system', content: 'Be kind.' }, user] },
  });
  const own = [{ role: 'system', content: 'Be short.' }, user];
  expect(ask({ stop: 'y', messages: own })).toMatchObject({ stop: ['y'], prompt: { messages: own } });
});

function aLayer(kind: string, digest: string) {
  return { mediaType: `application/vnd.ollama.image.${kind}`, digest, size: 1 };
}
