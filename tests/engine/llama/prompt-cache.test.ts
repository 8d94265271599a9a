// Prompts in files, with the real engine: what is read back says the same as cold, and a bad file costs time only.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EngineOptions } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { LlamaEngine } from '../../../worker/engine/llama/open.ts';
import { aRawRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const models = modelFolder();
let words = '';
beforeAll(() => {
  words = models.random('words.gguf');
});
afterAll(() => models[Symbol.dispose]());

let root = '';
let round = 0;
const engines: LlamaEngine[] = [];
const notes: string[] = [];
beforeEach(() => {
  root = models.path(`cache ${(round += 1)}`);
  mkdirSync(root, { mode: 0o700 });
  notes.length = 0;
});
afterEach(async () => {
  for (const engine of engines.splice(0)) await engine[Symbol.asyncDispose]();
  rmSync(root, { recursive: true, force: true });
});

async function opened(more: Partial<EngineOptions> = {}, publicOnly = false): Promise<LlamaEngine> {
  const open = llamaEngines({ env: process.env, publicOnly, note: (note) => notes.push(note) });
  const promptCache = { folder: root, bytesMax: 64 * 2 ** 20 };
  const engine = await open({ ...someOptions, path: words, slots: 1, promptCache, ...more }, unaborted());
  engines.push(engine);
  return engine;
}

const article = (word: string): string => `${word} ke ki ko ku `.repeat(60).trimEnd();
const ask = (text: string, scope = 'team') => aRawRequest(text, { cacheScope: scope, maxTokens: 16 });
/** Leaves exactly the prompt in its sequence. */
const read = (text: string) => aRawRequest(text, { cacheScope: 'team', maxTokens: 1 });
const files = (kind: string): string[] =>
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(`.${kind}`))
    .map((name) => join(root, name));
const bytesOfAll = (): number =>
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(root, name)))
    .reduce((sum, info) => sum + (info.isFile() ? info.size : 0), 0);

describe.each([
  ['the slot loop', false],
  ['the public API', true],
])('over %s, a prompt that lost its sequence', (_, publicOnly) => {
  test('is read back from its file, and says the same as cold', async () => {
    const engine = await opened({}, publicOnly);
    const cold = await collect(engine, ask(`${article('ba')} be`, 'cold'));
    await collect(engine, ask(article('ba')));
    await collect(engine, ask(article('la')));
    const warm = await collect(engine, ask(`${article('ba')} be`));
    expect(cold.started.cachedTokens).toBe(0);
    expect(warm.started.cachedTokens).toBeGreaterThan(200);
    expect(warm.end.usage.cachedTokens).toBe(warm.started.cachedTokens);
    expect(warm.text).toBe(cold.text);
    const other = await collect(engine, ask(`${article('ba')} be`, 'another team'));
    expect(other.started.cachedTokens).toBe(0);
    expect(other.text).toBe(cold.text);
  });
});

test('a stream goes on unharmed while others’ prompts are saved and read back beside it', async () => {
  const engine = await opened({ slots: 2 });
  const long = aRawRequest('la le li lo', { cacheScope: 'other team', maxTokens: 600 });
  const alone = await collect(engine, { ...long, cacheScope: 'alone' });
  const beside = collect(engine, long);
  const cached: number[] = [];
  for (const word of ['ba', 'da', 'ba', 'da', 'ba', 'da']) {
    cached.push((await collect(engine, ask(`${article(word)} be`))).started.cachedTokens);
  }
  expect(cached.slice(2).every((tokens) => tokens > 200)).toBe(true);
  expect((await beside).text).toBe(alone.text);
});

test('it survives an unload and a new load of the same model, and not one with another context', async () => {
  const first = await opened();
  const cold = await collect(first, ask(`${article('ba')} be`, 'cold'));
  await collect(first, ask(article('ba')));
  await first[Symbol.asyncDispose]();
  const second = await opened();
  const warm = await collect(second, ask(`${article('ba')} be`));
  expect(warm.started.cachedTokens).toBeGreaterThan(200);
  expect(warm.text).toBe(cold.text);
  const other = await opened({ contextTokens: 1024 });
  expect((await collect(other, ask(`${article('ba')} be`))).started.cachedTokens).toBe(0);
});

test('its files are for the worker’s user only, and one that grew replaces its shorter self', async () => {
  const engine = await opened();
  for (const text of [article('ba'), article('la'), `${article('ba')} ${article('ba')}`, article('la')])
    await collect(engine, read(text));
  await engine[Symbol.asyncDispose]();
  expect(files('kv')).toHaveLength(2);
  expect(files('json')).toHaveLength(2);
  for (const file of [...files('kv'), ...files('json')]) expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(root).map((name) => statSync(join(root, name)).mode & 0o777)).toEqual([0o700]);
});

test('the files keep within their bound over two engines: the least recently used go first', async () => {
  const promptCache = { folder: root, bytesMax: 2.5 * 2 ** 20 };
  const [one, other] = await Promise.all([opened({ promptCache }), opened({ promptCache, slots: 2 })]);
  for (let topic = 0; topic < 12; topic += 1) {
    const text = article(`b${'aeiou'[topic % 5]} d${'aeiou'[topic % 4]}`);
    await Promise.all([collect(one, read(text)), collect(other, read(text))]);
    expect(bytesOfAll()).toBeLessThanOrEqual(promptCache.bytesMax);
  }
  expect(bytesOfAll()).toBeGreaterThan(promptCache.bytesMax / 2);
  expect((await collect(one, read(`${article('ba da')} be`))).started.cachedTokens).toBe(0);
  expect((await collect(one, read(`${article('ba di')} be`))).started.cachedTokens).toBeGreaterThan(200);
});

test('two processes that save at the same moment keep within the bound together', async () => {
  const bytesMax = 600_000;
  const start = async (name: string) => {
    const child = fork(join(import.meta.dirname, 'cache-writer.ts'), [root, String(bytesMax), name]);
    await once(child, 'message');
    return child;
  };
  const [one, other] = await Promise.all(['one', 'other'].map(start));
  try {
    let largest = 0;
    for (let turn = 0; turn < 100; turn += 1) {
      const answers = Promise.all([one, other].map(async (child) => (await once(child!, 'message'))[0]));
      one?.send(40 + ((turn * 37) % 160));
      other?.send(40 + ((turn * 53) % 160));
      expect(await answers).toEqual([{ saved: expect.any(Number) }, { saved: expect.any(Number) }]);
      largest = Math.max(largest, bytesOfAll());
    }
    expect(largest).toBeLessThanOrEqual(bytesMax);
    expect(largest).toBeGreaterThan(bytesMax * 0.8);
  } finally {
    one?.kill();
    other?.kill();
  }
});

describe('a file that', () => {
  const flip = (file: string): void => {
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 0xff;
    writeFileSync(file, bytes);
  };
  const damages: [string, () => void][] = [
    ['was changed', () => files('kv').forEach(flip)],
    ['was cut', () => files('kv').forEach((file) => truncateSync(file, 5000))],
    ['is empty', () => files('kv').forEach((file) => truncateSync(file, 0))],
    ['is gone', () => files('kv').forEach((file) => rmSync(file))],
    ['has no readable label', () => files('json').forEach((file) => writeFileSync(file, '{"scope": "te'))],
  ];
  test('is damaged in any way costs the speed-up only, in the same life and in the next', async () => {
    const first = await opened();
    const cold = await collect(first, ask(`${article('ba')} be`, 'cold'));
    for (const [, damage] of damages.slice(0, 4)) {
      await collect(first, ask(article('ba')));
      await collect(first, ask(article('la')));
      await new Promise((resolve) => setTimeout(resolve, 20)); // a file system's clock ticks every few milliseconds
      expect(files('kv').length).toBeGreaterThan(0);
      damage();
      const answer = await collect(first, ask(`${article('ba')} be`));
      expect(answer.started.cachedTokens).toBe(0);
      expect(answer.text).toBe(cold.text);
    }
    await first[Symbol.asyncDispose]();
    for (const [, damage] of damages) damage();
    const answer = await collect(await opened(), ask(`${article('ba')} be`));
    expect(answer.started.cachedTokens).toBe(0);
    expect(answer.text).toBe(cold.text);
  });

  test('was being read or written when its process was killed is met by nobody again', async () => {
    const first = await opened();
    await collect(first, ask(article('ba')));
    await first[Symbol.asyncDispose]();
    const [label = ''] = files('json');
    const dead = first.pid;
    writeFileSync(label.replace('.json', `.${dead}.busy`), readFileSync(label));
    rmSync(label);
    writeFileSync(join(label, '..', `0123456789abcdef.${dead}.1000000.part`), 'half');
    const second = await opened();
    expect((await collect(second, ask(`${article('ba')} be`))).started.cachedTokens).toBe(0);
    expect(existsSync(label.replace('.json', '.kv'))).toBe(false);
    expect(files('part')).toEqual([]);
  });
});

test('a folder that cannot be written costs the speed-up only, and is told once', async () => {
  const file = models.path('no folder');
  writeFileSync(file, '');
  const engine = await opened({ promptCache: { folder: file, bytesMax: 1e9 } });
  for (const word of ['ba', 'la', 'ba', 'la']) await collect(engine, ask(article(word)));
  expect(notes.filter((note) => note.includes('prompt cache'))).toHaveLength(1);
});
