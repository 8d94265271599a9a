// A model that is loaded, or about to be: the record that residency keeps, and what it says when it cannot.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Engine } from '../engine/engine.ts';
import type { Model } from './catalog.ts';
import type { Failure } from './failures.ts';
import type { ResidentState } from './plan.ts';

export interface Entry {
  model: Model;
  phase: ResidentState['phase'];
  engine: Engine | null;
  users: number;
  keepAliveMs: number;
  lastUsedMs: number;
  loadedMs: number;
  withdrawn: boolean;
  /** Loaded by order and not used yet: what the load took, ms. */
  freshMs: number | null;
  expiry: Disposable | null;
  expiresAt: number | null;
}

export function blank(model: Model, keepAliveMs: number, nowMs: number): Entry {
  return {
    model,
    phase: 'loading',
    engine: null,
    users: 0,
    keepAliveMs,
    lastUsedMs: nowMs,
    loadedMs: nowMs,
    withdrawn: false,
    freshMs: null,
    expiry: null,
    expiresAt: null,
  };
}

/** A model stays for this long, so that those who waited for it can come before it has to go again. */
export const residencyMsMin = 5_000;

/** Longer timers fire at once in Node; a model that stays for 24 days was kept long enough. */
const timerMsMax = 2 ** 31 - 1;

/** How long it is kept now that nobody uses it. @param stays it is not to go yet, whatever its keep-alive says */
export function stayMsOf({ keepAliveMs }: Entry, stays: boolean): number {
  return Math.min(Math.max(keepAliveMs, stays ? residencyMsMin : 0), timerMsMax);
}

/** Whether nobody has had it yet who waited for it, and whether it may go for another model. */
export function standing({ phase, users, freshMs, loadedMs }: Entry, pinned: boolean, nowMs: number) {
  const isNew = nowMs - loadedMs < residencyMsMin;
  const fresh = isNew && freshMs !== null;
  return { pinned, fresh, evictable: phase === 'ready' && !pinned && !fresh && (users === 0 || !isNew) };
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
