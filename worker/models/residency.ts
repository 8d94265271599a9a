// Which models are loaded: an engine for each, loaded on the first request, unloaded when idle or to make room.
import type { Clock } from '@berth/shared/clock.ts';
import type { NotStarted } from '@berth/shared/headers.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Engine, EngineOptions, OpenEngine } from '../engine/engine.ts';
import type { UnloadReason } from '../metric-families.ts';
import { reasonOf } from '../reason.ts';
import { isEmbedder } from './catalog.ts';
import type { Model } from './catalog.ts';
import { again, blank, loadFailed, once, residencyMsMin, standing, stayMsOf } from './entry.ts';
import type { Entry } from './entry.ts';
import { afterDeath, afterFailedLoad, afterLoad, holding } from './failures.ts';
import type { Failure } from './failures.ts';
import { closeInTime, openInTime } from './in-time.ts';
import { nextStep } from './plan.ts';
import type { ResidentState } from './plan.ts';

/** The right to use a loaded model; disposing ends it, and the model's idle time begins with the last. */
export interface Use extends Disposable {
  readonly engine: Engine;
  /** What this request waited for the model, milliseconds. */
  readonly loadMs: number;
}

/** Nothing was started, and another worker or a later moment may do: the gateway takes the request back. */
export class NotStartedHere extends Error {
  override readonly name = 'NotStartedHere';
  readonly why: NotStarted;

  constructor(why: NotStarted) {
    super(`not started: ${why}`);
    this.why = why;
  }
}

export interface Resident extends ResidentState {
  readonly model: Model;
  readonly engine: Engine | null;
  /** When it will be unloaded, ms since the Unix epoch; `null` = not known: busy, loading or kept for ever. */
  readonly expiresAt: number | null;
  /** It may go for another model: it is idle, or it has been here for a while. */
  readonly evictable: boolean;
}

export type ResidencyEvent =
  | { kind: 'loaded'; model: string; loadMs: number; engine: Engine }
  | { kind: 'unloaded'; model: string; reason: UnloadReason }
  | { kind: 'loading' | 'load_failed' | 'withdrawn'; model: string }
  | { kind: 'used' | 'idle' | 'died'; model: string };

export interface Residency {
  /**
   * Waits until the model is loaded, and uses it.
   * @param keepAliveMs how long it stays when idle from now on; `null` leaves that as it is
   * @throws Refusal `load_failed`, at once while a failed load is backed off
   * @throws NotStartedHere when there is no room in time
   */
  use(model: Model, keepAliveMs: number | null, signal: AbortSignal): Promise<Use>;
  /**
   * Loads the model though no request asks for it, and waits for room as long as it takes.
   * @param victim the model that makes room when there is none; '' = whichever it would be
   * @throws what `use` throws
   */
  load(model: Model, victim: string, signal: AbortSignal): Promise<void>;
  /** Why the model is not to be loaded now; `null` = it may be. */
  failed(model: Model): { reason: string | null } | null;
  /** Unloads the model as soon as it is idle. */
  unload(name: string): void;
  residents(): Resident[];
  /** Closes an engine that does not work any more, as if it had died. */
  kill(name: string, reason: string): void;
  /** Closes every engine; nothing is loaded afterwards. */
  close(): Promise<void>;
}

export interface ResidencyOptions {
  open: OpenEngine;
  /** What every engine is opened with, but for the path. */
  engine: Omit<EngineOptions, 'path'>;
  loadedMax: number;
  keepAliveMs: number;
  /** It stays loaded, whatever its keep-alive says and whatever else is waited for. */
  isPinned?: (model: string) => boolean;
  clock: Clock;
  log: Log;
  onEvent: (event: ResidencyEvent) => void;
}

/** Longest wait for room. A request that waits for longer goes back to the gateway's queue with its age. */
export const roomMsMax = 30_000;
interface Waiter {
  model: Model;
  keepAliveMs: number | null;
  /** It was loaded by order: which model goes for it. `null` = a request asks. */
  victim: string | null;
  sinceMs: number;
  ready: PromiseWithResolvers<Use>;
  /** Ends the wait for room. */
  timer: Disposable;
}

export function createResidency(options: ResidencyOptions): Residency {
  const { open, loadedMax, isPinned = () => false, clock, log, onEvent } = options;
  const entries = new Map<string, Entry>();
  const waiters = new Set<Waiter>();
  const failures = new Map<string, Failure>();
  const closed = new AbortController();
  let loading: Promise<void> = Promise.resolve();

  const enter = (entry: Entry, engine: Engine, keepAliveMs: number | null, loadMs: number): Use => {
    entry.expiry?.[Symbol.dispose]();
    Object.assign(entry, { expiry: null, expiresAt: null, users: entry.users + 1, lastUsedMs: clock.monotonic() });
    entry.keepAliveMs = keepAliveMs ?? entry.keepAliveMs;
    entry.freshMs = null;
    if (entry.users === 1) onEvent({ kind: 'used', model: entry.model.name });
    return { engine, loadMs, [Symbol.dispose]: once(() => leave(entry)) };
  };

  const leave = (entry: Entry): void => {
    entry.users -= 1;
    entry.lastUsedMs = clock.monotonic();
    if (entry.users > 0 || entry.phase !== 'ready') return;
    rest(entry);
    pump();
  };

  /** Nobody uses it: its keep-alive begins. */
  const rest = (entry: Entry): void => {
    entry.expiry?.[Symbol.dispose]();
    entry.expiry = null;
    const stays = entry.freshMs !== null || isPinned(entry.model.name);
    if (entry.keepAliveMs === 0 && !stays) return void shut(entry, 'idle');
    const stayMs = stayMsOf(entry, stays);
    const expire = () => (isPinned(entry.model.name) ? rest(entry) : void shut(entry, 'idle'));
    entry.expiry = Number.isFinite(entry.keepAliveMs) ? clock.after(stayMs, expire) : null;
    entry.expiresAt = entry.expiry === null ? null : clock.now() + stayMs;
    onEvent({ kind: 'idle', model: entry.model.name });
  };

  /** Unloads. Never rejects; the place of the model is free when it has settled. */
  const shut = async (entry: Entry, reason: UnloadReason): Promise<void> => {
    if (entry.phase !== 'ready') return;
    entry.phase = 'closing';
    entry.expiry?.[Symbol.dispose]();
    await closeInTime(clock, log, entry);
    remove(entry);
    onEvent({ kind: 'unloaded', model: entry.model.name, reason });
    pump();
  };

  const remove = (entry: Entry): void => {
    if (entries.get(entry.model.name) === entry) entries.delete(entry.model.name);
  };

  /** Takes the next steps until there is nothing to do but wait. */
  const pump = (): void => {
    if (waiters.size === 0) for (const entry of entries.values()) entry.withdrawn = false;
    const wanted = [...new Set([...waiters].map(({ model }) => model.name))];
    const victim = [...waiters].find(({ model }) => model.name === wanted[0])?.victim ?? '';
    const step = closed.signal.aborted ? ({ kind: 'none' } as const) : nextStep(states(), wanted, loadedMax, victim);
    if (step.kind === 'load') loading = load(step.name);
    const entry = step.kind === 'none' ? undefined : entries.get(step.name);
    if (entry === undefined) return;
    if (step.kind === 'unload') void shut(entry, 'room');
    if (step.kind !== 'withdraw') return;
    entry.withdrawn = true;
    onEvent({ kind: 'withdrawn', model: step.name });
  };

  const states = (): Resident[] =>
    [...entries].map(([name, entry]) => ({ name, ...entry, ...standing(entry, isPinned(name), clock.monotonic()) }));

  /** Loads for all who wait for the model. Never rejects. */
  const load = async (name: string): Promise<void> => {
    const model = [...waiters].find((waiter) => waiter.model.name === name)?.model;
    if (model === undefined) return;
    const startedMs = clock.monotonic();
    const entry = blank(model, options.keepAliveMs, startedMs);
    entries.set(name, entry);
    for (const waiter of waitersOf(name)) waiter.timer[Symbol.dispose]();
    log.info('loading a model', { model: name, path: model.path });
    onEvent({ kind: 'loading', model: name });
    try {
      const embeds = isEmbedder(model) && ({ embeds: true, promptCache: null } as const);
      const begin = (signal: AbortSignal) => open({ ...options.engine, path: model.path, ...embeds }, signal);
      loaded(entry, await openInTime(clock, closed.signal, begin), startedMs);
    } catch (error) {
      failedToLoad(entry, error);
    }
    if (closed.signal.aborted) await shut(entry, 'closing');
    pump();
  };

  const loaded = (entry: Entry, engine: Engine, startedMs: number): void => {
    const { name, version } = entry.model;
    const loadMs = clock.monotonic() - startedMs;
    Object.assign(entry, { engine, phase: 'ready', loadedMs: clock.monotonic() });
    const failure = afterLoad(failures.get(name));
    if (failure === undefined || failure.version !== version) failures.delete(name);
    else failures.set(name, failure);
    engine.died.then((why) => bury(entry, why.message)).catch(() => undefined);
    log.info('loaded a model', { model: name, loadMs: Math.round(loadMs), contextTokens: engine.info.contextTokens });
    onEvent({ kind: 'loaded', model: name, loadMs, engine });
    for (const { keepAliveMs, victim, sinceMs, ready } of takeWaiters(name)) {
      ready.resolve(enter(entry, engine, keepAliveMs, clock.monotonic() - sinceMs));
      if (victim !== null) entry.freshMs = loadMs;
    }
    if (entry.freshMs !== null) clock.after(residencyMsMin, pump);
    if (entry.users === 0) rest(entry);
  };

  const failedToLoad = (entry: Entry, error: unknown): void => {
    const { name, version } = entry.model;
    const reason = reasonOf(error);
    remove(entry);
    if (!closed.signal.aborted) {
      failures.set(name, afterFailedLoad(failures.get(name), version, reason, clock.monotonic()));
      log.error('a model cannot be loaded', { model: name, path: entry.model.path, reason });
      onEvent({ kind: 'load_failed', model: name });
    }
    for (const { ready } of takeWaiters(name)) {
      ready.reject(closed.signal.aborted ? new NotStartedHere('draining') : loadFailed(name, reason));
    }
  };

  /** The engine ended by itself or was killed: the next request starts a new one. */
  const bury = (entry: Entry, reason: string): void => {
    const { name, version } = entry.model;
    if (entry.phase !== 'ready') return;
    const nowMs = clock.monotonic();
    failures.set(name, afterDeath(failures.get(name), version, nowMs - entry.loadedMs, nowMs));
    log.error('an engine died', { model: name, reason, running: entry.users });
    onEvent({ kind: 'died', model: name });
    void shut(entry, 'died');
  };

  const wait = (model: Model, keepAliveMs: number | null, victim: string | null, signal: AbortSignal): Promise<Use> => {
    const ready = Promise.withResolvers<Use>();
    const timer = clock.after(roomMsMax, () => ready.reject(new NotStartedHere('busy')));
    const waiter: Waiter = { model, keepAliveMs, victim, sinceMs: clock.monotonic(), ready, timer };
    const gone = (): void => ready.reject(signal.reason);
    signal.addEventListener('abort', gone, { once: true });
    waiters.add(waiter);
    if (victim !== null || entries.get(model.name)?.phase === 'loading') timer[Symbol.dispose]();
    pump();
    return ready.promise.finally(() => {
      signal.removeEventListener('abort', gone);
      timer[Symbol.dispose]();
      if (waiters.delete(waiter)) pump();
    });
  };

  const waitersOf = (name: string): Waiter[] => [...waiters].filter(({ model }) => model.name === name);

  const takeWaiters = (name: string): Waiter[] => {
    const taken = waitersOf(name);
    for (const waiter of taken) waiters.delete(waiter);
    return taken;
  };

  const use = async (model: Model, keepAliveMs: number | null, victim: string | null, signal: AbortSignal) => {
    signal.throwIfAborted();
    if (closed.signal.aborted) throw new NotStartedHere('draining');
    const failure = holding(failures.get(model.name), model.version, clock.monotonic());
    if (failure !== null) throw failure.reason === null ? new NotStartedHere('busy') : again(model.name, failure);
    const entry = entries.get(model.name);
    if (entry?.withdrawn === true) throw new NotStartedHere('busy');
    const outdated = entry !== undefined && entry.model.version !== model.version;
    if (outdated && entry.users === 0) void shut(entry, 'changed');
    if (entry?.phase === 'ready' && entry.engine !== null)
      return enter(entry, entry.engine, keepAliveMs, entry.freshMs ?? 0);
    return wait(model, keepAliveMs, victim, signal);
  };

  return {
    use: (model, keepAliveMs, signal) => use(model, keepAliveMs, null, signal),
    async load(model, victim, signal) {
      if (entries.get(model.name)?.phase === 'ready') return;
      (await use(model, null, victim, signal))[Symbol.dispose]();
    },
    failed: ({ name, version }) => holding(failures.get(name), version, clock.monotonic()),
    unload(name) {
      const entry = entries.get(name);
      if (entry === undefined) return;
      entry.keepAliveMs = 0;
      if (entry.users === 0 && !isPinned(name)) void shut(entry, 'asked');
    },
    residents: states,
    kill(name, reason) {
      const entry = entries.get(name);
      if (entry !== undefined) bury(entry, reason);
    },
    async close() {
      closed.abort(new NotStartedHere('draining'));
      for (const { ready } of waiters) ready.reject(closed.signal.reason);
      await Promise.all([loading, ...[...entries.values()].map((entry) => shut(entry, 'closing'))]);
    },
  };
}
