// Prompts that have lost their sequence, kept in files: KV cells that survive the reuse of a slot and an unload.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PromptCacheOptions } from '../engine.ts';
import type { Binding } from './binding.ts';
import { said } from './load.ts';
import { beginsWith } from './prefix.ts';
import type { CachedTokens } from './prefix.ts';
import { makeRoom, removeEntry, sweepFolder } from './prompt-files.ts';

export interface SavedPrefix extends CachedTokens {
  readonly id: string;
  readonly scope: string;
  readonly tokens: Uint32Array;
  readonly bytes: number;
  /** When the cells were written, by the file system, in nanoseconds: any later change shows in it. */
  readonly changedNs: string;
}

/** Never rejects: what fails costs the speed-up and nothing else. Nothing of it may overlap a batch. */
export interface PromptCache {
  saved(): readonly SavedPrefix[];
  /** True when a file has all of it already. */
  has(content: CachedTokens): boolean;
  /** What saving this many tokens takes, as far as is known. */
  saveMs(tokens: number): number;
  save(sequence: number, content: { scope: string; tokens: readonly number[] }): Promise<void>;
  /** Reads the cells into a sequence. @returns false when they are not there: the sequence's content is unknown then */
  restore(sequence: number, saved: SavedPrefix): Promise<boolean>;
}

interface Outside extends PromptCacheOptions {
  /** Whatever the cells depend on: model file, context, version of the engine. */
  identity: readonly unknown[];
  binding: Pick<Binding, 'cellBytes' | 'save' | 'load'>;
  now: () => number;
  note: (message: string) => void;
}

/** Written to RAM, measured (research on the binding: 1.6 GB/s), until this machine has shown its own speed. */
const bytesPerMsAtFirst = 1.6e6;
/** Smaller files tell more about the file system than about its speed. */
const timedBytesMin = 2 ** 20;
const speedWeight = 0.2;

/** Reads what an earlier engine process of the same model has left. */
export async function openPromptCache(outside: Outside): Promise<PromptCache> {
  const { folder: root, bytesMax, identity, binding, now, note } = outside;
  const folder = join(root, createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32));
  const entries = new Map<string, SavedPrefix>();
  let bytesPerToken = binding.cellBytes;
  /** Some models' files have a size that hardly depends on the tokens. */
  let fewestBytes: number | null = null;
  let bytesPerMs = bytesPerMsAtFirst;
  let complained = false;

  const complain = (doing: string, error: unknown): void => {
    if (!complained) note(`the prompt cache cannot ${doing}, which costs its speed-up only: ${said(error)}`);
    complained = true;
  };
  const forget = async (id: string): Promise<void> => {
    entries.delete(id);
    await removeEntry(folder, id);
  };

  const expectedBytes = (tokens: number): number => Math.max(tokens * bytesPerToken, fewestBytes ?? 0);
  const write = async (sequence: number, scope: string, tokens: Uint32Array): Promise<void> => {
    const id = randomBytes(8).toString('hex');
    const path = join(folder, `${id}.kv`);
    try {
      let reserved = await reserve(folder, id, labelBytes(scope, tokens) + expectedBytes(tokens.length));
      if (!(await makeRoom(root, bytesMax))) return await forget(id);
      const startedAt = now();
      await writeFile(path, '', { mode: 0o600, flag: 'wx' });
      const bytes = await binding.save(sequence, path, tokens);
      if (bytes >= timedBytesMin) bytesPerMs += speedWeight * (bytes / Math.max(1, now() - startedAt) - bytesPerMs);
      bytesPerToken = bytes / tokens.length;
      fewestBytes = Math.min(fewestBytes ?? bytes, bytes);
      reserved = await reserve(folder, id, labelBytes(scope, tokens) + bytes, reserved);
      if (!(await makeRoom(root, bytesMax))) return await forget(id);
      const entry = { id, scope, tokens, bytes, changedNs: await changedNs(path, bytes) };
      await writeEntry(folder, entry);
      await rm(reserved);
      entries.set(id, entry);
    } catch (error) {
      await forget(id);
      throw error;
    }
  };

  const read = async (sequence: number, { id, tokens, bytes, ...saved }: SavedPrefix): Promise<boolean> => {
    const path = join(folder, `${id}.kv`);
    if ((await changedNs(path, bytes)) !== saved.changedNs) throw new Error('a file of it was changed');
    // Out of the index while it is read: a process that dies of it must not meet it again.
    const [label, busy] = [join(folder, `${id}.json`), join(folder, `${id}.${process.pid}.busy`)];
    await rename(label, busy);
    const loaded = await binding.load(sequence, path);
    if (loaded.join() !== tokens.join()) throw new Error('a file of it holds other tokens than it should');
    await rename(busy, label);
    await utimes(label, new Date(), new Date());
    return true;
  };

  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await sweepFolder(folder);
    for (const entry of await readEntries(folder)) entries.set(entry.id, entry);
  } catch (error) {
    complain('be opened', error);
  }
  return {
    saved: () => [...entries.values()],
    has: (content) => [...entries.values()].some((entry) => beginsWith(entry, content)),
    saveMs: (tokens) => (tokens * bytesPerToken) / bytesPerMs,
    save: async (sequence, { scope, tokens }) => {
      try {
        const outdone = [...entries.values()].filter((entry) => beginsWith({ scope, tokens }, entry));
        await write(sequence, scope, Uint32Array.from(tokens));
        for (const { id } of outdone) await forget(id);
      } catch (error) {
        complain('be written', error);
      }
    },
    restore: async (sequence, saved) => {
      try {
        return await read(sequence, saved);
      } catch (error) {
        complain('be read', error);
        await forget(saved.id);
        return false;
      }
    },
  };
}

/** @throws Error when the file has another size */
async function changedNs(path: string, bytes: number): Promise<string> {
  const { size, ctimeNs } = await stat(path, { bigint: true });
  if (size !== BigInt(bytes)) throw new Error(`a file of it has ${size} bytes instead of ${bytes}`);
  return String(ctimeNs);
}

/** Says by its name that an entry is going to have so many bytes. @param before what said so until now @returns the file */
async function reserve(folder: string, id: string, bytes: number, before?: string): Promise<string> {
  const file = join(folder, `${id}.${process.pid}.${Math.ceil(bytes)}.part`);
  if (before === file) return file;
  await writeFile(file, '', { mode: 0o600 });
  if (before !== undefined) await rm(before);
  return file;
}

/** The most that an entry's label may have. */
function labelBytes(scope: string, tokens: Uint32Array): number {
  const [longest, longestTime] = [Number.MAX_SAFE_INTEGER, '9'.repeat(20)];
  return Buffer.byteLength(labelOf({ id: '', scope, tokens, bytes: longest, changedNs: longestTime }));
}

function labelOf({ id: _id, tokens, ...entry }: SavedPrefix): string {
  return JSON.stringify({ ...entry, tokens: Array.from(tokens) });
}

/** The file appears whole or not at all. */
async function writeEntry(folder: string, entry: SavedPrefix): Promise<void> {
  const { id } = entry;
  const part = join(folder, `${id}.${process.pid}.0.part`);
  await writeFile(part, labelOf(entry), { mode: 0o600 });
  await rename(part, join(folder, `${id}.json`));
}

async function readEntries(folder: string): Promise<SavedPrefix[]> {
  const ids = (await readdir(folder)).flatMap((name) => /^([0-9a-f]{16})\.json$/.exec(name)?.[1] ?? []);
  const read = async (id: string): Promise<SavedPrefix[]> => {
    try {
      const { scope, tokens, bytes, changedNs } = JSON.parse(await readFile(join(folder, `${id}.json`), 'utf8'));
      return [{ id, scope: String(scope), tokens: Uint32Array.from(tokens), bytes, changedNs }];
    } catch {
      await removeEntry(folder, id);
      return [];
    }
  };
  return (await Promise.all(ids.map(read))).flat();
}
