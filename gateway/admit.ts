// The door: what this gateway itself bounds before the ledger is asked.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Estimate } from './estimate.ts';
import type { Job } from './job.ts';
import type { RetryBudget } from './retry-budget.ts';

/** @returns a pass that is held until the request ends @throws Refusal `draining`, `queue_full` */
export type Admit = (job: Job) => Disposable;

export interface Door {
  readonly admit: Admit;
  /** Requests inside. */
  readonly inside: number;
  readonly draining: boolean;
  /** From now on everything new is refused. */
  drain(): void;
}

interface Options {
  estimate: Estimate;
  retries: RetryBudget;
  /** Most bytes of bodies that are held at a time: each is kept for a retry that is safe. */
  bytesMax: number;
}

export function createDoor({ estimate, retries, bytesMax }: Options): Door {
  let inside = 0;
  let bytes = 0;
  let draining = false;
  return {
    get inside() {
      return inside;
    },
    get draining() {
      return draining;
    },
    drain() {
      draining = true;
    },
    admit({ body }) {
      const retryAfterS = estimate.retryAfterS();
      if (draining) throw new Refusal('draining', 'this gateway is shutting down: try again', { retryAfterS: 1 });
      if (bytes + body.length > bytesMax) {
        throw new Refusal('queue_full', 'too many large requests wait already: try again later', { retryAfterS });
      }
      inside += 1;
      bytes += body.length;
      retries.earn();
      return {
        [Symbol.dispose]() {
          inside -= 1;
          bytes -= body.length;
        },
      };
    },
  };
}
