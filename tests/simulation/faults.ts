// What goes wrong in a seed, and when: drawn before it begins, carried out by the world.
import type { Chance } from '../models/chance.ts';

type Fault =
  | { kind: 'gateway killed'; gateway: number; heard: boolean; backAfterMs: number }
  | { kind: 'gateway frozen'; gateway: number; forMs: number }
  | { kind: 'gateway cut from ledger'; gateway: number; forMs: number }
  | { kind: 'worker killed'; worker: number; heard: boolean; backAfterMs: number }
  | { kind: 'worker frozen'; worker: number; forMs: number }
  | { kind: 'worker cut from ledger'; worker: number; forMs: number }
  | { kind: 'worker drained'; worker: number; backAfterMs: number }
  | { kind: 'engine slow'; worker: number; factor: number; forMs: number }
  | { kind: 'engine crashed'; worker: number }
  | { kind: 'gateway cut from worker'; gateway: number; worker: number; forMs: number }
  | { kind: 'replies lost'; probability: number; forMs: number }
  | { kind: 'commands late'; probability: number; forMs: number }
  | { kind: 'ledger emptied' }
  | { kind: 'ledger away'; forMs: number; loses: boolean; refuses: boolean }
  | { kind: 'ledger clock stepped'; ms: number };

export type TimedFault = Fault & { atMs: number };

interface FaultSettings {
  faults: number;
  gateways: number;
  workers: number;
  /** They begin within this time. */
  overMs: number;
}

export function drawFaults(chance: Chance, { faults, gateways, workers, overMs }: FaultSettings): TimedFault[] {
  const forMs = () => chance.between(100, chance.happens(0.3) ? 9_000 : 2_000);
  const backAfterMs = () => chance.between(200, chance.happens(0.3) ? 8_000 : 2_500);
  const heard = () => chance.happens(0.8);
  const gateway = () => chance.between(0, gateways - 1);
  const worker = () => chance.between(0, workers - 1);
  const kinds: (() => Fault)[] = [
    () => ({ kind: 'gateway killed', gateway: gateway(), heard: heard(), backAfterMs: backAfterMs() }),
    () => ({ kind: 'gateway frozen', gateway: gateway(), forMs: forMs() }),
    () => ({ kind: 'gateway cut from ledger', gateway: gateway(), forMs: forMs() }),
    () => ({ kind: 'worker killed', worker: worker(), heard: heard(), backAfterMs: backAfterMs() }),
    () => ({ kind: 'worker frozen', worker: worker(), forMs: forMs() }),
    () => ({ kind: 'worker cut from ledger', worker: worker(), forMs: forMs() }),
    () => ({ kind: 'worker drained', worker: worker(), backAfterMs: backAfterMs() }),
    () => ({ kind: 'engine slow', worker: worker(), factor: chance.between(3, 10), forMs: forMs() }),
    () => ({ kind: 'engine crashed', worker: worker() }),
    () => ({ kind: 'gateway cut from worker', gateway: gateway(), worker: worker(), forMs: forMs() }),
    () => ({ kind: 'replies lost', probability: chance.pick([0.1, 0.5, 1]), forMs: forMs() }),
    () => ({ kind: 'commands late', probability: chance.pick([0.1, 0.5, 1]), forMs: forMs() }),
    () => ({ kind: 'ledger emptied' }),
    () => ({ kind: 'ledger away', forMs: forMs(), loses: chance.happens(0.6), refuses: chance.happens(0.5) }),
    () => ({ kind: 'ledger clock stepped', ms: chance.between(-1_500, 1_500) }),
  ];
  return Array.from({ length: faults }, () => ({
    ...chance.pick(kinds)(),
    atMs: 1_000 + chance.unit() * overMs,
  })).toSorted((a, b) => a.atMs - b.atMs);
}
