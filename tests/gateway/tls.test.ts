// HTTPS from files: a renewed certificate is taken without a restart, and one that does not fit takes nothing away.
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readCertificate } from '@berth/shared/tls.ts';
import { chat, startRig, until } from './rig.ts';
import type { Rig } from './rig.ts';

let folder = '';
const files = () => ({ certPath: join(folder, 'tls.crt'), keyPath: join(folder, 'tls.key') });
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-tls-'));
  await use('first');
});
afterEach(() => rm(folder, { recursive: true }));

async function use(name: string, keyOf = name): Promise<void> {
  await copyFile(join(import.meta.dirname, 'tls', `${name}.crt`), files().certPath);
  await copyFile(join(import.meta.dirname, 'tls', `${keyOf}.key`), files().keyPath);
}

/** The name in the certificate that a new connection is shown. */
async function shown({ port }: Rig): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

it('answers over TLS, and takes a renewed certificate within 10 s; one without its key leaves the old one', async () => {
  await using rig = await startRig({ options: { tls: files() } });
  const { promise, resolve } = Promise.withResolvers<number>();
  const asked = request(
    { port: rig.port, host: '127.0.0.1', method: 'POST', path: '/v1/chat/completions', rejectUnauthorized: false },
    (reply) => {
      reply.resume();
      resolve(reply.statusCode ?? 0);
    },
  );
  asked.end(chat());
  expect(await promise).toBe(200);
  expect(await shown(rig)).toBe('berth-first');

  await use('second', 'first');
  await rig.clock.advance(10_000);
  await until('it says so', () => rig.lines.some(({ message }) => message === 'the old certificate stays in use'));
  expect(await shown(rig)).toBe('berth-first');

  await use('second');
  await rig.clock.advance(10_000);
  await until('it is taken', () => rig.lines.some(({ message }) => message === 'a new certificate is used'));
  expect(await shown(rig)).toBe('berth-second');
});

it.each([
  ['a key of another', () => use('first', 'second'), 'is not that of the certificate'],
  ['no certificate', () => writeFile(files().certPath, 'nothing'), 'as PEM'],
  ['no file', () => rm(files().keyPath), 'TLS_KEY cannot be read'],
])('%s is no start', async (_what, change, words) => {
  await change();
  await expect(readCertificate(files())).rejects.toThrow(words);
});
