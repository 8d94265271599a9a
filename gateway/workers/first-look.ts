// A gateway's first moments: before it has met a worker it cannot tell a pool without any from one that is coming back.
import type { Clock } from '@berth/shared/clock.ts';
import { createCrowd } from '@berth/shared/crowd.ts';

export interface FirstLook {
  /** The ledger answered: is anybody there? */
  heard(anybody: boolean): void;
  /** The ledger does not answer. */
  deaf(): void;
  /** Settles once a worker was met, or none is to be expected; after ten seconds at the latest. @throws the signal's reason */
  over(signal: AbortSignal): Promise<void>;
}

/** Who asks is told after this long that nobody is there: the ledger may be away for much longer. */
const heldMs = 10_000;

/** @param emptyMs a ledger that lists nobody for this long, milliseconds, has nobody to list */
export function createFirstLook(clock: Pick<Clock, 'monotonic' | 'after'>, emptyMs: number): FirstLook {
  const waiting = createCrowd<() => void>();
  let met = false;
  /** Since when the ledger has answered that nobody is there; `null` = it does not answer. */
  let emptySinceMs: number | null = null;
  const isOver = () => met || (emptySinceMs !== null && clock.monotonic() - emptySinceMs >= emptyMs);
  return {
    heard(anybody) {
      met ||= anybody;
      emptySinceMs ??= clock.monotonic();
      if (isOver()) for (const go of waiting) go();
    },
    deaf: () => void (emptySinceMs = null),
    async over(signal) {
      signal.throwIfAborted();
      if (isOver()) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      using _waiting = waiting.add(resolve);
      using _timer = clock.after(heldMs, resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
      await promise;
      signal.throwIfAborted();
    },
  };
}
