// Liveness is progress: an engine with work that does no step is stalled, and later dead. A timer would not notice.
import type { Clock } from '@berth/shared/clock.ts';
import type { Engine } from './engine/engine.ts';

/** Without a step for this long the worker takes nothing new. */
export const stalledAfterMs = 15_000;
/** Without a step for this long the engine is killed. */
export const deadAfterMs = 30_000;

export interface Watchdog {
  /** The same events; while the reader waits for the next one, the engine has work outstanding. */
  watch<T>(model: string, engine: Engine, events: AsyncIterable<T>): AsyncIterable<T>;
  /** Looks at every engine that has work. To be called about once a second. */
  check(): { stalled: boolean; dead: string[] };
}

interface Watched {
  model: string;
  /** Readers that wait for the engine now. */
  waiting: number;
  steps: number;
  /** Since when there was work and no step, on the monotonic clock. */
  sinceMs: number;
}

export function createWatchdog(clock: Clock): Watchdog {
  const engines = new Map<Engine, Watched>();

  const watched = (model: string, engine: Engine): Watched => {
    const before = engines.get(engine);
    if (before !== undefined) return before;
    const fresh = { model, waiting: 0, steps: engine.steps(), sinceMs: clock.monotonic() };
    engines.set(engine, fresh);
    return fresh;
  };
  const wait = (model: string, engine: Engine): Disposable => {
    const state = watched(model, engine);
    if (state.waiting === 0) state.sinceMs = clock.monotonic();
    state.waiting += 1;
    return {
      [Symbol.dispose]() {
        state.waiting -= 1;
        if (state.waiting === 0) engines.delete(engine);
      },
    };
  };
  const stillMs = (engine: Engine, state: Watched): number => {
    const steps = engine.steps();
    if (steps !== state.steps) Object.assign(state, { steps, sinceMs: clock.monotonic() });
    return clock.monotonic() - state.sinceMs;
  };

  return {
    async *watch(model, engine, events) {
      const iterator = events[Symbol.asyncIterator]();
      try {
        for (;;) {
          const next = await waitFor(iterator, wait(model, engine));
          if (next.done === true) return;
          yield next.value;
        }
      } finally {
        await iterator.return?.();
      }
    },
    check() {
      const still = [...engines].map(([engine, state]) => ({ model: state.model, ms: stillMs(engine, state) }));
      const dead = still.filter(({ ms }) => ms >= deadAfterMs).map(({ model }) => model);
      return { stalled: still.some(({ ms }) => ms >= stalledAfterMs), dead };
    },
  };
}

async function waitFor<T>(iterator: AsyncIterator<T>, waiting: Disposable): Promise<IteratorResult<T>> {
  using _waiting = waiting;
  return await iterator.next();
}
