// How long the ledger takes to answer.
import type { Clock } from '../clock.ts';

export type HearCall<Operation> = (operation: Operation, answered: boolean, ms: number) => void;

/** Passes calls on, and tells how long each took, also of those that failed. */
export function timing<Operation>(clock: Clock, hear: HearCall<Operation>) {
  return async <T>(operation: Operation, call: Promise<T>): Promise<T> => {
    const askedMs = clock.monotonic();
    let answered = false;
    try {
      const answer = await call;
      answered = true;
      return answer;
    } finally {
      hear(operation, answered, clock.monotonic() - askedMs);
    }
  };
}
