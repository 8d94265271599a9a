// Who asks: the key of a request, compared in constant time against the digests of the known keys.
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders } from 'node:http';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { Refusal } from '@berth/shared/outcome.ts';
import type { KeyBook } from './policy/book.ts';
import { allRights } from './policy/key.ts';
import type { Caller, Key, Rights } from './policy/key.ts';
import type { Network } from './policy/networks.ts';
import type { Holder } from './policy/sessions.ts';

/** Longest credential that is looked at, in characters. */
const credentialMax = 1_024;

/** How a request came: its method (`UPGRADE` for a WebSocket), who is at the other end of the connection. */
export interface Came {
  method: string;
  peer: string;
  /** `null` = not known. */
  scheme: 'http:' | 'https:' | null;
  rawHeaders: readonly string[];
}

/** @param address of the client, when it is known @throws Refusal `unauthorized` */
export type Authenticate = (headers: IncomingHttpHeaders, address?: string, came?: Came) => Caller;

/** 16 to 256 characters that every header, shell and file carries as they are. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9._-]{16,256}$/.test(text);
}

const everyone: Caller = { team: 'everyone', key: 'anyone', id: 'anyone', rights: allRights };

/** Without keys everyone is one team with one key. */
export const openDoor: Authenticate = () => everyone;

export interface Door {
  book: KeyBook;
  now: () => number;
  /** Whether everyone may come in while nobody has made a key. */
  open?: boolean;
  /** The caller at an address that needs no key, or `null`. */
  network?: (address: string) => Caller | null;
}

/**
 * @param keys the secrets of the settings, which may do everything; only their digests are kept
 * @throws RangeError when one is no key
 */
export function createAuthenticate(keys: readonly string[], door?: Door): Authenticate {
  if (!keys.every(isKey))
    throw new RangeError('a key must have 16 to 256 letters, digits, dots, dashes or underscores');
  const known = keys.map((key): { digest: Buffer; caller: Caller } => {
    const id = digestOf(key).toString('hex').slice(0, 8);
    return { digest: digestOf(key), caller: { team: 'default', key: id, id, rights: allRights } };
  });
  const callerOf = (credential: string, headers: IncomingHttpHeaders): Caller | null => {
    const given = digestOf(credential.slice(0, credentialMax));
    // Every key is compared, so that the time taken says nothing about which one came close.
    const [found] = known.filter(({ digest }) => timingSafeEqual(digest, given));
    const made = door ? keyOf(door, credential, given) : null;
    return found?.caller ?? (made && callerWith(made, headers));
  };
  return (headers, address) => {
    if (door?.open === true && !door.book.used) return everyone;
    const credentials = credentialsOf(headers);
    // Whoever sends two credentials needs both right: a wrong one never passes because of the other. And a wrong one
    // never counts as none: that would hide that a key has expired.
    const [caller, ...others] = credentials.map((credential) => callerOf(credential, headers));
    if (caller && !others.includes(null)) return caller;
    const near = credentials.length === 0 && address !== undefined ? door?.network?.(address) : null;
    if (near) return near;
    throw new Refusal('unauthorized', 'a valid API key is needed: send it as "Authorization: Bearer KEY"');
  };
}

/** The caller of a key by its id, for a session; the tag changes with the key's secret. */
export function createHolder(keys: readonly string[], door: Door): Holder {
  const settings = new Map(keys.map((key) => [digestOf(key).toString('hex').slice(0, 8), digestOf(key)]));
  return (id) => {
    const digest = settings.get(id)?.toString('hex');
    if (digest !== undefined) return { caller: { team: 'default', key: id, id, rights: allRights }, tag: digest };
    if (id === everyone.id) return door.open === true && !door.book.used ? { caller: everyone, tag: '' } : null;
    const key = door.book.get(id);
    if (!key || key.revokedMs !== null || (key.expiresMs ?? Infinity) <= door.now()) return null;
    return { caller: callerWith(key, {}), tag: key.digest };
  };
}

/** Compared with when there is no such key, so that an unknown id takes as long as a known one. */
const nobodys = Buffer.alloc(32);

function keyOf({ book, now }: Door, credential: string, given: Buffer): Key | null {
  const [, id = ''] = /^berth_([0-9a-f]{12})\./.exec(credential) ?? [];
  const key = book.get(id);
  const current = timingSafeEqual(key ? Buffer.from(key.digest, 'hex') : nobodys, given);
  const before = timingSafeEqual(key?.previous ? Buffer.from(key.previous.digest, 'hex') : nobodys, given);
  if (!key || key.revokedMs !== null || (key.expiresMs ?? Infinity) <= now()) return null;
  return current || (before && (key.previous?.untilMs ?? 0) > now()) ? key : null;
}

/** Longest name of an end user that is looked at, in characters. */
const endUserMax = 256;

/** Where the key's holder is trusted to name its users, each of them is a line of its own in the queue. */
function callerWith(key: Key, headers: IncomingHttpHeaders): Caller {
  const named = key.endUserHeader === null ? undefined : headers[key.endUserHeader];
  const user = typeof named === 'string' && named !== '' ? named.slice(0, endUserMax) : null;
  // A digest: names of people go neither to Redis nor to the log.
  const line = user === null ? key.id : `${key.id}/${digestOf(user).toString('hex').slice(0, 12)}`;
  const { team, id, weight, priorityMax, waitingMax } = key;
  return { team, key: line, id, rights: key, weight, priorityMax, waitingMax };
}

/** Clients of these networks that send no key may infer and see the models; each address is a line of its own. */
export function allowNetworks(networks: readonly Network[]): (address: string) => Caller | null {
  const rights: Rights = { ...allRights, scopes: ['infer', 'models:read'], priorityMax: 1 };
  return (address) => {
    const network = networks.find(({ has }) => has(address));
    if (!network) return null;
    return {
      team: network.word ?? 'network',
      key: `net/${address}`,
      id: 'net',
      rights,
      priorityMax: 1,
    };
  };
}

/** Whether a request names a key, right or wrong: an empty one, or credentials for a proxy in front, are none. */
export function sendsKey(headers: IncomingHttpHeaders): boolean {
  return credentialsOf(headers).length > 0;
}

/** The bearer first, which says whose request it is. Other schemes belong to proxies in front, and are not looked at. */
function credentialsOf(headers: IncomingHttpHeaders): string[] {
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
