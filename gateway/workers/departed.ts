// Workers that left a moment ago and what they had: a worker that is restarted is back soon, so its models are waited for.
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';

export interface Departed {
  left(worker: Announcement): void;
  /** It has come back, with whatever it has now. */
  back(worker: string): void;
  /** Cards of the models that they had. */
  cards(): ModelCard[];
  /** Whether anybody left so lately. */
  any(): boolean;
}

/** A worker that has not come back by then was not restarted: who asks for its models is refused at once. */
const awaitedMs = 60_000;
const workersMax = 1_024;

export function createDeparted(clock: Pick<Clock, 'monotonic'>): Departed {
  const departed = new Map<string, { models: ModelCard[]; untilMs: number }>();
  const forget = () => {
    for (const [worker, { untilMs }] of departed) {
      if (untilMs > clock.monotonic() && departed.size <= workersMax) break;
      departed.delete(worker);
    }
  };
  return {
    left({ worker, models }) {
      departed.delete(worker);
      departed.set(worker, { models, untilMs: clock.monotonic() + awaitedMs });
      forget();
    },
    back: (worker) => void departed.delete(worker),
    cards() {
      forget();
      return [...departed.values()].flatMap(({ models }) => models);
    },
    any() {
      forget();
      return departed.size > 0;
    },
  };
}
