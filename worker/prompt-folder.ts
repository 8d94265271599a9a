// The folder in which a worker's engines keep prompts: in RAM where there is room, private, and gone with the worker.
import { lstat, mkdtemp, readdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '@berth/shared/log.ts';
import type { PromptCacheOptions } from './engine/engine.ts';
import { reasonOf } from './reason.ts';

export interface PromptFolderOptions {
  /** Folders to make it in, the best first. */
  places: readonly string[];
  /** 0 = no folder. */
  bytesMax: number;
  /** Memory that this process may still use. */
  memoryFreeBytes: number;
  log: Log;
}

/** `statfs` of a file system in memory (Linux, `TMPFS_MAGIC`). */
const tmpfsType = 0x01021994;
/** Files in RAM may take no more than this share of what is free: the models need the rest. */
const memoryShareMax = 0.5;

/** Makes the folder and clears those of workers that have died. `null` = there is no room anywhere, and the log says so. */
export async function openPromptFolder(options: PromptFolderOptions): Promise<PromptCacheOptions | null> {
  const { places, bytesMax, memoryFreeBytes, log } = options;
  for (const place of new Set(places)) await clearDead(place);
  if (bytesMax === 0) return null;
  const reasons: string[] = [];
  for (const place of new Set(places)) {
    const reason = await whyNot(place, bytesMax, memoryFreeBytes);
    if (reason === null) return await make(place, bytesMax, log);
    reasons.push(`${place} ${reason}`);
  }
  log.warn(`no room for the prompt cache (${reasons.join('; ')}): lower PROMPT_CACHE_BYTES to have one`, { bytesMax });
  return null;
}

async function make(place: string, bytesMax: number, log: Log): Promise<PromptCacheOptions> {
  const owner = `${process.pid}-${(await bornAt(process.pid)) ?? '0'}`;
  const folder = await mkdtemp(join(place, `berth-prompts-${owner}-`)); // readable for this user only
  log.info('prompts are kept in files', { folder, bytesMax });
  return { folder, bytesMax };
}

async function whyNot(place: string, bytesMax: number, memoryFreeBytes: number): Promise<string | null> {
  try {
    const { type, bavail, bsize } = await statfs(place);
    if (bavail * bsize < bytesMax) return `has ${bavail * bsize} bytes free`;
    if (type !== tmpfsType || bytesMax <= memoryFreeBytes * memoryShareMax) return null;
    return `is in memory, of which ${memoryFreeBytes} bytes are free`;
  } catch (error) {
    return `cannot be used (${reasonOf(error)})`;
  }
}

const folderName = /^berth-prompts-(\d+)-(\d+)-\w+$/;

/** Removes the folders of this user's workers that are gone. Never rejects. */
async function clearDead(place: string): Promise<void> {
  for (const name of await readdir(place).catch(() => [])) {
    const [, pid = '', born = ''] = folderName.exec(name) ?? [];
    if (pid === '' || (await lives(Number(pid), born))) continue;
    const path = join(place, name);
    const info = await lstat(path).catch(() => null);
    if (info?.isDirectory() === true && info.uid === process.getuid?.())
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Process numbers come again, so the moment of birth has to be the same too, where the system tells it. */
async function lives(pid: number, born: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const bornNow = await bornAt(pid);
  return bornNow === null || bornNow === born;
}

/** When a process started, in ticks since boot: the 22nd field, after a name that may hold spaces (proc(5)). */
async function bornAt(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}
