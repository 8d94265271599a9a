// The guard: a worker never runs more than NUM_PARALLEL requests, whatever the ledger says (invariant I1).
import type { Announcement } from '@berth/shared/announcement.ts';
import type { NotStarted } from '@berth/shared/headers.ts';
import type { RunningLease } from '@berth/shared/ledger/ledger.ts';

/** The right to run one request. Disposing gives it back, once. */
export interface Slot extends Disposable {
  readonly lease: RunningLease;
  /** Which of the slots it is, from 0: the lowest that was free. */
  readonly number: number;
}

type SlotsState = Announcement['state'];

export interface Slots {
  /** Slots that could be in use now: 0 unless it is ready. */
  capacity(): number;
  readonly state: SlotsState;
  used(): number;
  /** What runs now, for the beats. */
  running(): RunningLease[];
  /** A slot, or why nothing was started. */
  take(epoch: string, lease: RunningLease): Slot | NotStarted;
  /** The engine hangs, or works again. */
  stall(stalled: boolean): void;
  /** An operator wants nothing new here, or wants it again; what runs goes on. */
  rest(resting: boolean): void;
  /** From now on nothing is taken; resolves when the last slot has come back. */
  drain(): Promise<void>;
}

/** Leases that have run and are remembered: more than a busy worker ends in the 30 s in which a call could be replayed. */
const ranMax = 10_000;

/** @param epoch the id of this worker's life: a lease of another life is stale */
export function createSlots(count: number, epoch: string): Slots {
  const held = new Map<string, Slot>();
  const ran = new Set<string>();
  const empty = Promise.withResolvers<void>();
  const is = { draining: false, drained: false, stalled: false };
  const state = (): SlotsState =>
    is.draining ? 'draining' : is.drained ? 'drained' : is.stalled ? 'stalled' : 'ready';

  const giveBack = (id: string): void => {
    if (!held.delete(id)) return;
    ran.add(id);
    const [oldest = ''] = ran;
    if (ran.size > ranMax) ran.delete(oldest);
    if (is.draining && held.size === 0) empty.resolve();
  };
  const refusal = (askedEpoch: string, id: string): NotStarted | null => {
    // Each try of a gateway has a lease of its own: one that has run is a copy of a call, sent by whoever heard it.
    if (askedEpoch !== epoch || ran.has(id)) return 'stale';
    if (is.draining || is.drained) return 'draining';
    // A lease runs once: its second request (a retry on a fresh connection) must not run beside the first.
    return is.stalled || held.size >= count || held.has(id) ? 'busy' : null;
  };

  return {
    capacity: () => (state() === 'ready' ? count : 0),
    get state() {
      return state();
    },
    used: () => held.size,
    running: () => [...held.values()].map(({ lease }) => lease),
    take(askedEpoch, lease) {
      const why = refusal(askedEpoch, lease.id);
      if (why !== null) return why;
      const slot = { lease, number: lowestFree(held), [Symbol.dispose]: () => giveBack(lease.id) };
      held.set(lease.id, slot);
      return slot;
    },
    stall(stalled) {
      is.stalled = stalled;
    },
    rest(resting) {
      is.drained = resting;
    },
    drain() {
      is.draining = true;
      if (held.size === 0) empty.resolve();
      return empty.promise;
    },
  };
}

function lowestFree(held: ReadonlyMap<string, Slot>): number {
  const used = new Set([...held.values()].map(({ number }) => number));
  let number = 0;
  while (used.has(number)) number += 1;
  return number;
}
