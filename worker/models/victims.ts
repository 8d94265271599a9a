// Which idle models go so that another one gets its place or its memory. Pure.

export interface Candidate {
  name: string;
  /** What its end frees on the device. */
  memoryBytes: number;
  /** What it would cost to have it back: the time of its load times how often it was used of late. */
  worthMs: number;
  lastUsedMs: number;
}

/** Of a model's use counts half after this time. */
const useHalfLifeMs = 600_000;

/** How a model was used, as of a moment: each use counts 1 and fades. */
export interface Habit {
  uses: number;
  atMs: number;
  /** What its last load took; 0 = none yet. */
  loadMs: number;
}

export const noHabit: Habit = { uses: 0, atMs: 0, loadMs: 0 };

export function used({ uses, atMs, loadMs }: Habit, nowMs: number): Habit {
  return { uses: faded(uses, nowMs - atMs) + 1, atMs: nowMs, loadMs };
}

/** Loads that take no time are told apart by use alone. */
export function worthOf({ uses, atMs, loadMs }: Habit, nowMs: number): number {
  return Math.max(1, loadMs) * faded(uses, nowMs - atMs);
}

function faded(uses: number, ms: number): number {
  return uses * 2 ** (-ms / useHalfLifeMs);
}

/**
 * 1. Of the models that free enough alone the one that is worth least; of equals the one unused for longest.
 * 2. Else the least worth first, until it is enough; those that were not needed after all stay.
 * @param neededBytes memory that has to become free; 0 = a place is all that is needed
 * @returns first who goes first; `null` = all of them together do not free enough
 */
export function victimsAmong<C extends Candidate>(idle: readonly C[], neededBytes: number): C[] | null {
  const cheapest = idle.toSorted((a, b) => a.worthMs - b.worthMs || a.lastUsedMs - b.lastUsedMs);
  const alone = cheapest.find(({ memoryBytes }) => memoryBytes >= neededBytes); // 1
  if (alone !== undefined) return [alone];
  const taken: C[] = [];
  let freed = 0;
  for (const next of cheapest) {
    taken.push(next);
    freed += next.memoryBytes;
    if (freed >= neededBytes) break;
  }
  if (taken.length === 0 || freed < neededBytes) return null;
  for (const spared of taken.toReversed()) {
    if (freed - spared.memoryBytes < neededBytes) continue;
    taken.splice(taken.indexOf(spared), 1);
    freed -= spared.memoryBytes;
  }
  return taken; // 2
}
