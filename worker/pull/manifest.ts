// What a model is made of, as a registry like Ollama's or a hub like Hugging Face's tells it.
import { createHash } from 'node:crypto';
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { fieldsOf, integer, list, object, refuse, text } from '@berth/shared/dialects/check.ts';
import type { Check } from '@berth/shared/dialects/check.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { manifestPath, nameOf } from '../models/names.ts';
import { partsOf } from '../models/parts.ts';
import { layersMax, modelType } from '../models/store.ts';
import type { StoreName } from '../models/names.ts';
import { get, textOf } from './get.ts';
import type { GetOptions } from './get.ts';
import { originOf } from './hosts.ts';

/** One file of a model. */
export interface Layer {
  /** `sha256:` and 64 hex characters. */
  digest: string;
  sizeBytes: number;
  /** Where it is fetched; or its content, where that is ours. */
  from: URL | string;
  /** The first part's digest, for a part of a split model: its parts are told of as one file. */
  partOf?: string;
}

export interface Manifest {
  /** As it is written into the store. */
  text: string;
  layers: Layer[];
}

export interface ManifestOptions extends GetOptions {
  /** Origin of the hub for `hf.co/…`. */
  hubUrl: string;
}

const manifestBytesMax = 1_024 ** 2;
/** The list of all files of a repository. */
const listBytesMax = 8 * 1_024 ** 2;
const bytesMax = 2 ** 50;
const manifestType = 'application/vnd.docker.distribution.manifest.v2+json';

/** @throws Refusal `model_not_found`, `forbidden`, `pull_failed` */
export async function manifestOf(name: StoreName, options: ManifestOptions, signal: AbortSignal): Promise<Manifest> {
  return name.host === 'hf.co' ? await ofHub(name, options, signal) : await ofRegistry(name, options, signal);
}

async function ofRegistry(name: StoreName, options: ManifestOptions, signal: AbortSignal): Promise<Manifest> {
  const { namespace, model, tag } = name;
  const base = `${originOf(name.host, options.hosts)}/v2/${namespace}/${model}`;
  const url = new URL(`${base}/manifests/${tag}`);
  const source = await ask(url, { accept: manifestType }, name, manifestBytesMax, options, signal);
  const parts = readAs(url, () => {
    const file = fieldsOf(parseJson(Buffer.from(source)), '');
    const config = file.optional('config', layer);
    return [...file.required('layers', list(layer, 64)), ...(config === null ? [] : [config])];
  });
  const unique = new Map(parts.map((part) => [part.digest, part]));
  const layers = Array.from(unique.values(), (part) => ({ ...part, from: new URL(`${base}/blobs/${part.digest}`) }));
  return { text: source, layers };
}

const digestOf: Check<string> = (value, path) => {
  const read = text(value, path);
  return /^sha256:[0-9a-f]{64}$/.test(read) ? read : refuse(path, 'must be a SHA-256');
};

const layer: Check<Pick<Layer, 'digest' | 'sizeBytes'>> = (value, path) => {
  const at = fieldsOf(value, path);
  return { digest: at.required('digest', digestOf), sizeBytes: at.required('size', integer(0, bytesMax)) };
};

interface HubFile {
  path: string;
  digest: string;
  sizeBytes: number;
}

/** The hub tells size and SHA-256 of each large file; a manifest for the store is made of that. */
async function ofHub(name: StoreName, options: ManifestOptions, signal: AbortSignal): Promise<Manifest> {
  const hub = new URL(options.hubUrl);
  const base = originOf(hub.host, options.hosts);
  const repository = `${name.namespace}/${name.model}`;
  const url = new URL(`${base}/api/models/${repository}/tree/main?recursive=true`);
  const source = await ask(url, { accept: 'application/json' }, name, listBytesMax, options, signal);
  const files = readAs(url, () => list(hubFile, 100_000)(parseJson(Buffer.from(source)), 'files'));
  const parts = chosen(
    files.filter((each) => each !== null),
    name,
  );
  const config = '{"model_format":"gguf","rootfs":{"type":"layers","diff_ids":[]}}';
  const configDigest = `sha256:${createHash('sha256').update(config).digest('hex')}`;
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: { mediaType: 'application/vnd.docker.container.image.v1+json', digest: configDigest, size: config.length },
    layers: parts.map(({ digest, sizeBytes }) => ({ mediaType: modelType, digest, size: sizeBytes })),
  };
  const [first] = parts;
  const layers: Layer[] = parts.map(({ path, digest, sizeBytes }) => {
    const from = new URL(`${base}/${repository}/resolve/main/${path.split('/').map(encodeURIComponent).join('/')}`);
    return { digest, sizeBytes, from, ...(first && parts.length > 1 && { partOf: first.digest }) };
  });
  layers.push({ digest: configDigest, sizeBytes: config.length, from: config });
  return { text: JSON.stringify(manifest), layers };
}

/** `null` for what is no model file. */
const hubFile: Check<HubFile | null> = (value, path) => {
  const at = fieldsOf(value, path);
  const file = at.required('path', text);
  const lfs = at.optional('lfs', object);
  if (lfs === null || !/\.gguf$/i.test(file) || /mmproj/i.test(file)) return null;
  const large = fieldsOf(lfs, at.pathOf('lfs'));
  const oid = large.required('oid', text);
  return {
    path: file,
    digest: digestOf(`sha256:${oid}`, at.pathOf('lfs.oid')),
    sizeBytes: large.required('size', integer(0, bytesMax)),
  };
};

/** By the quantisation in a file's name; `latest` = Q4_K_M, else the only model there is. All parts of one that is split. */
function chosen(all: readonly HubFile[], { tag, namespace, model }: StoreName): HubFile[] {
  const files = all.filter(({ path }) => !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(path));
  const quantOf = ({ path }: HubFile) =>
    /(?:^|[-._/])((?:UD-)?(?:I?Q\d|T?Q\d|BF16|F16|F32|MXFP4)[A-Z0-9_]*)(?:-\d{5}-of-\d{5})?\.gguf$/i.exec(path)?.[1] ??
    '';
  const wanted = (tag === 'latest' ? 'Q4_K_M' : tag).toLowerCase();
  const found = files.filter((file) => quantOf(file).toLowerCase() === wanted);
  const [file] = found.length === 0 && tag === 'latest' && files.length === 1 ? files : found;
  const repository = `${namespace}/${model}`;
  if (file === undefined) {
    const there = [...new Set(files.map(quantOf).filter((quant) => quant !== ''))].slice(0, 40).join(', ');
    const others = there === '' ? 'it has no .gguf files' : `there are ${there}`;
    throw new Refusal('model_not_found', `${repository} has no file of the quantisation ${tag}: ${others}`, {
      param: 'model',
    });
  }
  const byPath = new Map(all.map((each) => [each.path, each]));
  const paths = partsOf(file.path);
  const parts = paths.flatMap((path) => byPath.get(path) ?? []);
  if (parts.length === paths.length && paths.length <= layersMax) return parts;
  const missing = paths.find((path) => !byPath.has(path)) ?? '';
  const why = missing === '' ? `it has more than ${layersMax} parts` : `${missing} is missing`;
  throw new Refusal('pull_failed', `${file.path} of ${repository} cannot be put together: ${why} there`);
}

async function ask(
  url: URL,
  headers: Record<string, string>,
  name: StoreName,
  most: number,
  options: ManifestOptions,
  signal: AbortSignal,
): Promise<string> {
  const answer = await get(url, headers, options, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error instanceof Refusal
      ? error
      : new Refusal('pull_failed', `${url.host} cannot be reached: ${(error as Error).message}`);
  });
  const { statusCode = 0 } = answer;
  if (statusCode === 200) return await textOf(answer, most);
  answer.destroy();
  if (statusCode === 404) throw modelNotFound(canonicalModel(nameOf(name)));
  const why =
    statusCode === 401 || statusCode === 403 ? 'it does not let everybody have this model' : `status ${statusCode}`;
  throw new Refusal('pull_failed', `${url.host} does not tell what ${manifestPath(name)} is made of: ${why}`);
}

function readAs<T>(url: URL, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Refusal('pull_failed', `${url.host} answered nonsense: ${(error as Error).message}`);
  }
}
