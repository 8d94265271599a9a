// What MODELS_FILE says of single models holds in a running worker, and changes there when the file changes.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { ModelCard } from '@berth/shared/announcement.ts';
import { createLog } from '@berth/shared/log.ts';
import { systemClock } from '@berth/shared/clock.ts';
import type { EngineOptions } from '../../worker/engine/engine.ts';
import { eventually } from '../e2e/eventually.ts';
import { aWorker, chat } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

let folder = '';
let path = '';
let worker: TestWorker;
const opened: EngineOptions[] = [];
const lines: string[] = [];

const write = (models: object) => writeFile(path, JSON.stringify({ models }));
const card = (name: string): ModelCard | undefined =>
  worker.announcement().models.find((each) => each.name === `${name}:latest`);
const openedOf = (name: string) => opened.filter((each) => each.path.endsWith(`/${name}.gguf`));
const ask = (name: string) => worker.call({ model: `${name}:latest`, body: chat('hello', { model: name }) });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-models-file-'));
  path = join(folder, 'models.json');
  await writeFile(join(folder, 'tools.jinja'), '{% if tools %}{{ messages }}{% endif %}');
  await writeFile(join(folder, 'adapter.gguf'), 'weights');
  await write({
    early: { preload: true, pinned: true, context: 256, slots: 2, keepAlive: 0 },
    shaped: { templateFile: 'tools.jinja', adapters: [{ file: 'adapter.gguf', scale: 0.5 }], gpuLayers: 3 },
    elsewhere: { gpus: '1,2' },
    here: { gpus: '0,1' },
    broken: { adapters: ['none.gguf'] },
  });
  worker = await aWorker({
    models: ['early', 'shaped', 'elsewhere', 'here', 'broken', 'plain'],
    modelsFile: path,
    ownGpus: ['0', 'GPU-0'],
    log: createLog({
      source: 'worker',
      level: 'info',
      format: 'json',
      clock: systemClock,
      write: (line) => lines.push(line),
    }),
    opens: (open) => async (options, signal) => {
      opened.push(options);
      return open(options, signal);
    },
  });
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

it('a model that is to be there from the start is loaded as its settings say, and stays', async () => {
  await eventually('a load without a request', () => card('early')?.loaded === true);
  expect(card('early')).toMatchObject({ evictable: false, expiresAt: null });
  expect(openedOf('early')).toMatchObject([{ contextTokens: 256, slots: 2 }]);
  await ask('early');
  await worker.call({ path: '/api/generate', model: 'early:latest', body: { model: 'early', keep_alive: 0 } });
  expect(card('early')?.loaded).toBe(true);
  expect(card('early')?.contextTokens).toBe(256);
});

it('a template of the settings is what the model can do by, and engines get it with adapters and layers', async () => {
  expect(card('plain')?.capabilities).toEqual(['completion']);
  expect(card('shaped')?.capabilities).toEqual(['completion', 'tools']);
  await ask('shaped');
  expect(openedOf('shaped')).toMatchObject([
    {
      template: '{% if tools %}{{ messages }}{% endif %}',
      adapters: [{ path: join(folder, 'adapter.gguf'), scale: 0.5 }],
      gpuLayers: 3,
      contextTokens: 4096,
    },
  ]);
});

it('a set of GPUs belongs to the worker that owns the first of them', async () => {
  expect(card('elsewhere')).toBeUndefined();
  await ask('here');
  expect(openedOf('here')).toMatchObject([{ devices: '0,1' }]);
});

it('settings that cannot be honoured leave out their model alone, and say why', () => {
  expect(card('broken')).toBeUndefined();
  expect(lines.join('')).toMatch(/cannot use broken:latest: its adapter cannot be read: ENOENT/);
  expect(card('plain')).toBeDefined();
});

it('the file is read anew: what needs a new load gets one at the next request, the rest holds at once', async () => {
  await ask('plain');
  await write({ early: { context: 256, slots: 2 }, plain: { context: 512, system: 'Be short.' } });
  await eventually('an end of the pin', () => card('early')?.expiresAt !== null);
  expect(card('elsewhere')).toBeDefined();
  await ask('plain');
  expect(openedOf('plain').map(({ contextTokens }) => contextTokens)).toEqual([4096, 512]);
  expect(openedOf('early')).toHaveLength(1);
  await eventually('the new context', () => card('plain')?.contextTokens === 512);
});

it('a damaged file keeps what holds and says why, until it is whole again', async () => {
  await write({ plain: { contxt: 1 } });
  await eventually('a complaint', () => lines.join('').includes('models.plain.contxt is not known here'));
  await ask('plain');
  expect(openedOf('plain')).toHaveLength(2);
  expect((await ask('shaped')).status).toBe(200);
});
