// Which models this worker could load: the .gguf files below MODELS_DIR, or Ollama's own store there, else the demo.
import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ModelCard, Problem } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Adapter, KeptModelsFile, ModelSettings } from '@berth/shared/models-file.ts';
import { reasonOf } from '../reason.ts';
import type { CheckFile } from './checker.ts';
import { capabilitiesOf } from './capabilities.ts';
import type { Defaults } from './defaults.ts';
import { fileAt, modelFiles } from './files.ts';
import type { ModelFile } from './files.ts';
import type { GgufHeader } from './gguf.ts';
import { partsOf } from './parts.ts';
import { tailored } from './tailor.ts';

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
  /** Absolute paths. */
  adapters: readonly Adapter[];
  /** How it is run, where that differs from the worker's own settings. */
  settings: ModelSettings;
}

/** It embeds, and generates nothing. */
export function isEmbedder({ capabilities }: Pick<Model, 'capabilities'>): boolean {
  return capabilities.includes('embedding');
}

export interface Catalog {
  /** As of the last scan, by name. */
  models(): Model[];
  /** What the last scan found and could not use, and what is wrong with MODELS_FILE. */
  problems(): readonly Problem[];
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
  /** Left out = no model has settings of its own. */
  modelsFile?: { path: string; file: Pick<KeptModelsFile, 'current' | 'problem'> };
  /** Names of the GPUs that the worker owns, numbers and UUIDs; `null` = all there are. */
  ownGpus?: readonly string[] | null;
  clock: Clock;
  log: Log;
}

const rescanMs = 1_000;

export function createCatalog(options: CatalogOptions): Catalog {
  const { modelsDir, demoPath, check, modelsFile, clock, log } = options;
  const readOwn = rememberedReader(check, log);
  const readDemo = rememberedReader(check, log);
  let models = new Map<string, Model>();
  let problems: readonly Problem[] = [];
  let scannedMs = Number.NEGATIVE_INFINITY;
  let emptySince: string | null = null;

  /** Each once, for as long as it stands. */
  const complain = (found: readonly Problem[]): void => {
    const before = new Set(problems.map(({ reason }) => reason));
    for (const { reason } of found) if (!before.has(reason)) log.warn(reason);
    problems = found;
  };

  const scan = async (): Promise<boolean> => {
    scannedMs = clock.monotonic();
    const { files, problem, others } = await modelFiles(modelsDir);
    const own = await readOwn(files);
    const why = own.models.length > 0 ? null : (problem ?? `no usable .gguf file in ${modelsDir}`);
    // Who set nothing gets what the first start promises; who set a folder did not want the demo.
    const level = modelsDir === null ? 'info' : 'warn';
    if (why !== null && why !== emptySince) log[level](`${why}: serving the demo model. ${howToLoad}`);
    emptySince = why;
    const named = byName(why === null ? own.models : (await readDemo([fileAt(demoPath)])).models);
    const found = await withSettings(named.models, options);
    const changed = signature(found.models) !== signature(models);
    complain([...others, ...own.problems, ...named.clashes, ...found.problems]);
    models = found.models;
    return changed;
  };

  // A scan that began earlier must not end later.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (): Promise<boolean> => {
    const next = last.then(scan);
    last = next.catch(() => undefined);
    return next;
  };

  return {
    models: () => [...models.values()],
    problems() {
      const file = modelsFile?.file.problem() ?? null;
      return file === null
        ? problems
        : [{ model: '', reason: `the settings of models are those from before: ${file}` }, ...problems];
    },
    async find(name) {
      if (!models.has(name) && clock.monotonic() - scannedMs >= rescanMs) await inTurn();
      return models.get(name) ?? null;
    },
    scan: inTurn,
  };
}

const howToLoad = 'To load a real one, set MODELS_DIR to a folder with .gguf files';

interface Read {
  models: Model[];
  problems: Problem[];
}

/** Reads headers, each once per version of its file. */
function rememberedReader(check: CheckFile, log: Log): (files: ModelFile[]) => Promise<Read> {
  let known = new Map<string, Known>();
  return async (files) => {
    const seen = new Map<string, Known>();
    // Several names may stand for one file.
    for (const path of new Set(files.map((file) => file.path))) {
      seen.set(path, await look(path, known.get(path), check, log));
    }
    known = seen;
    const read: Read = { models: [], problems: [] };
    for (const file of files) {
      const { model = null, problem = null } = seen.get(file.path) ?? {};
      if (model !== null) read.models.push({ ...model, ...file, settings: {} });
      if (problem !== null) read.problems.push({ model: file.name, reason: problem });
    }
    return read;
  };
}

interface Known {
  version: string;
  model: Omit<Model, keyof ModelFile | 'settings'> | null;
  problem: string | null;
}

async function look(path: string, before: Known | undefined, check: CheckFile, log: Log): Promise<Known> {
  const version = await versionOf(path);
  if (before?.version === version && version !== unreadable) return before;
  try {
    const parts = await Promise.all(partsOf(path).map(partAt));
    const header = await check(path);
    return { version, model: modelOf(path, parts, version, header, log), problem: null };
  } catch (error) {
    return { version, model: null, problem: `cannot use the model file ${path}: ${reasonOf(error)}` };
  }
}

async function partAt(path: string, index: number, { length }: readonly string[]): Promise<Stats> {
  return await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (index === 0 || error.code !== 'ENOENT') throw error;
    throw new Error(`part ${index + 1} of ${length} is missing: copy it beside the others`, { cause: error });
  });
}

const unreadable = 'unreadable';

/** Of all parts of a split model. */
async function versionOf(path: string): Promise<string> {
  const version = async (part: string) => {
    const { mtimeMs, size } = await stat(part);
    return `${mtimeMs}:${size}`;
  };
  return Promise.all(partsOf(path).map(version)).then(
    (all) => all.join(' '),
    () => unreadable,
  );
}

/** `null` for the files that belong to a model but are none: projectors, adapters. */
function modelOf(path: string, parts: readonly Stats[], version: string, header: GgufHeader, log: Log): Known['model'] {
  if (header.type !== 'model' || header.architecture === 'clip') {
    log.info(`${path} is no model of its own (${header.type}, ${header.architecture}): left out`);
    return null;
  }
  const capabilities = capabilitiesOf(header);
  const sizeBytes = parts.reduce((sum, { size }) => sum + size, 0);
  const modifiedAt = new Date(Math.max(...parts.map(({ mtimeMs }) => mtimeMs))).toISOString();
  return { sizeBytes, modifiedAt, version, header, capabilities };
}

/** The first file of a name is served; the others are told about. */
function byName(found: Model[]): { models: Map<string, Model>; clashes: Problem[] } {
  const models = new Map<string, Model>();
  const clashes: Problem[] = [];
  for (const model of found) {
    const { name, path } = model;
    const first = models.get(name);
    if (first === undefined) models.set(name, model);
    else {
      const reason = `two files are called ${name}: ${first.path} is served, ${path} is not. Rename one`;
      clashes.push({ model: name, reason });
    }
  }
  return { models, clashes };
}

/** The models with what MODELS_FILE says of them; one whose settings cannot be honoured is left out. */
async function withSettings(
  models: ReadonlyMap<string, Model>,
  { modelsFile, ownGpus = null }: CatalogOptions,
): Promise<{ models: Map<string, Model>; problems: Problem[] }> {
  const made = new Map<string, Model>();
  const problems: Problem[] = [];
  for (const [name, model] of models) {
    const settings = modelsFile?.file.current().models.get(name) ?? {};
    const [first] = settings.gpus?.split(',') ?? [];
    // A set of GPUs belongs to the worker of its first one, or two would load the model into the same memory.
    if (first !== undefined && ownGpus !== null && !ownGpus.includes(first)) continue;
    try {
      made.set(name, await tailored(model, settings, dirname(modelsFile?.path ?? '')));
    } catch (error) {
      problems.push({ model: name, reason: `cannot use ${name}: ${reasonOf(error)}` });
    }
  }
  return { models: made, problems };
}

function signature(models: Map<string, Model>): string {
  return JSON.stringify(
    [...models.values()].map(({ name, path, version, settings }) => [name, path, version, settings]),
  );
}
