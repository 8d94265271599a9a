// Which workers a job would rather run on. Pure: data in, an order out; the ledger takes the first with room.
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';

/** The ledger looks at no more (`Take.prefer`). */
const preferMax = 4;

/**
 * 1. Workers that have the model loaded come before those that would have to load it.
 * 2. Among equals a rotation by the job's own number spreads the jobs evenly.
 * @param candidates every worker that has the model, with its card of it
 * @param turn any whole number that differs from job to job
 * @returns at most 4 worker ids, best first
 */
export function rank(candidates: readonly { worker: Announcement; card: ModelCard }[], turn: number): string[] {
  const ready = candidates.filter(({ worker }) => worker.state === 'ready');
  const warm = ready.filter(({ card }) => card.loaded).map(({ worker }) => worker.worker); // 1
  const start = warm.length === 0 ? 0 : turn % warm.length; // 2
  return [...warm.slice(start), ...warm.slice(0, start)].slice(0, preferMax);
}
