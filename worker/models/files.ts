// Which model files there are: the .gguf files below MODELS_DIR, and what Ollama's own store there names.
import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Problem } from '@berth/shared/announcement.ts';
import { reasonOf } from '../reason.ts';
import { noDefaults } from './defaults.ts';
import { isPartOfStore } from './parts.ts';
import { readStore } from './store.ts';
import type { StoredModel } from './store.ts';

/** A file, and what the model in it is called. */
export type ModelFile = StoredModel;

export interface Found {
  files: ModelFile[];
  /** Why there are none. */
  problem: string | null;
  /** Models that cannot be served. */
  others: Problem[];
}

const filesMax = 10_000;
const depthMax = 8;

/** A name with its tag: `x` is `x:latest`, as in Ollama. Upper and lower case differ. */
function canonicalName(name: string): string {
  return name.includes(':') ? name : `${name}:latest`;
}

/** The name of a model file: its own name without `.gguf`, and without the number of a split file's first part. */
export function nameOfFile(path: string): string {
  return canonicalName(basename(path).replace(/(-00001-of-\d{5})?\.gguf$/i, ''));
}

export function fileAt(path: string): ModelFile {
  return { name: nameOfFile(path), path, defaults: noDefaults, adapters: [] };
}

/** Ollama's store, and the .gguf files in a folder and its folders, sorted; only the first part of a split model. */
export async function modelFiles(modelsDir: string | null): Promise<Found> {
  const nothing = { files: [], others: [] };
  if (modelsDir === null) return { ...nothing, problem: 'MODELS_DIR is not set' };
  try {
    if ((await stat(modelsDir)).isFile()) return { ...nothing, files: [fileAt(modelsDir)], problem: null };
    const paths: string[] = [];
    await walk(modelsDir, 0, paths);
    const { models, problems } = (await readStore(modelsDir)) ?? { models: [], problems: [] };
    return { files: [...models, ...paths.toSorted().map(fileAt)], problem: null, others: problems };
  } catch (error) {
    return { ...nothing, problem: `MODELS_DIR ${modelsDir} cannot be read (${reasonOf(error)})` };
  }
}

async function walk(folder: string, depth: number, paths: string[]): Promise<void> {
  for (const entry of await readdir(folder)) {
    const path = join(folder, entry);
    if (paths.length >= filesMax) return;
    // What vanished or may not be looked at is passed over; only the folder itself must be readable.
    const info = await (depth < depthMax ? stat(path) : lstat(path)).catch(() => null);
    if (info?.isDirectory() === true && depth < depthMax) await walk(path, depth + 1, paths).catch(() => undefined);
    else if (info?.isFile() === true && isModelFile(entry)) paths.push(path);
  }
}

function isModelFile(name: string): boolean {
  const part = /-(\d{5})-of-\d{5}\.gguf$/i.exec(name);
  return /\.gguf$/i.test(name) && (part === null || part[1] === '00001') && !isPartOfStore(name);
}
