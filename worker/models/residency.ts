// Which models are loaded: an engine for each, loaded on the first request, unloaded when idle or to make room.
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Engine, EngineOptions, OpenEngine, OutOfMemory } from '../engine/engine.ts';
import type { UnloadReason } from '../metric-families.ts';
import { reasonOf } from '../reason.ts';
import type { Model } from './catalog.ts';
import {
  again,
  blank,
  loadFailed,
  once,
  openingOf,
  residencyMsMin,
  standing,
  stayMsOf,
  takeSettings,
  touch,
} from './entry.ts';
import type { Entry, Resident, ResidencyEvent } from './entry.ts';
import { afterDeath, afterFailedLoad, afterLoad, holding } from './failures.ts';
import type { Failure } from './failures.ts';
import { closeInTime, openInTime } from './in-time.ts';
import { NotStartedHere } from './not-started.ts';
import { nextStep, outByPins } from './plan.ts';
import { couldFree, openBeside } from './room.ts';
import { noHabit, used } from './victims.ts';
import type { Habit } from './victims.ts';
import { createWaiters } from './waiters.ts';
import type { Use } from './waiters.ts';

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
  /** Unloads the model as soon as it is idle; one that is pinned only where that is said. */
  unload(name: string, pinnedToo?: boolean): void;
  /** What is known of the models has changed: settings that need no new load hold at once. */
  refresh(models: readonly Model[]): void;
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

export function createResidency(options: ResidencyOptions): Residency {
  const { open, loadedMax, clock, log, onEvent } = options;
  const entries = new Map<string, Entry>();
  const failures = new Map<string, Failure>();
  const habits = new Map<string, Habit>();
  /** Memory that a model which is waited for did not find. */
  const lacking = new Map<string, number>();
  const closed = new AbortController();
  let loading: Promise<void> = Promise.resolve();

  const habitOf = (name: string): Habit => habits.get(name) ?? noHabit;
  const isPinned = ({ name, settings }: Model): boolean =>
    settings.pinned === true || options.isPinned?.(name) === true;

  const enter = (entry: Entry, engine: Engine, keepAliveMs: number | null, loadMs: number): Use => {
    const { name } = entry.model;
    entry.expiry?.[Symbol.dispose]();
    touch(entry, clock.monotonic());
    Object.assign(entry, { expiry: null, expiresAt: null, users: entry.users + 1 });
    entry.keepAliveMs = keepAliveMs ?? entry.keepAliveMs;
    entry.freshMs = null;
    if (entry.users === 1) onEvent({ kind: 'used', model: name });
    return { engine, loadMs, [Symbol.dispose]: once(() => leave(entry)) };
  };

  const leave = (entry: Entry): void => {
    touch(entry, clock.monotonic());
    entry.users -= 1;
    if (entry.users > 0 || entry.phase !== 'ready') return;
    rest(entry);
    pump();
  };

  /** Nobody uses it: its keep-alive begins. */
  const rest = (entry: Entry): void => {
    entry.expiry?.[Symbol.dispose]();
    entry.expiry = null;
    const pinned = isPinned(entry.model);
    const stays = entry.freshMs !== null || pinned;
    if (entry.keepAliveMs === 0 && !stays) return void shut(entry, 'idle');
    const stayMs = stayMsOf(entry, stays);
    // A pin may be taken away at any time: then it goes when it has stayed as long again.
    const expire = () => (isPinned(entry.model) ? rest(entry) : void shut(entry, 'idle'));
    entry.expiry = Number.isFinite(entry.keepAliveMs) ? clock.after(stayMs, expire) : null;
    entry.expiresAt = entry.expiry === null || pinned ? null : clock.now() + stayMs;
    onEvent({ kind: 'idle', model: entry.model.name });
  };

  /** Unloads. Never rejects; the place of the model is free when it has settled. */
  const shut = async (entry: Entry, reason: UnloadReason): Promise<void> => {
    if (entry.phase !== 'ready') return;
    entry.phase = 'closing';
    entry.expiry?.[Symbol.dispose]();
    await closeInTime(clock, log, entry);
    remove(entry);
    const freed = entry.engine?.info.memoryBytes ?? 0;
    for (const [name, bytes] of lacking) lacking.set(name, bytes - freed);
    onEvent({ kind: 'unloaded', model: entry.model.name, reason });
    pump();
  };

  const remove = (entry: Entry): void => {
    if (entries.get(entry.model.name) === entry) entries.delete(entry.model.name);
  };

  /** Takes the next steps until there is nothing to do but wait. */
  const pump = (): void => {
    const wanted = waiters.wanted();
    const [first = ''] = wanted;
    if (wanted.length === 0) for (const entry of entries.values()) entry.withdrawn = false;
    for (const name of lacking.keys()) if (!wanted.includes(name)) lacking.delete(name);
    if (closed.signal.aborted) return;
    const victim = waiters.of(first)[0]?.victim ?? '';
    const step = nextStep(states(), wanted, loadedMax, victim, lacking.get(first));
    if (step.kind === 'load') loading = load(step.name);
    const entry = step.kind === 'none' ? undefined : entries.get(step.name);
    if (entry === undefined) return;
    if (step.kind === 'unload') void shut(entry, 'room');
    if (step.kind !== 'withdraw') return;
    entry.withdrawn = true;
    onEvent({ kind: 'withdrawn', model: step.name });
  };
  const waiters = createWaiters(clock, pump);

  const states = (): Resident[] =>
    [...entries].map(([name, entry]) => {
      const stands = standing(entry, habitOf(name), isPinned(entry.model), clock.monotonic());
      return { name, ...entry, ...stands };
    });

  /** Loads for all who wait for the model. Never rejects. */
  const load = async (name: string): Promise<void> => {
    const [waiter] = waiters.of(name);
    if (waiter === undefined) return;
    const { model } = waiter;
    const startedMs = clock.monotonic();
    const entry = blank(model, options.keepAliveMs, startedMs);
    entries.set(name, entry);
    lacking.delete(name);
    waiters.bound(name, true);
    log.info('loading a model', { model: name, path: model.path });
    onEvent({ kind: 'loading', model: name });
    try {
      const begin = (whole: boolean) =>
        openInTime(clock, closed.signal, (signal, goesOn) =>
          open({ ...openingOf(model, options.engine), ...(whole && { whole }) }, signal, goesOn),
        );
      loaded(entry, await openBeside(() => movable(name), begin), startedMs);
    } catch (error) {
      if (!closed.signal.aborted && couldFree(movable(name), error)) makeRoom(entry, error);
      else failedToLoad(entry, error);
    }
    if (closed.signal.aborted) await shut(entry, 'closing');
    pump();
  };

  const movable = (name: string): Resident[] =>
    states().filter((each) => each.name !== name && each.phase === 'ready' && !each.pinned);

  /** Others will go for it, and then it is tried again. */
  const makeRoom = (entry: Entry, { message, missingBytes }: OutOfMemory): void => {
    const { name } = entry.model;
    remove(entry);
    lacking.set(name, missingBytes);
    waiters.bound(name, false);
    log.info('a model waits for memory', { model: name, missingBytes, reason: message });
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
    habits.set(name, { ...habitOf(name), loadMs });
    onEvent({ kind: 'loaded', model: name, loadMs, engine });
    for (const { keepAliveMs, victim, sinceMs, ready } of waiters.take(name)) {
      ready.resolve(enter(entry, engine, keepAliveMs, clock.monotonic() - sinceMs));
      if (victim === null) noteUse(name);
      else entry.freshMs = loadMs;
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
    for (const { ready } of waiters.take(name)) {
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

  const noteUse = (name: string): void => void habits.set(name, used(habitOf(name), clock.monotonic()));

  const shutOut = (name: string): { reason: string } | null =>
    entries.has(name) ? null : outByPins(states(), loadedMax);

  const use = async (model: Model, keepAliveMs: number | null, victim: string | null, signal: AbortSignal) => {
    signal.throwIfAborted();
    if (closed.signal.aborted) throw new NotStartedHere('draining');
    const failure = holding(failures.get(model.name), model.version, clock.monotonic());
    if (failure !== null) throw failure.reason === null ? new NotStartedHere('busy') : again(model.name, failure);
    const entry = entries.get(model.name);
    if (entry?.withdrawn === true) throw new NotStartedHere('busy');
    const outdated = entry !== undefined && entry.model.version !== model.version;
    if (outdated && entry.users === 0) void shut(entry, 'changed');
    const out = shutOut(model.name);
    if (out !== null) throw loadFailed(model.name, out.reason);
    if (entry?.phase === 'ready' && entry.engine !== null) {
      if (victim === null) noteUse(model.name);
      return enter(entry, entry.engine, keepAliveMs, entry.freshMs ?? 0);
    }
    const wait = waiters.add(model, keepAliveMs, victim, signal);
    if (entries.get(model.name)?.phase === 'loading') waiters.bound(model.name, true);
    return await wait;
  };

  return {
    use: (model, keepAliveMs, signal) => use(model, keepAliveMs, null, signal),
    async load(model, victim, signal) {
      if (entries.get(model.name)?.phase === 'ready') return;
      (await use(model, null, victim, signal))[Symbol.dispose]();
    },
    failed: ({ name, version }) => holding(failures.get(name), version, clock.monotonic()) ?? shutOut(name),
    unload(name, pinnedToo = false) {
      const entry = entries.get(name);
      if (entry === undefined || (isPinned(entry.model) && !pinnedToo)) return;
      entry.keepAliveMs = 0;
      if (entry.users === 0) void shut(entry, 'asked');
    },
    refresh(models) {
      for (const entry of entries.values()) {
        if (!takeSettings(entry, models, options.keepAliveMs)) continue;
        if (entry.phase === 'ready' && entry.users === 0) rest(entry);
      }
    },
    residents: states,
    kill(name, reason) {
      const entry = entries.get(name);
      if (entry !== undefined) bury(entry, reason);
    },
    async close() {
      closed.abort(new NotStartedHere('draining'));
      for (const { ready } of waiters.all()) ready.reject(closed.signal.reason);
      await Promise.all([loading, ...[...entries.values()].map((entry) => shut(entry, 'closing'))]);
    },
  };
}
