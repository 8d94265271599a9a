// Pull, delete, copy, load and unload over a pool of real workers, from any gateway, as one Ollama would have it.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { realDisk } from '../../worker/pull/layer.ts';
import { startRegistry } from '../doubles/registry.ts';
import type { Registry } from '../doubles/registry.ts';
import { eventually } from '../e2e/eventually.ts';
import { aWorker } from '../worker/a-worker.ts';
import type { TestWorker } from '../worker/a-worker.ts';
import { gguf } from '../worker/gguf-file.ts';
import { make } from './policy/calls.ts';
import { ask, secret, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

const key = 'a-key-of-the-settings';
const admin = { authorization: `Bearer ${key}` };
const folders: string[] = [];
let registry: Registry;
let rig: Rig;
let workers: TestWorker[];
/** The second worker's disk is too small while this is true. */
let full = false;

beforeAll(async () => {
  registry = await startRegistry();
  for (const _ of [1, 2]) folders.push(await mkdtemp(join(tmpdir(), 'berth-library-')));
  for (const folder of folders) await writeFile(join(folder, 'own.gguf'), gguf());
  rig = await startRig({ door: [key], workers: [], clock: systemClock });
  const join_ = (id: string, modelsDir: string, isFull: () => boolean) =>
    aWorker({
      id,
      secret,
      ledger: rig.ledger,
      modelsDir,
      pull: {
        hosts: [{ host: registry.host, plain: true }],
        hubUrl: `http://${registry.host}`,
        disk: { ...realDisk, freeBytes: async () => (isFull() ? 0 : 2 ** 40) },
      },
    });
  const [one = '', two = ''] = folders;
  // The first two share a folder.
  workers = await Promise.all([
    join_('w1', one, () => false),
    join_('w2', one, () => false),
    join_('w3', two, () => full),
  ]);
  await eventually('three workers', async () => (await tags()).includes('own:latest') && copies('own:latest') === 3);
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  await rig[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

const send = (method: string, path: string, body?: object, headers = admin) => {
  const bytes = body && JSON.stringify(body);
  const length: Record<string, string> = bytes === undefined ? {} : { 'content-length': String(bytes.length) };
  return ask(rig, { method, path, headers: { ...headers, ...length }, ...(bytes && { body: bytes }) }).answer;
};
const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { status?: string; completed?: number; total?: number; error?: string });
const tags = async () => {
  const { models } = JSON.parse((await send('GET', '/api/tags')).text) as { models: { name: string }[] };
  return models.map(({ name }) => name);
};
/** Workers that announce the model. */
const copies = (name: string): number => {
  const announced = [...rig.pool.workers.values()].map(({ announcement }) => announcement);
  return announced.filter((text) => text.includes(`"name":"${name}"`)).length;
};
const publish = (model: string, more: object = {}) => {
  const file = Buffer.concat([gguf(), Buffer.from(model)]);
  const digest = registry.publish({ repository: `library/${model}`, tag: 'latest', file, ...more });
  registry.asked.splice(0);
  return { name: `${registry.host}/library/${model}`, digest };
};

it('a pull brings the model to every worker, to a shared folder once, and it answers at once', async () => {
  const { name, digest } = publish('a');
  const { status, text, headers } = await send('POST', '/api/pull', { model: name });
  expect([status, headers['content-type']]).toEqual([200, 'application/x-ndjson']);
  const lines = linesOf(text);
  expect(lines[0]).toEqual({ status: 'pulling manifest' });
  expect(lines.at(-1)).toEqual({ status: 'success' });
  const bytes = lines.flatMap(({ completed, total }) => (total === undefined ? [] : [completed]));
  expect(bytes).toEqual(bytes.toSorted((a = 0, b = 0) => a - b));
  expect(registry.asked.filter((each) => each.digest === digest)).toHaveLength(2);
  expect(await tags()).toContain(`${name}:latest`);
  await eventually('all three', () => copies(`${name}:latest`) === 3);
  const chat = { model: name, messages: [{ role: 'user', content: 'hello' }], stream: false };
  expect((await send('POST', '/api/chat', chat)).status).toBe(200);
  // What is there is not asked for again.
  registry.asked.splice(0);
  expect(linesOf((await send('POST', '/api/pull', { model: name, stream: false })).text)).toEqual([
    { status: 'success' },
  ]);
  expect(registry.asked).toEqual([]);
});

it('a pull of what has changed at its source brings the new one to all who have it, and the old one goes', async () => {
  const { name, digest } = publish('g');
  await send('POST', '/api/pull', { model: name });
  await eventually('all three', () => copies(`${name}:latest`) === 3);
  const { digest: newer } = publish('g', { file: Buffer.concat([gguf(), Buffer.from('newer')]) });
  const lines = linesOf((await send('POST', '/api/pull', { model: name })).text);
  expect(lines.at(-1)).toEqual({ status: 'success' });
  const fileOf = (of: string) => of.replace(':', '-');
  for (const folder of folders) {
    const blobs = await readdir(join(folder, 'blobs'));
    expect([blobs.includes(fileOf(newer)), blobs.includes(fileOf(digest))]).toEqual([true, false]);
  }
  const chat = { model: name, messages: [{ role: 'user', content: 'hello' }], stream: false };
  expect((await send('POST', '/api/chat', chat)).status).toBe(200);
  // What somebody put into the folder has no source.
  expect(linesOf((await send('POST', '/api/pull', { model: 'own' })).text).at(-1)).toEqual({ status: 'success' });
});

it('a worker that cannot have it is named, and the others serve it', async () => {
  full = true;
  const { name } = publish('b');
  const lines = linesOf((await send('POST', '/api/pull', { model: name })).text);
  full = false;
  expect(lines.find(({ status }) => status?.startsWith('not on w3'))?.status).toMatch(
    /the disk of .* has 0\.00 GiB free/,
  );
  expect(lines.at(-1)).toEqual({ status: 'success' });
  expect(rig.lines).toContainEqual(
    expect.objectContaining({ message: 'a worker could not pull a model', worker: 'w3' }),
  );
});

it.each([
  ['that no registry has', () => `${registry.host}/library/none`, 404, /not found/],
  ['of a host that is not named', () => 'somewhere.example.org/a/b', 403, /not pulled from somewhere\.example\.org/],
  [
    'whose bytes are wrong',
    () => publish('c', { lie: Buffer.alloc(gguf().length + 1) }).name,
    500,
    /other bytes than it promised/,
  ],
])('a pull of one %s is a true error', async (_, name, status, why) => {
  const answer = await send('POST', '/api/pull', { model: name() });
  const error = linesOf(answer.text).at(-1)?.error ?? '';
  expect([answer.status === 200 ? status : answer.status, error]).toEqual([status, expect.stringMatching(why)]);
});

it('who may not write models may not bring one, and may ask for what is there', async () => {
  const { secret: reader } = await make(rig, { scopes: ['infer', 'models:read'] });
  const by = { authorization: `Bearer ${reader}` };
  expect((await send('POST', '/api/pull', { model: publish('d').name }, by)).status).toBe(403);
  expect((await send('POST', '/api/pull', { model: 'own', stream: false }, by)).text).toBe('{"status":"success"}');
  for (const [method, path] of [
    ['DELETE', '/api/delete'],
    ['POST', '/api/copy'],
  ] as const) {
    const body = { model: 'own', source: 'own', destination: 'other' };
    expect((await send(method, path, body, by)).status).toBe(403);
  }
});

it('a copy is a second name; deleting one leaves the other, deleting both leaves nothing', async () => {
  const { name, digest } = publish('e');
  await send('POST', '/api/pull', { model: name });
  expect((await send('POST', '/api/copy', { source: name, destination: 'mine/second' })).status).toBe(200);
  expect(await tags()).toContain('mine/second:latest');
  expect((await send('DELETE', '/api/delete', { model: name })).status).toBe(200);
  const blobs = async () => (await Promise.all(folders.map((folder) => readdir(join(folder, 'blobs'))))).flat();
  expect(await blobs()).toContain(digest.replace(':', '-'));
  expect(await tags()).not.toContain(`${name}:latest`);
  expect((await send('DELETE', '/api/delete', { model: 'mine/second' })).status).toBe(200);
  expect(await blobs()).not.toContain(digest.replace(':', '-'));
  expect((await send('DELETE', '/api/delete', { model: name })).status).toBe(404);
  const own = await send('POST', '/api/copy', { source: 'own', destination: 'other' });
  expect([own.status, own.text]).toEqual([403, expect.stringMatching(/alias in MODELS_FILE/)]);
});

it('a client that leaves ends the pull on every worker', async () => {
  const { name } = publish('f');
  const before = registry.left;
  registry.fault({ kind: 'hangs', afterBytes: 10 }, { kind: 'hangs', afterBytes: 10 });
  using pull = ask(rig, { path: '/api/pull', headers: admin, body: JSON.stringify({ model: name }) });
  await registry.came(2);
  pull.leave();
  await eventually('both downloads to end', () => registry.left === before + 2);
});

it('an unload reaches every worker that has the model', async () => {
  const load = (model: string) => send('POST', '/api/generate', { model, stream: false });
  await load('own');
  const loaded = () =>
    [...rig.pool.workers.values()].filter(({ announcement }) => /"name":"own:latest","loaded":true/.test(announcement))
      .length;
  await eventually('one copy', () => loaded() >= 1);
  expect((await send('POST', '/api/generate', { model: 'own', keep_alive: 0, stream: false })).text).toContain(
    '"done_reason":"unload"',
  );
  await eventually('no copy', () => loaded() === 0);
  const isRunning = async () => (await send('GET', '/api/ps')).text.includes('"own:latest"');
  await eventually('an empty list', async () => !(await isRunning()));
});
