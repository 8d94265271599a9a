// What an engine takes for its work, as measured, and the boxes of the simulation that work at this speed.
import type { Events } from '../events.ts';
import type { Ask } from './traces.ts';

/**
 * Of the 15M model on one thread, q8_0: BENCHMARKS.md, "The engine", 2026-11-26 04:43 UTC, commit 0dbedd6 (8 slots at
 * once; 2,000 tokens read cold in 904 ms). The load: `npm run bench:load`,
 * 2026-11-30 21:30 UTC, two processors with a load average of 5 (a quiet machine loads faster, which would favour both).
 */
export const measured = { prefillPerS: 2_212, decodePerS: 88, loadMs: 1_080 };

export interface Box {
  /**
   * Runs a request in a slot that it has: its unknown tokens are read after those that came before it, as one engine
   * reads them, then it answers.
   */
  run(ask: Ask, knownTokens: number, done: () => void): void;
  /** Slot-seconds that were used. */
  readonly busyS: number;
}

export function createBox(events: Events): Box {
  let readUntilMs = 0;
  let busyS = 0;
  return {
    run({ promptTokens, outputTokens }, knownTokens, done) {
      const readMs = (Math.max(1, promptTokens - knownTokens) * 1_000) / measured.prefillPerS;
      readUntilMs = Math.max(events.nowMs, readUntilMs) + readMs;
      const tookMs = readUntilMs - events.nowMs + (outputTokens * 1_000) / measured.decodePerS;
      busyS += tookMs / 1_000;
      events.after(tookMs, done);
    },
    get busyS() {
      return busyS;
    },
  };
}
