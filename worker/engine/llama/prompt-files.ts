// The files of the prompt cache: what lies in the folder that a worker's engines share, and room for one more.
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * An entry is `ID.kv` (the cells, in llama.cpp's format) and `ID.json` (whose tokens they are); without the second it
 * does not count. `ID.PID.BYTES.part` is there while it is written and reserves its size, cells and label together;
 * `ID.PID.busy` is the `ID.json` of an entry that is being read: whoever dies of a file leaves no entry behind.
 */
const fileName = /^(?<id>[0-9a-f]{16})\.(?:(?<pid>\d+)\.)?(?:(?<bytes>\d+)\.)?(?<kind>kv|json|part|busy)$/;

/** Entries of all models together: each costs a look at every save. */
const entriesMax = 1_000;

interface Stored {
  folder: string;
  id: string;
  bytes: number;
  usedMs: number;
  /** In the hands of a process that lives. */
  held: boolean;
  /** Has lost its process, or its other half. */
  broken: boolean;
}

/**
 * Removes the least recently used entries until the folder keeps within its bound, reservations included. Engines that
 * do this at once see each other's reservations, so the bound holds for all of them together.
 *
 * @returns whether it does
 */
export async function makeRoom(root: string, bytesMax: number): Promise<boolean> {
  const all = await stored(root);
  let bytes = all.reduce((sum, entry) => sum + entry.bytes, 0);
  let count = all.length;
  const oldestFirst = all
    .filter(({ held }) => !held)
    .toSorted((a, b) => Number(b.broken) - Number(a.broken) || a.usedMs - b.usedMs);
  for (const entry of oldestFirst) {
    if (!entry.broken && bytes <= bytesMax && count <= entriesMax) break;
    await removeEntry(entry.folder, entry.id);
    bytes -= entry.bytes;
    count -= 1;
  }
  return bytes <= bytesMax && count <= entriesMax;
}

/** Removes what is left of entries that were being written or read when their process ended. */
export async function sweepFolder(folder: string): Promise<void> {
  for (const { id, broken } of await storedIn(folder)) if (broken) await removeEntry(folder, id);
}

/** All files of an entry, whatever their names are by now. */
export async function removeEntry(folder: string, id: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) if (name.startsWith(`${id}.`)) await rm(join(folder, name), { force: true });
}

async function stored(root: string): Promise<Stored[]> {
  const folders = await readdir(root, { withFileTypes: true });
  const lists = folders.filter((entry) => entry.isDirectory()).map(({ name }) => storedIn(join(root, name)));
  return (await Promise.all(lists)).flat();
}

async function storedIn(folder: string): Promise<Stored[]> {
  const entries = new Map<string, Stored & { reserved: number; halves: Set<string> }>();
  for (const name of await readdir(folder)) {
    const { id, pid, bytes = '0', kind = '' } = fileName.exec(name)?.groups ?? {};
    if (id === undefined) continue;
    const info = await stat(join(folder, name)).catch(() => null);
    // What a name reserves counts although the file is gone by now: then what it was for has taken its place.
    if (info === null && kind !== 'part') continue;
    const blank = {
      folder,
      id,
      bytes: 0,
      usedMs: 0,
      held: false,
      broken: false,
      reserved: 0,
      halves: new Set<string>(),
    };
    const entry = entries.get(id) ?? blank;
    entries.set(id, entry);
    entry.bytes += info?.size ?? 0;
    entry.reserved = Math.max(entry.reserved, Number(bytes));
    if (kind !== 'kv') entry.usedMs = info?.mtimeMs ?? 0;
    entry.halves.add(kind);
    if (pid !== undefined) entry.held ||= lives(Number(pid));
  }
  for (const entry of entries.values()) {
    entry.bytes = Math.max(entry.bytes, entry.reserved);
    // The moment of a rename looks broken too: whoever loses an entry to it loses a speed-up.
    entry.broken = !entry.held && !(entry.halves.has('kv') && entry.halves.has('json'));
  }
  return [...entries.values()];
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
