// The files of one model: a large one may be split into several, which llama.cpp finds by their names.
import { createHash } from 'node:crypto';
import { mkdir, symlink } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';

/** A split model's files, in order; any other model's one. */
export function partsOf(path: string): string[] {
  const [, head = '', count = '', end = ''] = /^(.*-)00001-of-(\d{5})(\.gguf)$/i.exec(path) ?? [];
  if (count === '') return [path];
  const numbers = Array.from({ length: Number(count) }, (_, index) => String(index + 1).padStart(5, '0'));
  return numbers.map((number) => `${head}${number}-of-${count}${end}`);
}

/**
 * The file by which a model of a store is opened: its one blob, or of several the first of the links that give them
 * names which follow each other. Links have a folder of their own, since Ollama clears what it does not know from `blobs`.
 */
export function pathInStore(modelsDir: string, digests: readonly string[]): string {
  const [only = ''] = digests;
  if (digests.length === 1) return blobPath(modelsDir, only);
  const all = createHash('sha256').update(digests.join(' ')).digest('hex');
  return join(modelsDir, 'parts', `sha256-${all}-00001-of-${String(digests.length).padStart(5, '0')}.gguf`);
}

/** Makes those links, as far as they are not there. */
export async function linkParts(modelsDir: string, digests: readonly string[]): Promise<void> {
  const first = pathInStore(modelsDir, digests);
  await mkdir(dirname(first), { recursive: true });
  for (const [at, part] of partsOf(first).entries()) {
    const target = relative(dirname(part), blobPath(modelsDir, digests[at] ?? ''));
    await symlink(target, part).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

/** Whether a file was pulled, and is not one that somebody put there. */
export function isStored(path: string, modelsDir: string): boolean {
  return dirname(path) === join(modelsDir, isPartOfStore(basename(path)) ? 'parts' : 'blobs');
}

export function blobPath(modelsDir: string, digest: string): string {
  return join(modelsDir, 'blobs', digest.replace(':', '-'));
}

/** Whether a file is such a link, and no model of its own. */
export function isPartOfStore(name: string): boolean {
  return /^sha256-[0-9a-f]{64}-\d{5}-of-\d{5}\.gguf$/.test(name);
}
