// Ollama's model store, read where it lies: manifests name blobs, and a blob is a GGUF file under its digest.
import { readFile, readdir, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { fieldsOf, list, text } from '@berth/shared/dialects/check.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { parseOllamaParameters } from '@berth/shared/dialects/ollama.ts';
import type { Adapter } from '@berth/shared/models-file.ts';
import { reasonOf } from '../reason.ts';
import { noDefaults } from './defaults.ts';
import type { Defaults } from './defaults.ts';
import { nameOf } from './names.ts';
import { blobPath, pathInStore } from './parts.ts';

export interface StoredModel {
  /** As Ollama writes it: without its own registry and `library`. */
  name: string;
  path: string;
  defaults: Defaults;
  adapters: readonly Adapter[];
}

export interface Store {
  models: StoredModel[];
  /** Models that are there and cannot be served: a sentence for each. */
  problems: { model: string; reason: string }[];
}

const manifestsMax = 10_000;
/** Registry, namespace, model and tag. */
const depth = 4;
/** The largest models are split into some hundred parts. */
export const layersMax = 1_024;
/** Of a manifest, of parameters and of a system text; licences are not read. */
const textBytesMax = 256 * 1_024;

export const modelType = 'application/vnd.ollama.image.model';

interface Layer {
  mediaType: string;
  digest: string;
}

/** `null` for a folder that is no such store. */
export async function readStore(folder: string): Promise<Store | null> {
  const [manifests, blobs] = ['manifests', 'blobs'].map((name) => join(folder, name)) as [string, string];
  const areFolders = await Promise.all([manifests, blobs].map((path) => stat(path).then((it) => it.isDirectory())))
    .then((each) => each.every(Boolean))
    .catch(() => false);
  if (!areFolders) return null;
  const store: Store = { models: [], problems: [] };
  for (const path of (await manifestsIn(manifests)).slice(0, manifestsMax)) {
    const [host = '', namespace = '', model = '', tag = ''] = path.split(sep);
    const name = nameOf({ host, namespace, model, tag });
    try {
      store.models.push(await readModel(name, join(manifests, path), folder));
    } catch (error) {
      store.problems.push({ model: name, reason: `cannot use ${name} of Ollama's store: ${reasonOf(error)}` });
    }
  }
  return store;
}

async function manifestsIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.startsWith('.'));
  const paths = files.map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));
  return paths.filter((path) => path.split(sep).length === depth).toSorted();
}

async function readModel(name: string, manifestPath: string, folder: string): Promise<StoredModel> {
  const manifest = fieldsOf(parseJson(await readText(manifestPath)), '');
  const layers = manifest.required('layers', list(layer, layersMax));
  const all = (kind: string): Layer[] =>
    layers.filter(({ mediaType }) => mediaType === `application/vnd.ollama.image.${kind}`);
  const [[params], [system], model] = [all('params'), all('system'), all('model')];
  if (model.length === 0) throw new Error('its manifest names no model file');
  const adapters = layers.filter(({ mediaType }) => mediaType.endsWith('.adapter'));
  const defaults: Defaults = {
    ...noDefaults,
    ...(params && parseOllamaParameters(parseJson(await readText(blobOf(folder, params))))),
    system: system ? (await readText(blobOf(folder, system))).toString() : null,
  };
  const applied = adapters.map((each) => ({ path: blobOf(folder, each), scale: 1 }));
  return { name, path: pathInStore(folder, model.map(digestOf)), defaults, adapters: applied };
}

function layer(value: unknown, path: string): Layer {
  const fields = fieldsOf(value, path);
  return { mediaType: fields.required('mediaType', text), digest: fields.required('digest', text) };
}

/** The digests of the parts of which a manifest says that they are one model; none for what is no manifest. */
export function partDigests(manifest: string): string[] {
  try {
    const layers = fieldsOf(parseJson(Buffer.from(manifest)), '').required('layers', list(layer, layersMax));
    const model = layers.filter(({ mediaType }) => mediaType === modelType);
    return model.length > 1 ? model.map(digestOf) : [];
  } catch {
    return [];
  }
}

/** A digest never becomes another path. */
function digestOf({ digest }: Layer): string {
  if (!/^sha256:[0-9a-f]{64}$/.test(digest)) throw new Error('its manifest names a file by no digest');
  return digest;
}

function blobOf(folder: string, layer: Layer): string {
  return blobPath(folder, digestOf(layer));
}

async function readText(path: string): Promise<Buffer> {
  const { size } = await stat(path);
  if (size > textBytesMax) throw new Error(`${path} has more than ${textBytesMax} bytes`);
  return await readFile(path);
}
