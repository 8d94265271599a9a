// What changes the models on a worker's disk: one is deleted, or gets a second name. Nothing beyond MODELS_DIR is touched.
import { readFile, readdir, realpath, rm, rmdir } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { Refusal } from '@berth/shared/outcome.ts';
import { reasonOf } from '../reason.ts';
import type { Model } from './catalog.ts';
import { manifestPath, storeNameOf } from './names.ts';
import { blobPath, isStored, partsOf, pathInStore } from './parts.ts';
import { partDigests } from './store.ts';
import { writeWhole } from './whole-file.ts';

/**
 * A model of the store loses its manifest, and the files that no other manifest names; any other its own files.
 * @param wanted digests of files that a pull needs
 * @throws Refusal `forbidden`, or what the system says
 */
export async function removeModel(
  model: Pick<Model, 'name' | 'path'>,
  modelsDir: string | null,
  wanted: ReadonlySet<string>,
): Promise<void> {
  if (modelsDir === null || !(await isBelow(model.path, modelsDir)))
    throw new Refusal('forbidden', `${model.name} is not in MODELS_DIR of this worker, and stays`);
  if (!isStored(model.path, modelsDir)) return await removeAll(partsOf(model.path));
  const manifests = join(modelsDir, 'manifests');
  const manifest = join(manifests, manifestPath(storeNameOf(model.name)));
  const own = await readFile(manifest, 'utf8').catch(() => '');
  await removeAll([manifest]);
  // Its folders, as long as they are empty.
  for (let folder = dirname(manifest); folder !== manifests; folder = dirname(folder)) {
    const wasEmpty = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!wasEmpty) break;
  }
  await removeUnused(own, modelsDir, wanted);
}

/** Removes what a manifest named that is gone, as far as no other one names it. An engine that has it open keeps it. */
export async function removeUnused(manifest: string, modelsDir: string, wanted: ReadonlySet<string>): Promise<void> {
  const others = await digestsOf(join(modelsDir, 'manifests'));
  const unused = digestsIn(manifest).filter((digest) => !others.has(digest) && !wanted.has(digest));
  const parts = partDigests(manifest);
  if (parts.some((digest) => unused.includes(digest))) await removeAll(partsOf(pathInStore(modelsDir, parts)));
  await removeAll(unused.map((digest) => blobPath(modelsDir, digest)));
}

/** A second name for a model of the store; files are shared. @throws Refusal for a model that is a plain file */
export async function copyModel(model: Model, destination: string, modelsDir: string | null): Promise<void> {
  if (modelsDir === null || !isStored(model.path, modelsDir)) {
    const advice = 'give it another name with an alias in MODELS_FILE';
    throw new Refusal('forbidden', `${model.name} is a file of its own, not in a store of models: ${advice}`);
  }
  const manifests = join(modelsDir, 'manifests');
  const text = await readFile(join(manifests, manifestPath(storeNameOf(model.name))), 'utf8');
  await writeWhole(join(manifests, manifestPath(storeNameOf(destination))), text);
}

/** Links are followed: what lies elsewhere is not ours to delete. */
async function isBelow(path: string, folder: string): Promise<boolean> {
  const [from, to] = await Promise.all([realpath(folder), realpath(dirname(path))]).catch(() => ['/', '']);
  return to === from || to.startsWith(from + sep);
}

async function removeAll(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true });
}

/** Looks of `digestsOf`: another worker on the same folder may take manifests and empty folders away meanwhile. */
const looksMax = 10;

/** What all manifests name, in one look in which none of them vanished: a file that one of them needs must stay. */
async function digestsOf(manifests: string): Promise<Set<string>> {
  for (let looks = 1; ; looks += 1) {
    try {
      return await digestsBelow(manifests);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || looks >= looksMax) throw error;
    }
  }
}

async function digestsBelow(manifests: string): Promise<Set<string>> {
  const entries = await readdir(manifests, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const texts = await Promise.all(files.map((path) => readFile(path, 'utf8')));
  return new Set(texts.flatMap(digestsIn));
}

function digestsIn(manifest: string): string[] {
  return [...new Set(manifest.match(/sha256:[0-9a-f]{64}/g))];
}

/** What the system says, as a refusal that names the worker's side. */
export function asRefusal(error: unknown): Refusal {
  return error instanceof Refusal ? error : new Refusal('pull_failed', reasonOf(error));
}
