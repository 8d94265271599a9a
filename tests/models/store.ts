// A model store as Ollama keeps one, around a model file that is there.
import { createHash } from 'node:crypto';
import { link, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface StoredWish {
  /** `registry.ollama.ai/library/llama3/8b`. */
  at: string;
  /** The model's file; `null` = the manifest names none. */
  file: string | null;
  params?: object;
  system?: string;
  /** Further layers as they are. */
  layers?: { mediaType: string; digest: string; size: number }[];
}

/** Puts a model into the store, and makes the store with the first one. */
export async function storeModel(folder: string, { at, file, params, system, layers = [] }: StoredWish): Promise<void> {
  const manifest = join(folder, 'manifests', at);
  await mkdir(join(folder, 'blobs'), { recursive: true });
  await mkdir(dirname(manifest), { recursive: true });
  const put = async (kind: string, text: string) => {
    const hash = createHash('sha256').update(text).digest('hex');
    await writeFile(join(folder, 'blobs', `sha256-${hash}`), text);
    return { mediaType: `application/vnd.ollama.image.${kind}`, digest: `sha256:${hash}`, size: text.length };
  };
  const all = [
    ...(file === null ? [] : [await linked(folder, file)]),
    await put('license', 'as you like'),
    ...(params ? [await put('params', JSON.stringify(params))] : []),
    ...(system === undefined ? [] : [await put('system', system)]),
    ...layers,
  ];
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
  await writeFile(manifest, JSON.stringify({ schemaVersion: 2, mediaType, layers: all }));
}

/** One blob for each path, as for equal files. */
async function linked(folder: string, file: string) {
  const hash = createHash('sha256').update(file).digest('hex');
  await link(file, join(folder, 'blobs', `sha256-${hash}`)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  return { mediaType: 'application/vnd.ollama.image.model', digest: `sha256:${hash}`, size: 1 };
}
