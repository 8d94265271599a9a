// Time as an argument: the port that everything below `main` uses instead of Date and setTimeout.
export interface Clock {
  /** Milliseconds since the Unix epoch. For records and replies, never for measuring. */
  now(): number;
  /** Milliseconds from an arbitrary start that never go back. For durations and deadlines. */
  monotonic(): number;
  /** Calls `action` once after `delayMs`; disposing the result cancels it. Never keeps the process alive. */
  after(delayMs: number, action: () => void): Disposable;
}

/** The machine's own clock. Made in `main` only. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
