// The guard: a worker never runs more than NUM_PARALLEL requests, whatever the ledger says (invariant I1).
import type { NotStarted } from '@berth/shared/headers.ts';
import type { RunningLease } from '@berth/shared/ledger/ledger.ts';

/** The right to run one request. Disposing gives it back, once. */
export interface Slot extends Disposable {
  readonly lease: RunningLease;
}

type SlotsState = 'ready' | 'draining' | 'stalled';

export interface Slots {
  /** Slots that could be in use now: 0 while draining or stalled. */
  capacity(): number;
  readonly state: SlotsState;
  used(): number;
  /** What runs now, for the beats. */
  running(): RunningLease[];
  /** A slot, or why nothing was started. */
  take(epoch: string, lease: RunningLease): Slot | NotStarted;
  /** The engine hangs, or works again. No effect while draining. */
  stall(stalled: boolean): void;
  /** From now on nothing is taken; resolves when the last slot has come back. */
  drain(): Promise<void>;
}

/** @param epoch the id of this worker's life: a lease of another life is stale */
export function createSlots(count: number, epoch: string): Slots {
  const held = new Map<string, RunningLease>();
  const empty = Promise.withResolvers<void>();
  let state: SlotsState = 'ready';

  const giveBack = (id: string): void => {
    if (held.delete(id) && state === 'draining' && held.size === 0) empty.resolve();
  };
  const refusal = (askedEpoch: string, id: string): NotStarted | null => {
    if (askedEpoch !== epoch) return 'stale';
    if (state === 'draining') return 'draining';
    // A lease runs once: its second request (a retry on a fresh connection) must not run beside the first.
    return state === 'stalled' || held.size >= count || held.has(id) ? 'busy' : null;
  };

  return {
    capacity: () => (state === 'ready' ? count : 0),
    get state() {
      return state;
    },
    used: () => held.size,
    running: () => [...held.values()],
    take(askedEpoch, lease) {
      const why = refusal(askedEpoch, lease.id);
      if (why !== null) return why;
      held.set(lease.id, lease);
      return once(lease, giveBack);
    },
    stall(stalled) {
      if (state !== 'draining') state = stalled ? 'stalled' : 'ready';
    },
    drain() {
      state = 'draining';
      if (held.size === 0) empty.resolve();
      return empty.promise;
    },
  };
}

/** A later holder of the same id must not lose its slot to a second disposal of the first. */
function once(lease: RunningLease, giveBack: (id: string) => void): Slot {
  let given = false;
  return {
    lease,
    [Symbol.dispose]() {
      if (!given) giveBack(lease.id);
      given = true;
    },
  };
}
