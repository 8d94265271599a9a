// A model that is loaded, or about to be: the record that residency keeps, and what it says when it cannot.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Engine, EngineOptions } from '../engine/engine.ts';
import type { UnloadReason } from '../metric-families.ts';
import { isEmbedder } from './catalog.ts';
import type { Model } from './catalog.ts';
import type { Failure } from './failures.ts';
import type { ResidentState } from './plan.ts';
import { worthOf } from './victims.ts';
import type { Habit } from './victims.ts';

export interface Entry {
  model: Model;
  phase: ResidentState['phase'];
  engine: Engine | null;
  users: number;
  keepAliveMs: number;
  lastUsedMs: number;
  /** How long somebody has used it, up to `lastUsedMs`. */
  busyMs: number;
  loadedMs: number;
  withdrawn: boolean;
  /** Loaded by order and not used yet: what the load took, ms. */
  freshMs: number | null;
  expiry: Disposable | null;
  expiresAt: number | null;
}

export function blank(model: Model, usualMs: number, nowMs: number): Entry {
  return {
    model,
    phase: 'loading',
    engine: null,
    users: 0,
    keepAliveMs: model.settings.keepAliveMs ?? usualMs,
    lastUsedMs: nowMs,
    busyMs: 0,
    loadedMs: nowMs,
    withdrawn: false,
    freshMs: null,
    expiry: null,
    expiresAt: null,
  };
}

/** A model stays for this long at least, so that those who waited for it can come before it has to go again. */
export const residencyMsMin = 5_000;

/** Longer timers fire at once in Node; a model that stays for 24 days was kept long enough. */
const timerMsMax = 2 ** 31 - 1;

/** How long it is kept now that nobody uses it. @param stays it is not to go yet, whatever its keep-alive says */
export function stayMsOf({ keepAliveMs }: Entry, stays: boolean): number {
  return Math.min(Math.max(keepAliveMs, stays ? residencyMsMin : 0), timerMsMax);
}

/** Somebody begins or ends to use it: called before the users are counted anew. */
export function touch(entry: Entry, nowMs: number): void {
  if (entry.users > 0) entry.busyMs += nowMs - entry.lastUsedMs;
  entry.lastUsedMs = nowMs;
}

/**
 * A model that is used keeps its place for so many times what its load took, so that at most about a fifth of the time
 * goes to loads when two take turns; one that is used half of the time, for half as long.
 */
const turnLoads = 4;
const turnMsMax = 60_000;

export function turnMsOf(loadMs: number): number {
  return Math.min(turnMsMax, Math.max(residencyMsMin, turnLoads * loadMs));
}

/** Whether nobody has had it yet who waited for it, whether it may go for another model, and what that would mean. */
export function standing(entry: Entry, habit: Habit, pinned: boolean, nowMs: number) {
  const { phase, users, freshMs, loadedMs, busyMs, engine } = entry;
  const { loadMs } = habit;
  const residentMs = nowMs - loadedMs;
  const fresh = residentMs < residencyMsMin && freshMs !== null;
  const heldMs = users > 0 ? turnMsOf(loadMs) : (turnMsOf(loadMs) * busyMs) / Math.max(1, residentMs);
  const evictable = phase === 'ready' && !fresh && !pinned && residentMs >= heldMs;
  return {
    fresh,
    pinned,
    evictable,
    loadMs,
    worthMs: worthOf(habit, nowMs),
    memoryBytes: engine?.info.memoryBytes ?? 0,
  };
}

export interface Resident extends ResidentState {
  readonly model: Model;
  readonly engine: Engine | null;
  /** When it will be unloaded, ms since the Unix epoch; `null` = not known: busy, loading or kept for ever. */
  readonly expiresAt: number | null;
  /** It may go for another model: it is idle, or it has been here for a while. */
  readonly evictable: boolean;
  /** What its load took. */
  readonly loadMs: number;
}

export type ResidencyEvent =
  | { kind: 'loaded'; model: string; loadMs: number; engine: Engine }
  | { kind: 'unloaded'; model: string; reason: UnloadReason }
  | { kind: 'loading' | 'load_failed' | 'withdrawn'; model: string }
  | { kind: 'used' | 'idle' | 'died' | 'pinned'; model: string };

/** What its engine is opened with: the worker's settings, and the model's own before them. */
export function openingOf(model: Model, usual: Omit<EngineOptions, 'path'>): EngineOptions {
  const { path, adapters, settings } = model;
  const { contextTokens = usual.contextTokens, slots = usual.slots, template, gpus, gpuLayers } = settings;
  return {
    ...usual,
    path,
    contextTokens,
    slots: Math.min(slots, usual.slots),
    ...(template !== undefined && { template }),
    ...(adapters.length > 0 && { adapters }),
    ...(gpus !== undefined && { devices: gpus }),
    ...(gpuLayers !== undefined && { gpuLayers }),
    ...(isEmbedder(model) && { embeds: true, promptCache: null }),
  };
}

/** How long the model stays, as its settings say it by now, of those that need no new load. @returns whether that changed */
export function takeSettings(entry: Entry, models: readonly Model[], usualMs: number): boolean {
  const before = entry.model;
  const now = models.find(({ name, version }) => name === before.name && version === before.version);
  if (now === undefined) return false;
  entry.model = now;
  const keepAliveMs = now.settings.keepAliveMs ?? usualMs;
  const isOther = keepAliveMs !== (before.settings.keepAliveMs ?? usualMs);
  if (isOther) entry.keepAliveMs = keepAliveMs;
  return isOther || now.settings.pinned !== before.settings.pinned;
}

export function loadFailed(name: string, reason: string): Refusal {
  return new Refusal('load_failed', `model '${name}' cannot be loaded: ${reason}`);
}

export function again(name: string, { reason, loads }: Failure): Refusal {
  return loadFailed(
    name,
    `${reason} (tried ${loads} times; it is tried again later, or at once when the file changes)`,
  );
}

/** Disposers may be called twice; what they do happens once. */
export function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
