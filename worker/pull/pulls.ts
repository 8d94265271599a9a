// Models on their way into this worker's store: each once for all who ask, a few files at a time, told as Ollama tells it.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '@berth/shared/announcement.ts';
import type { PullStatus } from '@berth/shared/dialects/catalog.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { manifestPath, nameOf, storeNameOf } from '../models/names.ts';
import type { StoreName } from '../models/names.ts';
import { linkParts } from '../models/parts.ts';
import { removeUnused } from '../models/shelf.ts';
import { partDigests } from '../models/store.ts';
import { writeWhole } from '../models/whole-file.ts';
import { linked } from '../abort.ts';
import { reasonOf } from '../reason.ts';
import { fetchLayer, missingBytes, reserveBytes } from './layer.ts';
import type { LayerOptions } from './layer.ts';
import { manifestOf } from './manifest.ts';
import type { Layer, ManifestOptions } from './manifest.ts';

export interface Pulls {
  /**
   * Settles when the model is there. Who joins a pull is told what has been told last of each file; when the last one
   * who waits has gone, the pull ends, and what has come is there for the next.
   * @throws Refusal; the signal's reason
   */
  pull(model: string, tell: (status: PullStatus) => void, signal: AbortSignal): Promise<void>;
  /** Files of pulls that go on: they are nobody's rubbish. */
  wanted(): ReadonlySet<string>;
  /** Why the last pulls of models failed. */
  problems(): Problem[];
}

export interface PullOptions extends Omit<LayerOptions, 'blobs'>, ManifestOptions {
  /** `null` = there is no folder to pull into. */
  modelsDir: string | null;
  log: Log;
  /** The store has another model: it is to be served. @throws Error when it cannot be */
  onPulled: (name: string) => Promise<void>;
}

/** Models that are pulled at a time. */
const pullsMax = 8;
/** Files that are fetched at a time, over all models. */
const layersMax = 3;
const problemsMax = 32;
/** Between two words about the same file. */
const tellEveryMs = 200;

interface Pull {
  listeners: Set<(status: PullStatus) => void>;
  /** By file, what was told last. */
  last: Map<string, PullStatus>;
  digests: Set<string>;
  off: AbortController;
  done: Promise<void>;
}

export function createPulls(options: PullOptions): Pulls {
  const { modelsDir, clock, disk, log, onPulled } = options;
  const running = new Map<string, Pull>();
  const failed = new Map<string, string>();
  const gate = createGate(layersMax);

  const begin = (name: StoreName): Pull => {
    const pull: Pull = {
      listeners: new Set(),
      last: new Map(),
      digests: new Set(),
      off: new AbortController(),
      done: Promise.resolve(),
    };
    const say = (status: PullStatus): void => {
      pull.last.set(status.digest ?? status.status, status);
      for (const listener of pull.listeners) listener(status);
    };
    pull.done = run(name, pull, say)
      .catch((error: unknown) => {
        if (!pull.off.signal.aborted) note(nameOf(name), reasonOf(error));
        throw error;
      })
      .finally(() => end(nameOf(name), pull));
    pull.done.catch(() => undefined); // told to those who wait
    return pull;
  };

  /** Who asks from now on begins anew; the files wait for each other by their locks. */
  const end = (name: string, pull: Pull): void => {
    if (running.get(name) === pull) running.delete(name);
    pull.off.abort(new Error('nobody waits for it any more'));
  };

  const note = (name: string, reason: string): void => {
    log.error('a pull failed', { model: name, reason });
    failed.delete(name);
    failed.set(name, `the last pull of ${name} failed: ${reason}`);
    for (const oldest of failed.keys()) if (failed.size > problemsMax) failed.delete(oldest);
  };

  const run = async (name: StoreName, { digests, off }: Pull, say: (status: PullStatus) => void): Promise<void> => {
    const folder = await storeFolder(modelsDir);
    const failure = new AbortController();
    using both = linked([off.signal, failure.signal]);
    const { signal } = both;
    log.info('pulling a model', { model: nameOf(name) });
    say({ status: 'pulling manifest' });
    const path = join(folder, 'manifests', manifestPath(name));
    const before = await readFile(path, 'utf8').catch(() => null);
    const manifest = await manifestOf(name, options, signal).catch((error: unknown) => {
      if (before === null || signal.aborted) throw error;
      // What is there may have been made here, or its source be out of reach: it can be used all the same.
      log.warn('a model was not compared with its source', { model: nameOf(name), reason: reasonOf(error) });
      say({ status: `as it was, not compared with its source: ${reasonOf(error)}`, remark: true });
      return null;
    });
    if (manifest === null) return say({ status: 'success' });
    const { text, layers } = manifest;
    for (const { digest } of layers) digests.add(digest);
    const store = { ...options, blobs: join(folder, 'blobs') };
    await checkRoom(layers, store);
    const told = teller(layers, say);
    const fetched = layers.map((layer) => gate(() => fetchLayer(layer, store, told(layer), signal), signal));
    // The first failure ends the others; they are waited for, so that nothing writes behind the pull's back.
    const first = await Promise.all(fetched).catch((error: unknown) => error as Error);
    if (first instanceof Error) {
      failure.abort(first);
      await Promise.allSettled(fetched);
      throw first;
    }
    say({ status: 'verifying sha256 digest' });
    say({ status: 'writing manifest' });
    const parts = partDigests(text);
    if (parts.length > 0) await linkParts(folder, parts);
    if (text !== before) await writeWhole(path, text);
    await onPulled(nameOf(name));
    if (before !== null && text !== before) await removeUnused(before, folder, wanted());
    failed.delete(nameOf(name));
    log.info('pulled a model', { model: nameOf(name) });
    say({ status: 'success' });
  };

  const checkRoom = async (layers: readonly Layer[], store: LayerOptions): Promise<void> => {
    const missing = await Promise.all(layers.map((layer) => missingBytes(store, layer)));
    const needs = missing.reduce((sum, bytes) => sum + bytes, 0);
    const free = await disk.freeBytes(store.blobs);
    if (needs === 0 || needs + reserveBytes <= free) return;
    throw new Refusal(
      'pull_failed',
      `the disk of ${store.blobs} has ${gib(free)} free, and ${gib(needs)} are missing (${gib(reserveBytes)} stay free): make room there`,
    );
  };

  /** How far each file is; the parts of a model as if they were one. */
  const teller = (layers: readonly Layer[], say: (status: PullStatus) => void) => {
    const has = new Map<string, number>();
    const nextMs = new Map<string, number>();
    const sum = (parts: readonly Layer[], of: (part: Layer) => number) =>
      parts.reduce((bytes, part) => bytes + of(part), 0);
    return ({ digest: own, sizeBytes, partOf: digest = own }: Layer) => {
      const parts = layers.filter((each) => (each.partOf ?? each.digest) === digest);
      const total = sum(parts, (part) => part.sizeBytes);
      return (bytes: number): void => {
        has.set(own, bytes);
        const nowMs = clock.monotonic();
        if (nowMs < (nextMs.get(digest) ?? Number.NEGATIVE_INFINITY) && bytes < sizeBytes) return;
        nextMs.set(digest, nowMs + tellEveryMs);
        const completed = sum(parts, (part) => has.get(part.digest) ?? 0);
        say({ status: `pulling ${digest.slice(7, 19)}`, digest, total, completed });
      };
    };
  };
  const wanted = () => new Set([...running.values()].flatMap(({ digests }) => [...digests]));

  return {
    async pull(model, tell, signal) {
      signal.throwIfAborted();
      const name = storeNameOf(model);
      const known = running.get(nameOf(name));
      if (known === undefined && running.size >= pullsMax)
        throw new Refusal('queue_full', `${pullsMax} models are pulled already: ask again later`, { retryAfterS: 30 });
      const pull = known ?? begin(name);
      running.set(nameOf(name), pull);
      for (const status of pull.last.values()) tell(status);
      pull.listeners.add(tell);
      const gone = Promise.withResolvers<never>();
      const leave = (): void => gone.reject(signal.reason);
      signal.addEventListener('abort', leave, { once: true });
      try {
        await Promise.race([pull.done, gone.promise]);
      } finally {
        signal.removeEventListener('abort', leave);
        pull.listeners.delete(tell);
        if (pull.listeners.size === 0) end(nameOf(name), pull);
      }
    },
    wanted,
    problems: () => Array.from(failed, ([model, reason]) => ({ model, reason })),
  };
}

/** At most so many at a time. */
function createGate(most: number) {
  let inside = 0;
  const waiting: (() => void)[] = [];
  return async <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
    if (inside >= most) await new Promise<void>((resolve) => waiting.push(resolve));
    else inside += 1;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) inside -= 1;
      else next();
    }
  };
}

/** @throws Refusal when models cannot be kept there */
async function storeFolder(modelsDir: string | null): Promise<string> {
  const advice = 'set MODELS_DIR of the worker to a folder that it may write';
  if (modelsDir === null) throw new Refusal('pull_failed', `there is no folder for models: ${advice}`);
  try {
    for (const part of ['blobs', 'manifests']) await mkdir(join(modelsDir, part), { recursive: true });
    return modelsDir;
  } catch (error) {
    throw new Refusal('pull_failed', `models cannot be kept in ${modelsDir} (${reasonOf(error)}): ${advice}`);
  }
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
