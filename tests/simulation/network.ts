// The network of the simulation: how long a message takes from one process to another, and where it cannot pass.
import type { Chance } from '../models/chance.ts';
import type { Events } from './events.ts';

export interface Network {
  /** Nothing passes between the two for so long; `*` is everybody. */
  cut(one: string, other: string, forMs: number): void;
  /** When the way between them is open again; now, when it is. */
  openMs(one: string, other: string): number;
  isCut(one: string, other: string): boolean;
  /** Milliseconds that a message takes: mostly a fraction of one, now and then several. */
  latencyMs(): number;
  healAll(): void;
}

export function createNetwork(events: Events, chance: Chance): Network {
  const cuts = new Map<string, number>();
  const way = (one: string, other: string): string => (one < other ? `${one}|${other}` : `${other}|${one}`);
  const openMs = (one: string, other: string): number => {
    const until = [way(one, other), way(one, '*'), way(other, '*')].map((name) => cuts.get(name) ?? 0);
    return Math.max(events.nowMs, ...until);
  };
  return {
    cut: (one, other, forMs) => void cuts.set(way(one, other), events.nowMs + forMs),
    openMs,
    isCut: (one, other) => openMs(one, other) > events.nowMs,
    latencyMs: () => (chance.happens(0.02) ? 2 + 20 * chance.unit() : 0.1 + 0.4 * chance.unit()),
    healAll: () => cuts.clear(),
  };
}
