// The life of a process in the simulation: it may be frozen and thawed, and killed. Its clock and its mail know that.
import type { Clock } from '@berth/shared/clock.ts';
import type { Events } from './events.ts';

export interface Life {
  readonly name: string;
  readonly alive: boolean;
  readonly frozen: boolean;
  readonly clock: Clock;
  /** Something reaches the process: now, or when it thaws, or never. */
  deliver(action: () => void): void;
  freeze(): void;
  thaw(): void;
  kill(): void;
}

/** Some day in 2023; whole seconds, so that a time is easy to read. */
export const startMs = 1_700_000_000_000;

export function createLife(name: string, events: Events): Life {
  let alive = true;
  let frozen = false;
  let mail: (() => void)[] = [];

  const deliver = (action: () => void): void => {
    if (!alive) return;
    if (frozen) mail.push(action);
    else action();
  };
  return {
    name,
    get alive() {
      return alive;
    },
    get frozen() {
      return frozen;
    },
    clock: {
      now: () => startMs + events.nowMs,
      monotonic: () => events.nowMs,
      after(delayMs, action) {
        let cancelled = false;
        const planned = events.after(delayMs, () => deliver(() => (cancelled ? undefined : action())));
        return {
          [Symbol.dispose]() {
            cancelled = true;
            planned[Symbol.dispose]();
          },
        };
      },
    },
    deliver,
    freeze() {
      frozen = true;
    },
    thaw() {
      if (!frozen) return;
      frozen = false;
      const waiting = mail;
      mail = [];
      for (const action of waiting) events.after(0, () => deliver(action));
    },
    kill() {
      alive = false;
      mail = [];
    },
  };
}
