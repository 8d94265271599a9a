// The retry budget: retries may add a tenth to the load, and a few each second, so that they never make an outage worse.
import type { Clock } from '@berth/shared/clock.ts';

export interface RetryBudget {
  /** A request was admitted: it earns a tenth of a retry. */
  earn(): void;
  /** @returns false when there is none left: the failure is told to the client */
  spend(): boolean;
}

/** Retries per request, and per second as a floor for quiet times; the figures of Finagle's and Linkerd's budgets. */
const perRequest = 0.1;
const perSecond = 1;
/** Most retries that can be saved up. */
const most = 20;

export function createRetryBudget(clock: Clock): RetryBudget {
  let saved = most;
  let toppedUpMs = clock.monotonic();
  const topUp = () => {
    const nowMs = clock.monotonic();
    saved = Math.min(most, saved + ((nowMs - toppedUpMs) / 1_000) * perSecond);
    toppedUpMs = nowMs;
  };
  return {
    earn() {
      saved = Math.min(most, saved + perRequest);
    },
    spend() {
      topUp();
      if (saved < 1) return false;
      saved -= 1;
      return true;
    },
  };
}
