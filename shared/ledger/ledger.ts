// The ledger's port: who holds which slot and who waits. Operations are absolute and idempotent by id.
// Every time is milliseconds on the ledger's own clock; every cost is in slot-seconds.

/** Priority class. Each step down is a factor 4 on usage: a head start of 120 s at equal usage. */
export type PriorityClass = 0 | 1 | 2;

export interface Take {
  /** One id names the ticket while it waits and the lease once it is held. */
  id: string;
  gateway: string;
  model: string;
  priority: PriorityClass;
  team: string;
  key: string;
  /** The team's share beside those of others, 1 unless it was told otherwise; the last one asked with holds. */
  weight: number;
  /** Estimated slot-seconds. */
  cost: number;
  /** When this job first asked, as an earlier reply told; `null` = now. */
  age: number | null;
  /** Most tickets that may wait in the pool, and under one key. */
  waitingMax: number;
  waitingPerKeyMax: number;
  /** A preferred worker is taken while its load is at most this much above the least loaded one's. */
  slack: number;
  /** Workers to take first, best first; at most 4. */
  prefer: readonly string[];
  /** Workers that failed this job, or whose context is too small for it; at most 8. */
  exclude: readonly string[];
}

/** A slot on a worker, for one request. The request carries both names; the worker compares the epoch. */
export interface Grant {
  id: string;
  worker: string;
  epoch: string;
}

/** A grant as it is pushed to a waiter, with the time at which the ledger made it. */
export interface HandOff extends Grant {
  atMs: number;
}

/** `servers` workers serve the model of a ticket that waits: with none it is cold, and somebody has to `claim` it. */
export type Taken =
  | ({ kind: 'held'; age: number } & Grant)
  | { kind: 'wait'; age: number; place: number; servers: number }
  | { kind: 'full'; age: number; bound: 'all' | 'key' };

export interface Leave {
  id: string;
  /** What the request really cost, slot-seconds; `null` keeps the estimate, 0 refunds it. */
  actual: number | null;
  /** The worker answered "not started, busy": give it nothing more until its next beat. */
  refused: boolean;
}

/** `waited` = a ticket was withdrawn; `held` = a slot was freed and handed on; `gone` = there was nothing. */
export type Left = 'gone' | 'waited' | 'held';

export interface Session {
  gateway: string;
  /** Every ticket that this gateway still waits on. Others of it are dropped when older than the grace. */
  tickets: readonly string[];
  /** Version of the roster that this gateway has; 0 = none. */
  rosterVersion: number;
}

export type TicketState =
  | { kind: 'wait'; place: number; servers: number }
  | { kind: 'held'; worker: string; epoch: string }
  | { kind: 'gone' };

export interface RosterChange {
  version: number;
  /** True when `present` is the whole roster and not only what changed. */
  whole: boolean;
  /** Announcements as the workers wrote them (JSON text). */
  present: { worker: string; announcement: string }[];
  gone: string[];
}

export interface SessionReply {
  tickets: Map<string, TicketState>;
  roster: RosterChange;
  /** Tickets that wait in the whole pool. */
  waiting: number;
  /** Gateways with a live session, this one included. */
  gateways: number;
  /** The ledger's clock. */
  nowMs: number;
  /** True when it is not the shared ledger that answers: of the workers nothing is known. */
  alone?: true;
}

export interface RunningLease {
  id: string;
  model: string;
  team: string;
  key: string;
  gateway: string;
}

/** A model that a worker is to load, and the one that goes for it when there is no room; '' = none. */
export interface Order {
  model: string;
  victim: string;
}

/** A gateway proposes that a worker load a model for which its tickets wait. */
export interface Claim extends Order {
  gateway: string;
  worker: string;
  /** What the gateway has seen: the worker's life, the roster, and how many workers serve the model. */
  epoch: string;
  rosterVersion: number;
  servers: number;
}

/** `ordered` = it will; `loading` = a worker is to load the model already; `moved` = it is not as the gateway saw it. */
export type Claimed = 'ordered' | 'loading' | 'moved';

export interface Beat {
  worker: string;
  /** Random id of the worker's life; compared for equality only. */
  epoch: string;
  /** The first beat of a life: it always wins over an older life. */
  boot: boolean;
  /** The last beat of a life: the worker leaves the roster, its leases are void. */
  last: boolean;
  /** Slots; 0 = takes nothing new. */
  capacity: number;
  /** Relative speed, > 0; the load of a worker is used / (capacity · weight). */
  weight: number;
  /** Models that it may be given requests for: it has them loaded. */
  serves: readonly string[];
  /** The load that is under way or that it has been ordered, from when it heard of it until it has ended. */
  loading?: Order | null;
  running: readonly RunningLease[];
  /** JSON text, opaque to the ledger; a change of it is a new version of the roster. */
  announcement: string;
}

/**
 * `added` and `dropped` count leases on which ledger and worker disagreed (drift). `order`: the load that the worker is
 * to do; `null` = none, and one that has not begun yet is off.
 */
export type BeatReply =
  | { kind: 'ok'; added: number; dropped: number; order: Order | null }
  | { kind: 'stale'; epoch: string };

/** What the ledger counts since it was made, over the whole pool: where its account was wrong or somebody died. */
export const ledgerCounts = [
  'leases_dead_worker',
  'leases_new_epoch',
  'leases_worker_left',
  'leases_dropped',
  'leases_added',
  'tickets_dead_session',
  'tickets_unlisted',
  'tickets_unheard',
] as const;
export type LedgerCount = (typeof ledgerCounts)[number];

export interface Survey {
  /** @param age of the oldest ticket: when it was first asked for, on the ledger's clock, ms */
  waiting: { model: string; priority: PriorityClass; tickets: number; age: number }[];
  workers: { worker: string; held: number; capacity: number }[];
  leases: { worker: string; model: string; held: number }[];
  counts: Record<LedgerCount, number>;
}

/** What a worker needs of the ledger. */
export interface WorkerLedger {
  beat(input: Beat): Promise<BeatReply>;
  leave(input: Leave): Promise<Left>;
}

export interface Ledger extends WorkerLedger {
  take(input: Take): Promise<Taken>;
  session(input: Session): Promise<SessionReply>;
  claim(input: Claim): Promise<Claimed>;
  /**
   * This gateway has left the lease to its worker, which tells its end: no `leave` will come. For a ledger that keeps
   * its own account of what the gateway runs.
   */
  entrust?(id: string): void;
  /** Read only, for people and metrics. */
  survey(): Promise<Survey>;
  /** Calls `onGrant` for each slot handed to a waiter of this gateway. Without a listener there is no grant. */
  listen(gateway: string, onGrant: (grant: HandOff) => void): Promise<AsyncDisposable>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The ledger did not answer, so what became of the call is unknown: leave(id) and go on with a new id. */
export class LedgerUnavailable extends Error {
  override readonly name = 'LedgerUnavailable';
}

/** A lease listed by nobody is dropped after this long. */
export const graceMs = 2_000;
/** A gateway that is silent for this long is dead: its tickets go. */
export const sessionMs = 3_000;
/** A worker that is silent for this long is dead: its leases go. */
export const workerMs = 5_000;
/** Usage halves in this time. */
export const halfLifeMs = 60_000;
/** An order of which its worker says nothing for this long is void. */
export const orderMs = 10_000;
/** So is one that has not ended this long after the worker has heard of it. */
export const loadMs = 600_000;
