// What became of the requests of one run, and the figures that are made of it.
import type { Events } from '../events.ts';
import { percentile } from '../fair.ts';
import type { Ask } from './traces.ts';

export interface Ran {
  started(ask: Ask): void;
  ended(ask: Ask): void;
  loaded(model: string): void;
  /** A model was unloaded while it was used, or although it was pinned: this must not be. */
  wrongly(what: string): void;
  figures(): Figures;
}

export interface Figures {
  asked: number;
  ended: number;
  loads: number;
  wrong: readonly string[];
  /** From the request's arrival to its slot, with its model loaded. */
  waitsMs: readonly number[];
  meanMs: number;
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
  mostMs: number;
}

export function createRan(events: Events, asks: readonly Ask[]): Ran {
  const waits = new Map<number, number>();
  const wrong: string[] = [];
  let [ended, loads] = [0, 0];
  return {
    // A request that returns to the queue waits on.
    started: ({ id, atMs }) => void waits.set(id, events.nowMs - atMs),
    ended: () => void (ended += 1),
    loaded: () => void (loads += 1),
    wrongly: (what) => void wrong.push(what),
    figures() {
      const waitsMs = asks.map(({ id }) => waits.get(id) ?? Infinity).toSorted((a, b) => a - b);
      const at = (share: number) => percentile(waitsMs, share);
      const meanMs = waitsMs.reduce((sum, ms) => sum + ms, 0) / Math.max(1, waitsMs.length);
      const figures = { meanMs, p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), mostMs: at(1) };
      return { asked: asks.length, ended, loads, wrong, waitsMs, ...figures };
    },
  };
}
