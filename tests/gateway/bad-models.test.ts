// What is wrong with models or their settings is said where an operator looks (log, /api/show, `berth doctor`), and
// nothing else stops working: after each of these a whole model still answers.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { createLog } from '@berth/shared/log.ts';
import { OutOfMemory } from '../../worker/engine/engine.ts';
import { realDisk } from '../../worker/pull/layer.ts';
import { startRegistry } from '../doubles/registry.ts';
import type { Registry } from '../doubles/registry.ts';
import { typeIn } from '../cli/typed.ts';
import { eventually } from '../e2e/eventually.ts';
import { aWorker } from '../worker/a-worker.ts';
import type { TestWorker } from '../worker/a-worker.ts';
import { gguf } from '../worker/gguf-file.ts';
import { ask, secret, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

let folder = '';
let settings = '';
let registry: Registry;
let rig: Rig;
let worker: TestWorker;
let isFull = false;
const lines: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-bad-'));
  settings = `${folder}.json`;
  await writeFile(settings, '{"models":{"good":{"system":"Be short."}}}');
  for (const name of ['good', 'huge', 'twice']) await writeFile(join(folder, `${name}.gguf`), gguf());
  await mkdir(join(folder, 'nested'));
  await writeFile(join(folder, 'nested', 'twice.gguf'), gguf());
  await writeFile(join(folder, 'broken.gguf'), 'no model at all');
  await writeFile(join(folder, 'half.gguf'), gguf().subarray(0, 80));
  await writeFile(join(folder, 'split-00001-of-00002.gguf'), gguf());
  registry = await startRegistry();
  rig = await startRig({ workers: [], clock: systemClock });
  worker = await aWorker({
    secret,
    ledger: rig.ledger,
    modelsDir: folder,
    modelsFile: settings,
    log: createLog({
      source: 'w',
      level: 'info',
      format: 'json',
      clock: systemClock,
      write: (line) => lines.push(line),
    }),
    pull: {
      hosts: [{ host: registry.host, plain: true }],
      hubUrl: `http://${registry.host}`,
      disk: {
        ...realDisk,
        async append(file, chunk) {
          if (isFull) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
          await realDisk.append(file, chunk);
        },
      },
    },
    opens: (open) => async (options, signal) => {
      if (options.path.endsWith('huge.gguf'))
        throw new OutOfMemory(
          'huge.gguf needs 80.00 GiB for its weights, and 24.00 GiB of GPU memory are free',
          2 ** 36,
        );
      return open(options, signal);
    },
  });
  await eventually('the worker', async () => (await show('good')).status === 200);
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  for (const path of [folder, settings]) await rm(path, { recursive: true, force: true });
});
afterEach(async () => {
  const answer = await post('/api/chat', {
    model: 'good',
    messages: [{ role: 'user', content: 'hello' }],
    stream: false,
  });
  expect(answer.status).toBe(200);
});

const post = (path: string, body: object) => ask(rig, { path, body: JSON.stringify(body) }).answer;
const show = (model: string) => post('/api/show', { model });
const doctor = async () => {
  const env = { MODELS_DIR: folder, MODELS_FILE: settings, GPU: 'cpu', GATEWAY_PORT: '0', PROMPT_CACHE_BYTES: '0' };
  return (await typeIn('doctor', { url: rig.url, env, terminal: true })).said;
};

it('a file that is broken, one that is half copied, one that lacks a part, and one whose name is taken', async () => {
  const found = [
    ['broken', /broken\.gguf: it is no GGUF file/],
    ['half', /half\.gguf: the file ends inside its header/],
    ['split', /split-00001-of-00002\.gguf: part 2 of 2 is missing/],
  ] as const;
  const said = await doctor();
  for (const [name, why] of found) {
    const { status, text } = await show(name);
    expect([status, text]).toEqual([404, expect.stringMatching(why)]);
    expect(text).not.toContain(folder);
    expect(
      (await post('/v1/chat/completions', { model: name, messages: [{ role: 'user', content: 'x' }] })).text,
    ).toMatch(why);
    expect(lines.join('')).toMatch(why);
    expect(said).toMatch(why);
  }
  const why = /two files are called twice:latest: .* is served/;
  expect((await show('twice')).text).toMatch(why);
  expect(lines.join('')).toMatch(why);
  expect(said).toMatch(why);
});

it('a model that is too large for any GPU, with the numbers', async () => {
  const why = 'huge.gguf needs 80.00 GiB for its weights, and 24.00 GiB of GPU memory are free';
  const asked = await post('/api/generate', { model: 'huge', prompt: 'hello', stream: false });
  expect([asked.status, asked.text]).toEqual([500, expect.stringContaining(why)]);
  expect(lines.join('')).toContain(why);
  await eventually('why', async () => (await show('huge')).text.includes(`"problems":["${why}`));
});

it('settings with an unknown key: the old ones hold', async () => {
  await writeFile(settings, '{"models":{"good":{"sytem":"Be long."}}}');
  const why = /the settings of models are those from before: .*models\.good\.sytem is not known here/;
  await eventually('why', async () => why.test((await show('good')).text));
  expect((await show('good')).text).toContain('"system":"Be short."');
  expect(lines.join('')).toContain('models.good.sytem is not known here');
  expect(await doctor()).toMatch(/models\.good\.sytem is not known here/);
  await writeFile(settings, '{"models":{"godo":{}}}');
  await eventually('its end', async () => !(await show('good')).text.includes('problems'));
  expect(await doctor()).toContain('MODELS_FILE speaks of godo:latest, which is not here');
});

it.each([
  ['a disk that fills up in a pull', 'full', {}, /is full: make room there/],
  [
    'a registry that sends the wrong bytes',
    'wrong',
    { lie: Buffer.alloc(gguf().length) },
    /other bytes than it promised/,
  ],
])('%s', async (_, model, more, why) => {
  registry.publish({ repository: `library/${model}`, tag: 'latest', file: gguf(), ...more });
  const name = `${registry.host}/library/${model}`;
  isFull = model === 'full';
  const { text } = await post('/api/pull', { model: name });
  isFull = false;
  expect(text).toMatch(why);
  expect(lines.join('')).toMatch(why);
  await eventually('why', async () => why.test((await show(name)).text));
});

it('a worker that announces nonsense', async () => {
  const nonsense = {
    protocol: 1,
    worker: 'mad',
    epoch: 'e',
    url: 'http://127.0.0.1:1',
    slots: 4,
    models: [{ name: 'good:latest', capabilities: ['completion'], sizeBytes: 'much' }],
  };
  const beat = { epoch: 'e', boot: false, last: false, capacity: 4, weight: 1, serves: ['good:latest'], running: [] };
  const speak = (at: number) =>
    rig.ledger.beat({ ...beat, worker: 'mad', announcement: JSON.stringify({ ...nonsense, at }) });
  const told = () => rig.lines.filter(({ worker: id, level }) => id === 'mad' && level === 'error').length;
  await speak(1);
  await eventually('a line', () => told() === 1);
  const { text } = await ask(rig, { method: 'GET', path: '/health' }).answer;
  expect(text).toContain('{"worker":"mad","state":"not understood"');
  expect(await doctor()).toContain('what mad announces is not understood');
  for (const at of [2, 3]) await speak(at);
  expect(told()).toBe(1);
  await rig.ledger.beat({ ...beat, worker: 'mad', announcement: '', last: true, serves: [] });
});

it('a worker with hundreds of models is there with all of them', async () => {
  await using pool = await startRig({ workers: [], clock: systemClock });
  const models = Array.from({ length: 300 }, (_, at) => `a-model-with-a-name-of-some-length-${at}`);
  await using _worker = await aWorker({ models, ledger: pool.ledger, secret, clock: systemClock });
  const told = async () => {
    const { text } = await ask(pool, { method: 'GET', path: '/api/tags' }).answer;
    return (JSON.parse(text) as { models: unknown[] }).models.length;
  };
  await expect.poll(told, { timeout: 20_000 }).toBe(300);
});
