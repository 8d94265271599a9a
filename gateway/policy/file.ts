// The file of a gateway's policy: JSON, for its owner only, replaced whole and never half written.
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { Entry } from './registers.ts';

/** @throws Error that names the file and says what to do when it holds something else */
export async function readEntries(path: string): Promise<Map<string, Entry>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
    throw new Error(`${path} cannot be read: ${error.message}`, { cause: error });
  });
  if (text === null) return new Map();
  try {
    const parsed = JSON.parse(text) as unknown;
    if (!isObject(parsed)) throw new Error('it is no object');
    return new Map(Object.entries(parsed).map(([name, entry]) => [name, entryOf(entry)]));
  } catch (error) {
    throw new Error(`${path} is damaged (${(error as Error).message}): bring back a copy, or delete it to begin anew`, {
      cause: error,
    });
  }
}

function entryOf(value: unknown): Entry {
  if (!isObject(value) || typeof value['revision'] !== 'number') throw new Error('an entry has no revision');
  return { revision: value['revision'], value: value['value'] };
}

/** Several processes may share a folder: what another one wrote since is kept where it is newer. */
export async function writeEntries(path: string, held: ReadonlyMap<string, Entry>): Promise<void> {
  const merged = await readEntries(path);
  for (const [name, entry] of held) {
    if (entry.revision >= (merged.get(name)?.revision ?? -1)) merged.set(name, entry);
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(4).toString('hex')}`;
  {
    await using file = await open(draft, 'wx', 0o600);
    await file.writeFile(`${JSON.stringify(Object.fromEntries(merged), null, 1)}\n`);
    // After a power cut the new name must not lead to an empty file.
    await file.sync();
  }
  await rename(draft, path);
}

/** A name for this folder, made at the first look and the same ever after; of a folder that keeps nothing, a new one. */
export async function nodeName(path: string): Promise<string> {
  const known = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (/^[0-9a-f]{16}$/.test(known)) return known;
  const fresh = randomBytes(8).toString('hex');
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    .then(() => writeFile(path, `${fresh}\n`, { mode: 0o600 }))
    .catch(() => {});
  return fresh;
}
