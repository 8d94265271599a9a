// Which models this worker could load: the .gguf files below MODELS_DIR, or Ollama's own store there, else the demo.
import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ModelCard } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import { reasonOf } from '../reason.ts';
import type { CheckFile } from './checker.ts';
import { thoughtsOf } from '../replies/thinking.ts';
import { noDefaults } from './defaults.ts';
import type { Defaults } from './defaults.ts';
import type { GgufHeader } from './gguf.ts';
import { readStore } from './store.ts';

/** A model file that was read and can be tried. */
export interface Model {
  /** Canonical name, with a tag. */
  name: string;
  path: string;
  sizeBytes: number;
  /** RFC 3339. */
  modifiedAt: string;
  /** Differs when the file was replaced. */
  version: string;
  header: GgufHeader;
  capabilities: ModelCard['capabilities'];
  /** Where a request says nothing. */
  defaults: Defaults;
}

/** It embeds, and generates nothing. */
export function isEmbedder({ capabilities }: Pick<Model, 'capabilities'>): boolean {
  return capabilities.includes('embedding');
}

export interface Catalog {
  /** As of the last scan, by name. */
  models(): Model[];
  /** A model by its canonical name; one that is not known is looked for on the disk, at most once a second. */
  find(name: string): Promise<Model | null>;
  /** Looks at the folder again; files that did not change are not read. True when something changed. */
  scan(): Promise<boolean>;
}

export interface CatalogOptions {
  /** Folder, Ollama's store, or one .gguf file; `null` = only the demo. */
  modelsDir: string | null;
  /** The demo model's file. */
  demoPath: string;
  /** Reads and checks a file's header. */
  check: CheckFile;
  clock: Clock;
  log: Log;
}

const filesMax = 10_000;
const depthMax = 8;
const rescanMs = 1_000;

/** A name with its tag: `x` is `x:latest`, as in Ollama. Upper and lower case differ. */
function canonicalName(name: string): string {
  return name.includes(':') ? name : `${name}:latest`;
}

/** The name of a model file: its own name without `.gguf`, and without the number of a split file's first part. */
export function nameOfFile(path: string): string {
  return canonicalName(basename(path).replace(/(-00001-of-\d{5})?\.gguf$/i, ''));
}

export function createCatalog({ modelsDir, demoPath, check, clock, log }: CatalogOptions): Catalog {
  const readOwn = rememberedReader(check, log);
  const readDemo = rememberedReader(check, log);
  let models = new Map<string, Model>();
  let scannedMs = Number.NEGATIVE_INFINITY;
  let emptySince: string | null = null;
  let complaints = new Set<string>();

  const scan = async (): Promise<boolean> => {
    scannedMs = clock.monotonic();
    const { files, problem, others } = await modelFiles(modelsDir);
    const own = await readOwn(files);
    for (const other of others) if (!complaints.has(other)) log.warn(other);
    complaints = new Set(others);
    const why = own.length > 0 ? null : (problem ?? `no usable .gguf file in ${modelsDir}`);
    // Who set nothing gets what the first start promises; who set a folder did not want the demo.
    const level = modelsDir === null ? 'info' : 'warn';
    if (why !== null && why !== emptySince) log[level](`${why}: serving the demo model. ${howToLoad}`);
    emptySince = why;
    const found = byName(why === null ? own : await readDemo([fileAt(demoPath)]));
    const changed = signature(found.models) !== signature(models);
    if (changed) for (const clash of found.clashes) log.warn(clash);
    models = found.models;
    return changed;
  };

  return {
    models: () => [...models.values()],
    async find(name) {
      if (!models.has(name) && clock.monotonic() - scannedMs >= rescanMs) await scan();
      return models.get(name) ?? null;
    },
    scan,
  };
}

const howToLoad = 'To load a real one, set MODELS_DIR to a folder with .gguf files';

/** A file, and what the model in it is called. */
interface ModelFile {
  name: string;
  path: string;
  defaults: Defaults;
}

function fileAt(path: string): ModelFile {
  return { name: nameOfFile(path), path, defaults: noDefaults };
}

/** Reads headers, each once per version of its file; a bad file is logged once until it becomes good. */
function rememberedReader(check: CheckFile, log: Log): (files: ModelFile[]) => Promise<Model[]> {
  let known = new Map<string, Known>();
  return async (files) => {
    const seen = new Map<string, Known>();
    // Several names may stand for one file.
    for (const path of new Set(files.map((file) => file.path))) {
      seen.set(path, await look(path, known.get(path), check, log));
    }
    known = seen;
    return files.flatMap((file) => {
      const model = seen.get(file.path)?.model;
      return model ? { ...model, ...file } : [];
    });
  };
}

type Known = { version: string; model: Omit<Model, 'name' | 'defaults'> | null };

async function look(path: string, before: Known | undefined, check: CheckFile, log: Log): Promise<Known> {
  try {
    const { size, mtime, mtimeMs } = await stat(path);
    const version = `${mtimeMs}:${size}`;
    if (before?.version === version) return before;
    const header = await check(path);
    return { version, model: modelOf(path, size, mtime, version, header, log) };
  } catch (error) {
    if (before === undefined || before.model !== null)
      log.error(`cannot use the model file ${path}: ${reasonOf(error)}`);
    return { version: await versionOf(path), model: null };
  }
}

async function versionOf(path: string): Promise<string> {
  return stat(path).then(
    ({ mtimeMs, size }) => `${mtimeMs}:${size}`,
    () => 'unreadable',
  );
}

/** `null` for the files that belong to a model but are none: projectors, adapters. */
function modelOf(
  path: string,
  sizeBytes: number,
  mtime: Date,
  version: string,
  header: GgufHeader,
  log: Log,
): Known['model'] {
  if (header.type !== 'model' || header.architecture === 'clip') {
    log.info(`${path} is no model of its own (${header.type}, ${header.architecture}): left out`);
    return null;
  }
  const capabilities = capabilitiesOf(header);
  return { path, sizeBytes, modifiedAt: mtime.toISOString(), version, header, capabilities };
}

/** Encoder architectures of llama.cpp: they embed and cannot chat, whether or not the file says how it pools. */
const encoders = /^((nomic-|jina-|modern-|neo-|euro)?bert(-moe|-v\d)?|t5encoder|gemma-embedding)$/;

/** What a model can do, by what its header and its chat template say. */
export function capabilitiesOf({ architecture, chatTemplate, pooled, infills }: GgufHeader): ModelCard['capabilities'] {
  if (pooled || encoders.test(architecture)) return ['embedding'];
  const tools = chatTemplate !== null && /\btools\b/.test(chatTemplate);
  const thinking = thoughtsOf(chatTemplate) !== null;
  const can = { completion: true, tools, thinking, insert: infills };
  return (['completion', 'tools', 'thinking', 'insert'] as const).filter((what) => can[what]);
}

interface Found {
  files: ModelFile[];
  /** Why there are none. */
  problem: string | null;
  /** A line for each model that cannot be served. */
  others: string[];
}

/** Ollama's store, and the .gguf files in a folder and its folders, sorted; only the first part of a split model. */
async function modelFiles(modelsDir: string | null): Promise<Found> {
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
  return /\.gguf$/i.test(name) && (part === null || part[1] === '00001');
}

/** The first file of a name is served; the others are told about. */
function byName(found: Model[]): { models: Map<string, Model>; clashes: string[] } {
  const models = new Map<string, Model>();
  const clashes: string[] = [];
  for (const model of found) {
    const first = models.get(model.name);
    if (first === undefined) models.set(model.name, model);
    else clashes.push(`two files are called ${model.name}: ${first.path} is served, ${model.path} is not. Rename one`);
  }
  return { models, clashes };
}

function signature(models: Map<string, Model>): string {
  return JSON.stringify([...models.values()].map(({ name, path, version }) => [name, path, version]));
}
