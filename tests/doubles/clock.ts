// A clock that goes only when a test says so.
import type { Clock } from '@berth/shared/clock.ts';

export interface VirtualClock extends Clock {
  /** Lets this much time pass: timers run in their order, and what they set going is given its turn in between. */
  advance(ms: number): Promise<void>;
  /** Timers that are set now. */
  readonly timers: number;
}

export function virtualClock(startMs = 1_700_000_000_000): VirtualClock {
  const timers = new Map<symbol, { atMs: number; action: () => void }>();
  let elapsedMs = 0;

  const next = (untilMs: number): [symbol, { atMs: number; action: () => void }] | undefined =>
    [...timers].filter(([, { atMs }]) => atMs <= untilMs).toSorted(([, a], [, b]) => a.atMs - b.atMs)[0];

  return {
    now: () => startMs + elapsedMs,
    monotonic: () => elapsedMs,
    after(delayMs, action) {
      const id = Symbol('timer');
      // As in Node: a timer that is longer than 2^31 - 1 ms fires at once.
      const waitMs = delayMs > 2 ** 31 - 1 ? 1 : Math.max(0, delayMs);
      timers.set(id, { atMs: elapsedMs + waitMs, action });
      return { [Symbol.dispose]: () => void timers.delete(id) };
    },
    async advance(ms) {
      const untilMs = elapsedMs + ms;
      await settled();
      for (let due = next(untilMs); due !== undefined; due = next(untilMs)) {
        timers.delete(due[0]);
        elapsedMs = Math.max(elapsedMs, due[1].atMs);
        due[1].action();
        await settled();
      }
      elapsedMs = untilMs;
    },
    get timers() {
      return timers.size;
    },
  };
}

/** Gives everything that is ready its turn: promises, and input and output that has arrived. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
