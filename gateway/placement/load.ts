// Which worker loads a model that requests wait for, and which model goes for it. Pure: data in, a proposal out.
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';

/** A model that is served somewhere gets a copy where there is room when a request has waited for this long. */
export const copyAfterMs = 1_000;
/** A busy model goes for another one only when a request has waited for this long. */
export const patienceMs = 10_000;

export interface Load {
  worker: string;
  epoch: string;
  /** The model that goes; '' = there is room, or the worker chooses among what its other lane serves. */
  victim: string;
}

/** What one model is waited for. */
export interface Demand {
  model: string;
  /** The longest wait for it. */
  waitedMs: number;
  /** Workers that cannot serve who waits the longest. */
  excluded: readonly string[];
  /** Nobody serves it to those who wait: it is cold. Else it is a copy that is asked for. */
  cold: boolean;
}

/**
 * 1. A model that is served somewhere gets a copy only when somebody has waited for it for a while, and only where that
 *    disturbs nobody.
 * 2. Room first, on the worker with the fewest models.
 * 3. Then a model that nobody uses: the one that would be unloaded first anyway. For a copy after the patience only.
 * 4. Then, for a cold model and after the patience, a busy one that has been there for a while: rather one that other
 *    workers have, too. Its streams run out first.
 * 5. The lanes of a worker are one process and load into the same memory, so they count together. The ledger can
 *    withdraw from a lane only what the lane itself serves: a victim in the other one is left to the worker.
 * @returns `null` = nothing yet
 */
export function planLoad(workers: readonly Announcement[], demand: Demand): Load | null {
  const { model, waitedMs, excluded, cold } = demand;
  const patient = waitedMs >= patienceMs;
  if (!cold && waitedMs < copyAfterMs) return null; // 1
  const able = workers.filter(
    (worker) => worker.state === 'ready' && !excluded.includes(worker.worker) && canLoad(worker, model),
  );
  const loaded = (worker: Announcement) => loadedBeside(worker, workers); // 5
  const roomy = able.filter((worker) => loaded(worker).length < worker.loadedMax);
  const [room] = roomy.toSorted((a, b) => loaded(a).length - loaded(b).length || byId(a, b)); // 2
  if (room !== undefined) return { worker: room.worker, epoch: room.epoch, victim: '' };
  const victims = able.flatMap((worker) =>
    loaded(worker)
      .filter(({ evictable }) => evictable)
      .map((card) => ({ worker, card })),
  );
  const [idle] = victims
    .filter(({ card }) => card.expiresAt !== null)
    .toSorted((a, b) => (a.card.expiresAt ?? 0) - (b.card.expiresAt ?? 0) || byId(a.worker, b.worker)); // 3
  const copies = (name: string) => workers.filter((worker) => has(worker, name)).length;
  const [busy] = victims.toSorted((a, b) => copies(b.card.name) - copies(a.card.name) || byId(a.worker, b.worker)); // 4
  const choice = (cold || patient ? idle : undefined) ?? (cold && patient ? busy : undefined);
  if (choice === undefined) return null;
  const { worker, card } = choice;
  return { worker: worker.worker, epoch: worker.epoch, victim: has(worker, card.name) ? card.name : '' }; // 5
}

/**
 * Why no worker will load the model, when all that have it have failed at it; `null` = one may, now or later.
 */
export function loadFailure(workers: readonly Announcement[], model: string): string | null {
  const cards = workers.flatMap(({ models }) => models.filter(({ name }) => name === model));
  const failed = cards.flatMap((card) => (card.loaded || card.failed === null ? [] : [card.failed.reason]));
  return failed.length === cards.length ? (failed.find((reason) => reason !== null) ?? null) : null;
}

function canLoad({ models }: Announcement, model: string): boolean {
  return models.some(({ name, loaded, failed }) => name === model && !loaded && failed === null);
}

/** What is loaded in the process of a worker: its lanes are of one life. */
function loadedBeside({ epoch }: Announcement, workers: readonly Announcement[]): ModelCard[] {
  return workers.filter((lane) => lane.epoch === epoch).flatMap(({ models }) => models.filter(({ loaded }) => loaded));
}

function has({ models }: Announcement, model: string): boolean {
  return models.some(({ name, loaded }) => name === model && loaded);
}

function byId(a: Announcement, b: Announcement): number {
  return a.worker < b.worker ? -1 : 1;
}
