// Who asks: the key of a request, compared in constant time against the digests of the known keys.
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
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

/** 16 to 256 characters that every header, shell and file carries as they are. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9._-]{16,256}$/.test(text);
}

/** Without keys everyone is one team with one key. */
export const openDoor: Authenticate = () => ({ team: 'everyone', key: 'anyone' });

/**
 * @param keys the secrets that clients may use; only their digests are kept
 * @throws RangeError when one is no key
 */
export function createAuthenticate(keys: readonly string[]): Authenticate {
  if (!keys.every(isKey))
    throw new RangeError('a key must have 16 to 256 letters, digits, dots, dashes or underscores');
  const known = keys.map((key) => ({ digest: digestOf(key), id: digestOf(key).toString('hex').slice(0, 8) }));
  return (headers) => {
    // Whoever sends two credentials needs both right: a wrong one never passes because of the other.
    const [found, ...others] = credentialsOf(headers).map((credential) => keyOf(known, credential));
    if (!found || others.includes(undefined)) {
      throw new Refusal('unauthorized', 'a valid API key is needed: send it as "Authorization: Bearer KEY"');
    }
    return { team: 'default', key: found.id };
  };
}

interface Known {
  digest: Buffer;
  id: string;
}

function keyOf(known: readonly Known[], credential: string): Known | undefined {
  const given = digestOf(credential.slice(0, credentialMax));
  // Every key is compared, so that the time taken says nothing about which one came close.
  return known.filter(({ digest }) => timingSafeEqual(digest, given))[0];
}

/** The bearer first, which says whose request it is. Other schemes belong to proxies in front, and are not looked at. */
function credentialsOf(headers: Parameters<Authenticate>[0]): string[] {
  const [, bearer = ''] = /^bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  const apiKey = headers['x-api-key'];
  return [bearer, typeof apiKey === 'string' ? apiKey : ''].filter((credential) => credential !== '');
}

function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/**
 * The key in `folder`, made at the first start and readable by its owner only.
 * @throws Error when the file holds something else: an empty key would open the door to everyone
 */
export async function keptKey(folder: string): Promise<{ key: string; path: string }> {
  const path = join(folder, 'key');
  const kept = await readKey(path);
  if (kept !== null) return { key: kept, path };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Written under another name first: who starts at the same moment finds a whole key or none.
  const draft = `${path}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, `berth_${randomBytes(24).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await unlink(draft);
  return keptKey(folder);
}

async function readKey(path: string): Promise<string | null> {
  try {
    const key = (await readFile(path, 'utf8')).trim();
    if (!isKey(key)) throw new Error(`${path} holds no key: delete it, and a new one is made`);
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
}
