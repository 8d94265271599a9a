// Which worker loads a model that requests wait for, and which model goes for it. Pure: data in, a proposal out.
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';

/** A model that is served somewhere gets a copy where there is room when a request has waited for this long. */
export const copyAfterMs = 1_000;
/** A busy model goes for another one only when a request has waited for this long … */
export const patienceMs = 10_000;
/** … or for as long as the load takes, if that is more, and never for longer than this: who waits has a bound. */
export const patienceMsMax = 60_000;

/** Why this worker: it has room, or a model goes that is idle, or one that is busy. */
type LoadReason = 'room' | 'idle' | 'busy';

interface Load {
  worker: string;
  epoch: string;
  /** The model that goes; '' = there is room, or the worker chooses among what its other lane serves. */
  victim: string;
}

export interface PlannedLoad extends Load {
  why: LoadReason;
  /** What the load takes, as the worker has measured; `null` = it has not. */
  loadMs: number | null;
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
  /** Requests that wait for it. */
  waiting?: number;
  /** What one of them takes in its slot; left out or `null` = not known. */
  serviceMs?: number | null;
}

interface Victim {
  worker: Announcement;
  card: ModelCard;
  /** What it costs that this one goes: its load, as often as it is likely to be wanted again. */
  costMs: number;
}

/**
 * 1. A model that is served somewhere gets a copy only when somebody has waited for it for a while and its queue pays
 *    for the load: when those who wait would wait for longer than it takes.
 * 2. Room first: on the worker that loads it fastest, of about equal ones the one with the fewest models.
 * 3. Then a model that nobody uses: the one whose going costs least. What was used lately stays for as long as the two
 *    loads take, times its use, so that two models do not drive each other out in turn. For a copy after the patience,
 *    or when the queue pays for both loads twice.
 * 4. Then, for a cold model and after the patience, a busy one that has been there for a while: rather one that other
 *    workers have, too. Its streams run out first.
 * 5. The lanes of a worker are one process and load into the same memory, so they count together. The ledger can
 *    withdraw from a lane only what the lane itself serves: a victim in the other one is left to the worker.
 * @returns `null` = nothing yet
 */
export function planLoad(workers: readonly Announcement[], demand: Demand): PlannedLoad | null {
  const { model, waitedMs, excluded, cold } = demand;
  if (!cold && waitedMs < copyAfterMs) return null; // 1
  const able = workers.filter(
    (worker) => worker.state === 'ready' && !excluded.includes(worker.worker) && canLoad(worker, model),
  );
  const queueMs = expectedWaitMs(workers, demand);
  const pays = (costMs: number) => queueMs !== null && queueMs >= costMs;
  const loaded = (worker: Announcement) => loadedBeside(worker, workers); // 5
  const [room] = able
    .filter((worker) => loaded(worker).length < worker.loadedMax)
    .filter((worker) => cold || queueMs === null || pays(loadMsOf(worker, model) ?? 0)) // 1
    .toSorted((a, b) => pace(a, model) - pace(b, model) || loaded(a).length - loaded(b).length || byId(a, b)); // 2
  if (room !== undefined) return planned(room, model, '', 'room');
  const copies = (name: string) => workers.filter((worker) => has(worker, name)).length;
  const victims = able
    .filter((worker) => loaded(worker).length >= worker.loadedMax)
    .flatMap((worker) =>
      loaded(worker).map((card): Victim => ({ worker, card, costMs: costOf(card, copies(card.name)) })),
    )
    .filter(({ card }) => card.evictable);
  const patient = ({ worker }: Victim) => waitedMs >= patienceOf(loadMsOf(worker, model));
  const [idle] = victims
    .filter(({ card }) => card.expiresAt !== null)
    .toSorted(
      (a, b) => a.costMs - b.costMs || (a.card.expiresAt ?? 0) - (b.card.expiresAt ?? 0) || byId(a.worker, b.worker),
    ); // 3
  const mayGo = (it: Victim) =>
    patient(it) ||
    (cold ? waitedMs >= heldMs(it, model) : pays(2 * (it.costMs + (loadMsOf(it.worker, model) ?? Infinity))));
  if (idle !== undefined && mayGo(idle)) return planned(idle.worker, model, idle.card.name, 'idle');
  const [busy] = victims.toSorted(
    (a, b) => copies(b.card.name) - copies(a.card.name) || a.costMs - b.costMs || byId(a.worker, b.worker),
  ); // 4
  return cold && busy !== undefined && patient(busy) ? planned(busy.worker, model, busy.card.name, 'busy') : null;
}

/**
 * Why no worker will load the model, when all that have it have failed at it; `null` = one may, now or later.
 */
export function loadFailure(workers: readonly Announcement[], model: string): string | null {
  const cards = workers.flatMap(({ models }) => models.filter(({ name }) => name === model));
  const failed = cards.flatMap((card) => (card.loaded || card.failed === null ? [] : [card.failed.reason]));
  return failed.length === cards.length ? (failed.find((reason) => reason !== null) ?? null) : null;
}

function planned(worker: Announcement, model: string, victim: string, why: LoadReason): PlannedLoad {
  const named = has(worker, victim) ? victim : ''; // 5
  return { worker: worker.worker, epoch: worker.epoch, victim: named, why, loadMs: loadMsOf(worker, model) };
}

/** How long who comes last waits for the slots that serve the model now; `null` = not known. */
function expectedWaitMs(workers: readonly Announcement[], { model, waiting, serviceMs }: Demand): number | null {
  const slots = workers.filter((worker) => has(worker, model)).reduce((sum, worker) => sum + worker.slots, 0);
  return waiting === undefined || !serviceMs || slots === 0 ? null : (waiting * serviceMs) / slots;
}

/** A copy of what others have, too, is not missed for a whole load: what comes meanwhile has somewhere to go. */
function costOf({ heat = 0, loadMs = 0 }: ModelCard, copies: number): number {
  return (Math.min(1, heat) * loadMs) / copies;
}

/** Used all the time, it stays for as long as both loads take; used half of the time, for half as long. */
function heldMs({ worker, card: { heat = 0, loadMs = 0 } }: Victim, model: string): number {
  return Math.min(1, heat) * (loadMs + (loadMsOf(worker, model) ?? 0));
}

function patienceOf(loadMs: number | null): number {
  return Math.min(patienceMsMax, Math.max(patienceMs, loadMs ?? 0));
}

function loadMsOf({ models }: Announcement, model: string): number | null {
  return models.find(({ name }) => name === model)?.loadMs ?? null;
}

/** Loads within a factor of about two count as equally fast; one that was never measured is worth a try. */
function pace(worker: Announcement, model: string): number {
  return Math.round(Math.log2(Math.max(1, loadMsOf(worker, model) ?? 1)));
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
