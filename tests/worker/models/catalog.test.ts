// Which models a folder holds, and what becomes of bad, changed and lost files.
import { mkdir, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Log } from '@berth/shared/log.ts';
import { capabilitiesOf } from '../../../worker/models/capabilities.ts';
import { createCatalog } from '../../../worker/models/catalog.ts';
import type { Catalog } from '../../../worker/models/catalog.ts';
import { nameOfFile } from '../../../worker/models/files.ts';
import { virtualClock } from '../../doubles/clock.ts';
import { gguf, keysWith, text, u32 } from '../gguf-file.ts';
import { readGguf } from '../../../worker/models/gguf.ts';

let folder = '';
let said: string[] = [];
const say = (message: string): void => void said.push(message);
const log: Log = { debug: say, info: say, warn: say, error: say };
const clock = virtualClock();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-models-'));
  await mkdir(join(folder, 'demo'));
  await writeFile(join(folder, 'demo', 'berth-demo.gguf'), gguf());
  await mkdir(join(folder, 'models', 'deep', 'deeper'), { recursive: true });
  said = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const put = (name: string, bytes: Uint8Array = gguf()): Promise<void> => writeFile(join(folder, 'models', name), bytes);
const catalog = (modelsDir: string | null = join(folder, 'models')): Catalog =>
  createCatalog({ modelsDir, demoPath: join(folder, 'demo', 'berth-demo.gguf'), check: readGguf, clock, log });
const names = (of: Catalog): string[] => of.models().map(({ name }) => name);

describe('the catalog', () => {
  it('finds the models in the folder and in its folders', async () => {
    await put('Llama3.gguf');
    await put('deep/deeper/other:8b.gguf');
    await put('readme.txt', Buffer.from('no model'));
    const found = catalog();
    await found.scan();
    expect(names(found)).toEqual(['Llama3:latest', 'other:8b']);
    expect(await found.find('Llama3:latest')).toMatchObject({ sizeBytes: gguf().length, capabilities: ['completion'] });
  });

  it('passes over bad files with one line each, which says what is wrong, and serves the rest', async () => {
    await put('good.gguf');
    await put('empty.gguf', Buffer.alloc(0));
    await put('cut.gguf', gguf().subarray(0, 80));
    const found = catalog();
    await found.scan();
    await found.scan();
    expect(names(found)).toEqual(['good:latest']);
    expect(said.filter((line) => line.includes('cannot use'))).toEqual([
      expect.stringMatching(/cut\.gguf: the file ends inside its header/),
      expect.stringMatching(/empty\.gguf: it is empty: copy it again/),
    ]);
  });

  it('serves a bad file when it has become good, and notices that a model was replaced', async () => {
    await put('m.gguf', gguf().subarray(0, 80));
    await put('other.gguf');
    const found = catalog();
    await found.scan();
    await put('m.gguf');
    expect(await found.scan()).toBe(true);
    const before = await found.find('m:latest');
    await put('m.gguf', gguf({ keys: keysWith({ 'llama.context_length': u32(1024) }) }));
    await utimes(join(folder, 'models', 'm.gguf'), 1, 1);
    expect(await found.scan()).toBe(true);
    const after = await found.find('m:latest');
    expect([before?.header.contextTokens, after?.header.contextTokens]).toEqual([512, 1024]);
    expect(before?.version).not.toBe(after?.version);
    expect(await found.scan()).toBe(false);
  });

  it('reads a file once for each of its versions', async () => {
    await put('m.gguf');
    await utimes(join(folder, 'models', 'm.gguf'), 1, 1);
    const found = catalog();
    await found.scan();
    await put('m.gguf', Buffer.alloc(gguf().length));
    await utimes(join(folder, 'models', 'm.gguf'), 1, 1);
    await found.scan();
    expect(names(found)).toEqual(['m:latest']);
  });

  it('looks on the disk for a model that it does not know, at most once a second', async () => {
    await put('m.gguf');
    const found = catalog();
    await found.scan();
    await put('late.gguf');
    expect(await found.find('late:latest')).toBeNull();
    await clock.advance(1_000);
    expect(await found.find('late:latest')).toMatchObject({ name: 'late:latest' });
  });

  it.each([
    ['MODELS_DIR is not set', () => null],
    ['cannot be read', () => join(folder, 'nowhere')],
    ['no usable .gguf file', () => join(folder, 'models')],
  ])('serves the demo when %s, says so once and how to load a real model', async (why, modelsDir) => {
    const found = catalog(modelsDir());
    await found.scan();
    await found.scan();
    expect(names(found)).toEqual(['berth-demo:latest']);
    expect(said).toEqual([expect.stringMatching(`${why}.*serving the demo model.*MODELS_DIR`)]);
  });

  it('gives up the demo when a real model comes', async () => {
    const found = catalog();
    await found.scan();
    await put('m.gguf');
    expect(await found.scan()).toBe(true);
    expect(names(found)).toEqual(['m:latest']);
  });

  it('takes one file for a folder', async () => {
    await put('m.gguf');
    await put('other.gguf');
    const found = catalog(join(folder, 'models', 'm.gguf'));
    await found.scan();
    expect(names(found)).toEqual(['m:latest']);
  });

  it('serves the first of two files with one name, and says so once', async () => {
    await put('deep/m.gguf');
    await put('m.gguf');
    const found = catalog();
    await found.scan();
    await found.scan();
    expect(names(found)).toEqual(['m:latest']);
    expect(said).toEqual([expect.stringMatching(/two files are called m:latest.*Rename one/)]);
  });

  it('takes the first part of a split model, and no projectors or adapters', async () => {
    await put('big-00001-of-00002.gguf');
    await put('big-00002-of-00002.gguf');
    await put('mmproj.gguf', gguf({ keys: { 'general.architecture': text('clip') } }));
    await put('lora.gguf', gguf({ keys: keysWith({ 'general.type': text('adapter') }) }));
    const found = catalog();
    await found.scan();
    expect(names(found)).toEqual(['big:latest']);
  });

  it('survives a folder that goes away and comes back', async () => {
    await put('m.gguf');
    const found = catalog();
    await found.scan();
    await rename(join(folder, 'models'), join(folder, 'gone'));
    await found.scan();
    expect(names(found)).toEqual(['berth-demo:latest']);
    await rename(join(folder, 'gone'), join(folder, 'models'));
    await found.scan();
    expect(names(found)).toEqual(['m:latest']);
  });
});

it.each([
  ['/models/Qwen2.5-7B.gguf', 'Qwen2.5-7B:latest'],
  ['/models/llama3:8b.GGUF', 'llama3:8b'],
  ['/models/big-00001-of-00003.gguf', 'big:latest'],
])('names %s %s', (path, name) => expect(nameOfFile(path)).toBe(name));

it.each([
  [{}, ['completion']],
  [{ pooled: true }, ['embedding']],
  [{ architecture: 'nomic-bert-moe' }, ['embedding']],
  [{ architecture: 'berth' }, ['completion']],
  [{ chatTemplate: '{% if tools %}…{% endif %}' }, ['completion', 'tools']],
  [{ infills: true }, ['completion', 'insert']],
  [{ chatTemplate: '{% if enable_thinking %}<think>{% endif %}' }, ['completion', 'thinking']],
])('reads capabilities off %j', (header, capabilities) => {
  const usual = {
    architecture: 'llama',
    contextTokens: 1,
    parameters: 1,
    quantization: 'F32',
    chatTemplate: null,
    pooled: false,
    infills: false,
    facts: {},
    type: 'model',
    digest: '',
  };
  expect(capabilitiesOf({ ...usual, ...header })).toEqual(capabilities);
});
