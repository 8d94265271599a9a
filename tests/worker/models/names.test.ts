// The name of a model is a name: looked up among those that were found, and never a way to a file.
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { aWorker, chat } from '../a-worker.ts';
import type { TestWorker } from '../a-worker.ts';
import { gguf } from '../gguf-file.ts';

let folder = '';
let outside = '';
let worker: TestWorker;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-names-'));
  outside = await mkdtemp(join(tmpdir(), 'berth-outside-'));
  await mkdir(join(folder, 'inner'));
  for (const path of ['m.gguf', 'inner/deep.gguf']) await writeFile(join(folder, path), gguf());
  for (const path of ['secret.gguf', 'linked.gguf']) await writeFile(join(outside, path), gguf());
  await symlink(join(outside, 'linked.gguf'), join(folder, 'chosen.gguf'));
  await symlink('/etc/passwd', join(folder, 'passwd.gguf'));
  await symlink(join(folder, 'loop.gguf'), join(folder, 'loop.gguf'));
  worker = await aWorker({ modelsDir: folder, clock: systemClock });
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  for (const path of [folder, outside]) await rm(path, { recursive: true, force: true });
});

/** Ways to say "that file over there", for a file that is one and would load. */
function ways(file: string): string[] {
  const back = relative(folder, file);
  const bare = back.replace(/\.gguf$/, '');
  return [
    file,
    file.replace(/\.gguf$/, ''),
    `file://${file}`,
    back,
    bare,
    `inner/../${back}`,
    `m/../${bare}`,
    `m.gguf/../${back}`,
    back.replaceAll('../', '..%2f'),
    back.replaceAll('../', '%2e%2e/'),
    back.replaceAll('../', '..\\'),
    back.replaceAll('../', '....//'),
    back.replaceAll('../', '..%c0%af'),
    back.replaceAll('../', '..;/'),
    `./${back}`,
    `/proc/self/root${file}`,
    `/proc/self/cwd/${back}`,
    `${file}\0`,
    `${file}\0.gguf`,
    `m\0${back}`,
    `m:latest/../${back}`,
    `m:../${back}`,
    `~/${back}`,
    `$HOME/${back}`,
    `$(cat ${file})`,
    `sha256:${'a'.repeat(64)}/../${back}`,
  ];
}

const strange = [
  '.',
  '..',
  '/',
  '//',
  '\\',
  '*',
  '?',
  '%00',
  '\0',
  '\n',
  'm\n',
  'm ',
  ' m',
  'M',
  'm.gguf',
  'inner/deep',
];
const objects = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype'];
const devices = ['/dev/stdin', '/dev/zero', '/proc/self/environ', 'con', 'nul', 'aux.gguf'];

test('only the names that were found are models: none of these is, and nothing is opened for it', async () => {
  const names = [...ways(join(outside, 'secret.gguf')), ...ways('/etc/passwd'), ...strange, ...objects, ...devices];
  for (const name of names) {
    for (const path of ['/v1/chat/completions', '/api/chat', '/api/show']) {
      const body = path === '/api/show' ? { model: name } : { ...chat('hello'), model: name };
      const { status, body: text } = await worker.call({ path, body, model: name });
      // A name that cannot stand in a line is refused as such.
      expect([name, path, [400, 404].includes(status), text]).toEqual([name, path, true, text]);
    }
  }
  expect(worker.echo.openNow).toBe(0);
  expect(names.length).toBeGreaterThan(75);
});

test('what the operator linked into the folder is his choice; a link to no model, or to itself, is none', async () => {
  const models = worker.announcement().models.map(({ name }) => name);
  expect(models.toSorted()).toEqual(['chosen:latest', 'deep:latest', 'm:latest']);
  expect((await worker.call({ body: { ...chat('hello'), model: 'chosen' }, model: 'chosen:latest' })).status).toBe(200);
});
