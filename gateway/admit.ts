// The door: what this gateway itself bounds before the ledger is asked.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Estimate } from './estimate.ts';
import type { Job } from './job.ts';
import type { RetryBudget } from './retry-budget.ts';

/** @returns a pass that is held until the request ends @throws Refusal `draining` */
export type Admit = (job: Job) => Disposable;

/** The bytes of one request's body, counted while it is read and until the scope ends. */
export interface Held extends Disposable {
  /** @throws Refusal `queue_full` */
  add(bytes: number): void;
}

export interface Door {
  readonly admit: Admit;
  /** For a request whose body is about to be read. */
  hold(): Held;
  /** Requests inside. */
  readonly inside: number;
  /** Bytes of bodies that are held. */
  readonly heldBytes: number;
  /** This gateway is about to drain: it takes requests, and says that the next ones belong elsewhere. */
  readonly leaving: boolean;
  readonly draining: boolean;
  /** From now on everything new is refused. */
  leave(): void;
  drain(): void;
}

interface Options {
  estimate: Estimate;
  retries: RetryBudget;
  /** Most bytes of bodies that are held at a time, those still on their way included: each is kept for a safe retry. */
  bytesMax: number;
}

export function createDoor({ estimate, retries, bytesMax }: Options): Door {
  let inside = 0;
  let heldBytes = 0;
  let leaving = false;
  let draining = false;
  return {
    get inside() {
      return inside;
    },
    get heldBytes() {
      return heldBytes;
    },
    get leaving() {
      return leaving;
    },
    get draining() {
      return draining;
    },
    leave() {
      leaving = true;
    },
    drain() {
      leaving = true;
      draining = true;
    },
    hold() {
      let own = 0;
      return {
        add(bytes) {
          if (heldBytes + bytes > bytesMax) throw tooMuch(estimate.retryAfterS());
          own += bytes;
          heldBytes += bytes;
        },
        [Symbol.dispose]() {
          heldBytes -= own;
          own = 0;
        },
      };
    },
    admit() {
      if (draining) throw new Refusal('draining', 'this gateway is shutting down: try again', { retryAfterS: 1 });
      inside += 1;
      retries.earn();
      return {
        [Symbol.dispose]() {
          inside -= 1;
        },
      };
    },
  };
}

function tooMuch(retryAfterS: number): Refusal {
  return new Refusal('queue_full', 'too many large requests are held already: try again later', { retryAfterS });
}
