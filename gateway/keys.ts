// Who asks: the key of a request, compared in constant time against the digests of the known keys.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Owner } from './job.ts';

/** Longest credential that is looked at, in characters. */
const credentialMax = 1_024;

/** @throws Refusal `unauthorized` */
export type Authenticate = (headers: {
  authorization?: string | undefined;
  'x-api-key'?: string | string[] | undefined;
}) => Owner;

/** Without keys everyone is one team with one key. */
export const openDoor: Authenticate = () => ({ team: 'everyone', key: 'anyone' });

/** @param keys the secrets that clients may use; only their digests are kept */
export function createAuthenticate(keys: readonly string[]): Authenticate {
  const known = keys.map((key) => ({ digest: digestOf(key), id: digestOf(key).toString('hex').slice(0, 8) }));
  return (headers) => {
    const given = digestOf(credentialOf(headers));
    // Every key is compared, so that the time taken says nothing about which one came close.
    const [found] = known.filter(({ digest }) => timingSafeEqual(digest, given));
    if (!found) {
      throw new Refusal('unauthorized', 'a valid API key is needed: send it as "Authorization: Bearer KEY"');
    }
    return { team: 'default', key: found.id };
  };
}

function credentialOf(headers: Parameters<Authenticate>[0]): string {
  const [, bearer] = /^bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  const apiKey = headers['x-api-key'];
  return (bearer ?? (typeof apiKey === 'string' ? apiKey : '')).slice(0, credentialMax);
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** The key in `folder`, made at the first start and readable by its owner only. */
export async function keptKey(folder: string): Promise<{ key: string; path: string }> {
  const path = join(folder, 'key');
  try {
    return { key: (await readFile(path, 'utf8')).trim(), path };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const key = `berth_${randomBytes(24).toString('base64url')}`;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(path, `${key}\n`, { mode: 0o600, flag: 'wx' });
  return { key, path };
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
