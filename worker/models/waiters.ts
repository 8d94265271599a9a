// Who waits for a model to be loaded: in the order of arrival, with a bound on the wait for room.
import type { Clock } from '@berth/shared/clock.ts';
import type { Engine } from '../engine/engine.ts';
import type { Model } from './catalog.ts';
import { NotStartedHere } from './not-started.ts';

/** The right to use a loaded model; disposing ends it, and the model's idle time begins with the last. */
export interface Use extends Disposable {
  readonly engine: Engine;
  /** What this request waited for the model, milliseconds. */
  readonly loadMs: number;
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
  timer: Disposable | null;
}

export interface Waiters {
  /** Waits from now on. @param onChange somebody came or went */
  add(model: Model, keepAliveMs: number | null, victim: string | null, signal: AbortSignal): Promise<Use>;
  all(): Waiter[];
  /** Names of the models that are waited for, those first that were wanted first. */
  wanted(): string[];
  /** Those of one model. */
  of(name: string): Waiter[];
  /** Those of one model, who wait no more. */
  take(name: string): Waiter[];
  /** The load of the model has begun, and takes as long as it takes; or it goes on waiting for room. */
  bound(name: string, isLoading: boolean): void;
}

export function createWaiters(clock: Clock, onChange: () => void): Waiters {
  const waiters = new Set<Waiter>();
  const of = (name: string): Waiter[] => [...waiters].filter(({ model }) => model.name === name);
  const start = (waiter: Waiter): void => {
    waiter.timer?.[Symbol.dispose]();
    // An order waits for room as long as it stands.
    waiter.timer =
      waiter.victim === null ? clock.after(roomMsMax, () => waiter.ready.reject(new NotStartedHere('busy'))) : null;
  };
  return {
    all: () => [...waiters],
    of,
    wanted: () => [...new Set([...waiters].map(({ model }) => model.name))],
    async add(model, keepAliveMs, victim, signal) {
      const ready = Promise.withResolvers<Use>();
      const waiter: Waiter = { model, keepAliveMs, victim, sinceMs: clock.monotonic(), ready, timer: null };
      const gone = (): void => ready.reject(signal.reason);
      signal.addEventListener('abort', gone, { once: true });
      waiters.add(waiter);
      start(waiter);
      onChange();
      return await ready.promise.finally(() => {
        signal.removeEventListener('abort', gone);
        waiter.timer?.[Symbol.dispose]();
        if (waiters.delete(waiter)) onChange();
      });
    },
    take(name) {
      const taken = of(name);
      for (const waiter of taken) waiters.delete(waiter);
      return taken;
    },
    bound(name, isLoading) {
      for (const waiter of of(name)) {
        if (!isLoading) start(waiter);
        else waiter.timer?.[Symbol.dispose]();
      }
    },
  };
}
