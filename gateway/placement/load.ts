// Which worker loads a model that requests wait for, and which model goes for it. Pure: data in, a proposal out.
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';

/** A model that is served somewhere gets a copy where there is room when a request has waited for this long. */
export const copyAfterMs = 1_000;
/**
 * A busy model goes for another one only when a request has waited for as long as both loads take: it pays by waiting
 * what the change costs. Not known, it is this …
 */
export const patienceMs = 10_000;
/** … and within these bounds: an answer that is about to end is worth a little, and who waits has a bound. */
export const patienceMsMin = 5_000;
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

/** A worker that can load the model. */
interface Place {
  worker: Announcement;
  /** What its load takes there; `null` = not known. */
  loadMs: number | null;
  /** What is loaded in its process. */
  loaded: readonly ModelCard[];
}

interface Victim {
  place: Place;
  card: ModelCard;
  /** Workers that have it. */
  copies: number;
  /** What it costs that this one goes: its load, as often as it is likely to be wanted again. */
  costMs: number;
}

/**
 * 1. A model that is served somewhere gets a copy only when somebody has waited for it for a while and its queue pays
 *    for the load: when those who wait would wait for longer than it takes, or one of them has already, whatever was
 *    expected (a wait of a few seconds ends by itself). Where there is room it gets one as well while nothing is known of its requests.
 * 2. Room first: on the worker that loads it fastest, of about equal ones the one with the fewest models.
 * 3. Then a model that nobody uses: the one whose going costs least. What was used lately stays for as long as the two
 *    loads take, times its use, so that two models do not drive each other out in turn. For a copy when the queue pays
 *    for both loads twice.
 * 4. Then, for a cold model and after the patience, a busy one that has had its turn: rather one that other workers
 *    have, too. Its streams run out first.
 * 5. The lanes of a worker are one process and load into the same memory, so they count together. The ledger can
 *    withdraw from a lane only what the lane itself serves: a victim in the other one is left to the worker.
 * @returns `null` = nothing yet
 */
export function planLoad(workers: readonly Announcement[], demand: Demand): PlannedLoad | null {
  const { model, waitedMs, excluded, cold } = demand;
  if (!cold && waitedMs < copyAfterMs) return null; // 1
  const places = placesFor(workers, model).filter(({ worker }) => !excluded.includes(worker.worker));
  const queueMs = expectedWaitMs(workers, demand);
  const pays = (costMs: number) => (queueMs ?? 0) >= costMs || waitedMs >= Math.max(patienceMsMin, costMs); // 1
  const [room] = places
    .filter(({ worker, loaded }) => loaded.length < worker.loadedMax)
    .filter(({ loadMs }) => cold || queueMs === null || pays(loadMs ?? 0))
    .toSorted((a, b) => pace(a) - pace(b) || a.loaded.length - b.loaded.length || byId(a, b)); // 2
  if (room !== undefined) return planned(room, '', 'room');
  const victims = victimsIn(places, workers);
  const [idle] = victims
    .filter(({ card }) => card.expiresAt !== null)
    .toSorted(
      (a, b) => a.costMs - b.costMs || (a.card.expiresAt ?? 0) - (b.card.expiresAt ?? 0) || byId(a.place, b.place),
    ); // 3
  const mayGo = (it: Victim) => (cold ? waitedMs >= heldMs(it) : pays(copyMs(it)));
  if (idle !== undefined && mayGo(idle)) return planned(idle.place, idle.card.name, 'idle');
  const [busy] = victims.toSorted((a, b) => b.copies - a.copies || a.costMs - b.costMs || byId(a.place, b.place)); // 4
  return cold && busy !== undefined && waitedMs >= patienceOf(busy)
    ? planned(busy.place, busy.card.name, 'busy')
    : null;
}

/**
 * Why no worker will load the model, when all that have it have failed at it; `null` = one may, now or later.
 */
export function loadFailure(workers: readonly Announcement[], model: string): string | null {
  const cards = workers.flatMap(({ models }) => models.filter(({ name }) => name === model));
  const failed = cards.flatMap((card) => (card.loaded || card.failed === null ? [] : [card.failed.reason]));
  return failed.length === cards.length ? (failed.find((reason) => reason !== null) ?? null) : null;
}

function planned({ worker, loadMs }: Place, victim: string, why: LoadReason): PlannedLoad {
  const named = has(worker, victim) ? victim : ''; // 5
  return { worker: worker.worker, epoch: worker.epoch, victim: named, why, loadMs };
}

/** One look at each card: in a pool of a thousand workers many looks would hold up the gateway. */
function placesFor(workers: readonly Announcement[], model: string): Place[] {
  const lives = new Map<string, ModelCard[]>(); // 5
  for (const { epoch, models } of workers) {
    const loaded = lives.get(epoch) ?? [];
    for (const card of models) if (card.loaded) loaded.push(card);
    lives.set(epoch, loaded);
  }
  return workers.flatMap((worker) => {
    const card = worker.state === 'ready' ? worker.models.find(({ name }) => name === model) : undefined;
    if (card === undefined || card.loaded || card.failed !== null) return [];
    return [{ worker, loadMs: card.loadMs ?? null, loaded: lives.get(worker.epoch) ?? [] }];
  });
}

function victimsIn(places: readonly Place[], workers: readonly Announcement[]): Victim[] {
  const copies = new Map<string, number>();
  for (const { models } of workers)
    for (const { name, loaded } of models) if (loaded) copies.set(name, (copies.get(name) ?? 0) + 1);
  const full = places.filter(({ worker, loaded }) => loaded.length >= worker.loadedMax);
  return full.flatMap((place) =>
    place.loaded.flatMap((card) => {
      const count = copies.get(card.name) ?? 1;
      return card.evictable ? [{ place, card, copies: count, costMs: costOf(card, count) }] : [];
    }),
  );
}

/** How long who comes last waits for the slots that serve the model now; `null` = not known. */
function expectedWaitMs(workers: readonly Announcement[], { model, waiting, serviceMs }: Demand): number | null {
  const slots = workers.reduce((sum, worker) => sum + (has(worker, model) ? worker.slots : 0), 0);
  return waiting === undefined || !serviceMs || slots === 0 ? null : (waiting * serviceMs) / slots;
}

/** A copy of what others have, too, is not missed for a whole load: what comes meanwhile has somewhere to go. */
function costOf({ heat = 0, loadMs = 0 }: ModelCard, copies: number): number {
  return (Math.min(1, heat) * loadMs) / copies;
}

/** Used all the time, it stays for as long as both loads take; used half of the time, for half as long. */
function heldMs(it: Victim): number {
  return Math.min(patienceOf(it), Math.min(1, it.card.heat ?? 0) * bothMs(it));
}

/** What the queue has to pay for a copy in the place of an idle model. */
function copyMs({ place: { loadMs }, costMs }: Victim): number {
  return loadMs === null ? patienceMs : Math.min(patienceMsMax, 2 * (costMs + loadMs));
}

function patienceOf(it: Victim): number {
  if (it.place.loadMs === null) return patienceMs;
  return Math.min(patienceMsMax, Math.max(patienceMsMin, bothMs(it)));
}

/** Its own load, when it comes back, and that of the one which takes its place. */
function bothMs({ place: { loadMs }, card }: Victim): number {
  return (card.loadMs ?? 0) + (loadMs ?? 0);
}

/** Loads within a factor of about two count as equally fast; one that was never measured is worth a try. */
function pace({ loadMs }: Place): number {
  return Math.round(Math.log2(Math.max(1, loadMs ?? 1)));
}

function has({ models }: Announcement, model: string): boolean {
  return models.some(({ name, loaded }) => name === model && loaded);
}

function byId({ worker: a }: Place, { worker: b }: Place): number {
  return a.worker < b.worker ? -1 : 1;
}
