// A request that was understood: what every stage after `parse` works on.
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import type { PriorityClass } from '@berth/shared/ledger/ledger.ts';
import type { Milestone } from '@berth/shared/prefix.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Trace } from '@berth/shared/trace.ts';

/** Whose request it is. Fairness, bounds and prefix caches go by these. */
export interface Owner {
  team: string;
  key: string;
  /** Share of the team beside those of others, 0.01 to 100; 1 unless it is said. */
  weight?: number;
  /** The most urgent class that the key may ask for; 0, `high`, unless it is said. */
  priorityMax?: PriorityClass;
  /** Requests of the key that may wait for a slot of one model; as many as of any key unless it is said. */
  waitingMax?: number | null;
}

export interface Job {
  /** The request's id, as the client sees it in `x-request-id`. */
  id: string;
  dialect: Dialect;
  /** Path on the worker, one of ours: nothing of the client's goes into it. */
  path: string;
  generation: Generation;
  /** Canonical name of the model, as in the roster. */
  model: string;
  /** By which it is known who has cached its beginning. */
  milestones: readonly Milestone[];
  /** The client's bytes, forwarded as they are after validation. */
  body: Buffer;
  owner: Owner;
  priority: PriorityClass;
  /** Most output tokens of each answer that the key may have; left out = as many as it asks for. */
  outputMax?: number;
  /** Most tokens of prompt and answer together that the key may have; left out = the model's context. */
  contextMax?: number;
  /** When the request arrived, on the monotonic clock. */
  arrivedMs: number;
  /** The client says that it sent this before. */
  retry: boolean;
  /** When the client traces its requests. */
  trace?: Trace;
  /** How long the client wants to wait for a slot, from its arrival; `null` = it did not say. */
  patienceMs: number | null;
}
