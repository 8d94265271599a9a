// What each worker may have beside the others: by the speed that they have measured. Pure.
import type { Announcement } from '@berth/shared/announcement.ts';

/** Between the slowest and the fastest; more would be a mistake of measurement. */
const weightMax = 8;
/** A smaller change is told to nobody. */
const changeMin = 0.25;

/**
 * Weights that are to be told, because they are not what the workers have: their speed as a multiple of the pool's
 * median. Who has measured nothing counts as the median.
 */
export function weightsToTell(workers: readonly Announcement[]): { worker: Announcement; weight: number }[] {
  const speeds = workers.flatMap(({ speed }) => speed ?? []).toSorted((a, b) => a - b);
  const median = speeds[speeds.length >> 1] ?? 1;
  return workers.flatMap((worker) => {
    const { speed = median, weight: now = 1 } = worker;
    const weight = Math.min(weightMax, Math.max(1 / weightMax, speed / median));
    const rounded = Math.abs(weight - 1) < changeMin ? 1 : Number(weight.toPrecision(2));
    return Math.abs(rounded / now - 1) >= changeMin || (rounded === 1 && now !== 1)
      ? [{ worker, weight: rounded }]
      : [];
  });
}
