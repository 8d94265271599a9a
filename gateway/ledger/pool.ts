// The state of one pool in memory: the same keys with the same content as in Redis (shared/ledger/lua/prelude.lua).
import type { LedgerCount, Order } from '@berth/shared/ledger/ledger.ts';
import { createSortedSet, type SortedSet } from './sorted.ts';

/** What an id stands for: a ticket that waits, or a lease that is held. */
export interface LedgerRecord {
  state: 'wait' | 'held';
  model: string;
  /** One digit, 0 to 2. */
  class: string;
  team: string;
  key: string;
  gateway: string;
  cost: number;
  age: number;
  /** When it began to wait; when held: when it was charged. */
  since: number;
  exclude: readonly string[];
  worker: string;
  epoch: string;
}

/** The load that a worker is to do. */
export interface StandingOrder extends Order {
  /** Who proposed it; '' = the worker said so itself. */
  gateway: string;
  /** The worker has said that it knows. */
  heard: boolean;
}

export interface WorkerRecord {
  epoch: string;
  capacity: number;
  weight: number;
  serves: readonly string[];
  order: StandingOrder | null;
  parked: boolean;
  /** Leases that it ran and the ledger did not know, with the time of the first beat that said so. */
  suspects: ReadonlyMap<string, number>;
  announcement: string;
}

export interface Pool {
  /** Zero point of the inflation; `null` until the first operation, as after a FLUSHALL. */
  era: number | null;
  /** First version of the roster; the version below which departures are forgotten; the current one. */
  birth: number;
  kept: number;
  version: number;
  records: Map<string, LedgerRecord>;
  workers: Map<string, WorkerRecord>;
  /** By model, the worker that is to load it. */
  loads: Map<string, string>;
  /** Sorted sets under the names that they have in Redis; an empty one does not exist. */
  sorted: Map<string, SortedSet>;
  /** Sets under the names that they have in Redis. */
  sets: Map<string, Set<string>>;
  /** Tickets by team and key. */
  waiting: Map<string, number>;
  usage: Map<string, number>;
  weights: Map<string, number>;
  counts: Map<LedgerCount, number>;
}

export function emptyPool(): Pool {
  return {
    era: null,
    birth: 0,
    kept: 0,
    version: 0,
    records: new Map(),
    workers: new Map(),
    loads: new Map(),
    sorted: new Map(),
    sets: new Map(),
    waiting: new Map(),
    usage: new Map(),
    weights: new Map(),
    counts: new Map(),
  };
}

export function countIn({ counts }: Pool, what: LedgerCount, times: number): void {
  if (times > 0) counts.set(what, (counts.get(what) ?? 0) + times);
}

/** The commands of Redis that the ledger needs, over the pool's sorted sets and sets. */
export function commandsOf(pool: Pool) {
  const empty = createSortedSet();
  const read = (name: string): SortedSet => pool.sorted.get(name) ?? empty;
  return {
    card: (name: string): number => read(name).size,
    score: (name: string, member: string): number | undefined => read(name).scoreOf(member),
    rankOf: (name: string, member: string): number => read(name).rankOf(member),
    at: (name: string, rank: number) => read(name).at(rank),
    all: (name: string): string[] =>
      read(name)
        .entries()
        .map(({ member }) => member),
    /** Members whose score lies below, in order. */
    below(name: string, score: number, most = Infinity): string[] {
      const found: string[] = [];
      for (let rank = 0; found.length < most; rank++) {
        const entry = read(name).at(rank);
        if (entry === undefined || entry.score >= score) break;
        found.push(entry.member);
      }
      return found;
    },
    /** Members whose score lies above, in order. */
    above: (name: string, score: number): string[] =>
      read(name)
        .entries()
        .filter((entry) => entry.score > score)
        .map(({ member }) => member),
    add(name: string, score: number, member: string): void {
      let set = pool.sorted.get(name);
      if (set === undefined) pool.sorted.set(name, (set = createSortedSet()));
      set.add(member, score);
    },
    remove(name: string, member: string): void {
      const set = pool.sorted.get(name);
      if (set?.remove(member) === true && set.size === 0) pool.sorted.delete(name);
    },
    count: (name: string): number => pool.sets.get(name)?.size ?? 0,
    members: (name: string): string[] => [...(pool.sets.get(name) ?? [])],
    put(name: string, member: string): void {
      const set = pool.sets.get(name);
      if (set === undefined) pool.sets.set(name, new Set([member]));
      else set.add(member);
    },
    take(name: string, member: string): void {
      const set = pool.sets.get(name);
      if (set?.delete(member) === true && set.size === 0) pool.sets.delete(name);
    },
  };
}
