// A seat for a job: one atomic take in the ledger, or a wait until the ledger hands a slot over.
import { isFit } from '@berth/shared/dialects/catalog.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { Grant, Ledger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { openingOf } from '@berth/shared/prefix.ts';
import type { Random } from '@berth/shared/random.ts';
import { hasMedia } from '@berth/shared/request.ts';
import type { Decision } from './explain.ts';
import type { Comebacks } from './comeback.ts';
import type { Estimate } from './estimate.ts';
import type { Job, Owner } from './job.ts';
import type { Placement } from './metric-families.ts';
import { isTooLong } from './placement/fit.ts';
import { placementOf, rankSeats } from './placement/rank.ts';
import { Outdated } from './waiting.ts';
import type { Ticket, WaitingRoom } from './waiting.ts';
import type { Roster } from './workers/roster.ts';

/** A slot on a worker, held for one job. Leaving the scope gives it back. */
export interface Seat extends AsyncDisposable {
  readonly lease: string;
  readonly worker: string;
  readonly epoch: string;
  /** Why this worker. */
  readonly placement: Placement;
  /** Origin of the worker; empty when this life of it is not in the roster. */
  readonly url: string;
  /** Aborts when this life of the worker is over. */
  readonly life: AbortSignal;
  /** How the slot is given back: `refused` parks the worker until its next beat, `entrusted` leaves it to the worker. */
  giveBack: 'done' | 'refused' | 'entrusted';
  /** The model on the worker is to be used by nobody else meanwhile. */
  alone: boolean;
}

/** What a job carries from one seat to the next. */
export interface Journey {
  /** First asked, on the ledger's clock: a job that returns to the queue keeps its age. `null` = not yet. */
  age: number | null;
  /** Workers that failed this job: in which of their lives, and whether they were reached at all. */
  readonly failed: Map<string, { epoch: string; reached: boolean }>;
  /** While it waits. */
  ticket: Ticket | null;
  /** Hears how long each question to the ledger took, whatever came of it. */
  asked: (ledgerMs: number) => void;
  /** Hears what each question was, and its answer. */
  decided: (decision: Decision) => void;
  /** Hears when it begins and when it ends to wait for a model that nobody serves. */
  cold: (is: boolean) => void;
}

/** The ledger looks at no more (`Take.exclude`). */
const excludeMax = 8;
/** Tries on a ledger that does not answer. After the first a fallback stands in; a slow ledger may come and go. */
const unansweredMax = 4;

export interface PlaceOptions {
  ledger: Ledger;
  room: WaitingRoom;
  roster: Roster;
  estimate: Estimate;
  comebacks: Comebacks;
  clock: Clock;
  random: Random;
  log: Log;
  gateway: string;
  /** A ticket waits for a model that nobody serves. */
  onCold: (ticket: Ticket) => void;
  /** True while the shared ledger is away, which gives slots only where a model is loaded; its stand-in may not. */
  degraded: () => boolean;
  /** Brings the roster up to date. */
  refresh: () => Promise<void>;
  settings: { waitingMax: number; waitingPerKeyMax: number; queueTimeoutMs: number };
}

/** @throws Refusal `queue_full`, `queue_timeout`, `no_worker`; LedgerUnavailable; the signal's reason */
export type Place = (job: Job, journey: Journey, signal: AbortSignal) => Promise<Seat>;

export function createPlace(options: PlaceOptions): Place {
  const { ledger, room, roster, estimate, comebacks, clock, random, gateway, settings } = options;
  /** Whose the tickets are that wait here, and their age on the ledger's clock. */
  const queued = new WeakMap<Ticket, { line: string; age: number }>();

  return async (job, journey, signal) => {
    journey.age ??= comebacks.ageOf(job);
    for (let unanswered = 0; ;) {
      try {
        return await placeOnce(job, journey, signal);
      } catch (error) {
        if (error instanceof Outdated) continue;
        // What became of the call is unknown, so it is asked again under a new id; the old one is nobody's.
        if (!(error instanceof LedgerUnavailable) || (unanswered += 1) >= unansweredMax) throw error;
      }
    }
  };

  async function placeOnce(job: Job, journey: Journey, signal: AbortSignal): Promise<Seat> {
    signal.throwIfAborted();
    const id = random.id();
    // The ticket is open before the ledger is asked: the push of a grant may overtake the answer.
    const excluded = String(excludedOf(job, journey));
    const ticket = room.open(job.model, id, {
      job,
      again: async () => void (await ask(id, job, journey, ticket)),
      outdated: () => String(excludedOf(job, journey)) !== excluded,
      unserved: () => isUnserved(job, journey),
      cold: journey.cold,
      waitedMs: () => waitedMs(job),
      excluded: () => excludedOf(job, journey),
    });
    journey.ticket = ticket;
    try {
      const held = await ask(id, job, journey, ticket);
      const grant = held ?? (await wait(ticket, job, signal));
      // A worker that joined within the last second may be new to this gateway.
      if (roster.worker(grant.worker)?.epoch !== grant.epoch) await options.refresh();
      roster.cached.sent(grant.worker, job.milestones);
      return seatOf(grant, held?.placement ?? 'handed');
    } catch (error) {
      if (error instanceof Refusal && journey.age !== null) comebacks.refused(job, journey.age);
      // Whatever became of the take, the ledger shall not keep a ticket or a lease of this id.
      leave({ id, actual: 0, refused: false });
      throw error;
    } finally {
      room.close(id);
      journey.cold(false);
      journey.ticket = null;
    }
  }

  /** Asks the ledger: a grant, or the ticket is queued or refused. Asked again when the ledger has lost the ticket. */
  async function ask(id: string, job: Job, journey: Journey, ticket: Ticket): Promise<Placed | null> {
    const warm = roster.warm(job.model);
    const exclude = excludedOf(job, journey);
    const { milestones, generation } = job;
    const opening = openingOf(milestones, generation);
    const ranked = rankSeats({ milestones, opening, warm, holders: roster.cached.of, spare: roster.spare });
    const askedMs = clock.monotonic();
    const taking = ledger.take({
      id,
      gateway,
      model: job.model,
      priority: job.priority,
      team: job.owner.team,
      key: job.owner.key,
      weight: job.owner.weight ?? 1,
      cost: estimate.cost(job),
      age: journey.age,
      waitingMax: settings.waitingMax,
      waitingPerKeyMax: Math.min(settings.waitingPerKeyMax, job.owner.waitingMax ?? Infinity),
      slack: ranked.slack,
      prefer: ranked.prefer,
      exclude,
    });
    const taken = await taking.finally(() => journey.asked(clock.monotonic() - askedMs));
    journey.decided({ atMs: askedMs - job.arrivedMs, warm: warm.length, ...ranked, excluded: exclude, taken });
    journey.age = taken.age;
    if (taken.kind === 'full') {
      ticket.refuse(queueFull(taken.bound, settings, job.owner, estimate));
    }
    if (taken.kind === 'wait') {
      ticket.queued(taken.place, taken.servers);
      if (waitedMs(job) + estimate.leastWaitMs(before(job, ticket, taken.age) + 1) > boundMs(job)) {
        ticket.refuse(tooLate(job));
      } else if (taken.servers === 0) options.onCold(ticket);
    }
    if (taken.kind !== 'held') return null;
    ticket.grant(taken);
    const loaded = !options.degraded() || warm.includes(taken.worker);
    return { ...taken, placement: placementOf(taken.worker, ranked, loaded) };
  }

  /**
   * How many are served before it at best: those of its own key that wait here. Its place counts the other teams too,
   * but if they have used more, none of them comes first.
   */
  function before({ model, owner: { team, key } }: Job, ticket: Ticket, age: number): number {
    const line = JSON.stringify([model, team, key]);
    queued.set(ticket, { line, age });
    const older = room.all().filter((other) => {
      const it = queued.get(other);
      return other !== ticket && it?.line === line && it.age <= age;
    });
    return older.length;
  }

  /**
   * The workers that this job shall not get: those that do not suit it, and those that failed it, until they are restarted.
   * When no other has the model, of these only those that could not even be reached: waiting for nobody helps nobody.
   */
  function excludedOf(job: Job, { failed }: Journey): string[] {
    const unfit = unfitFor(job);
    if (failed.size === 0) return unfit.slice(0, excludeMax);
    const still = [...failed].filter(([worker, { epoch }]) => roster.worker(worker)?.epoch === epoch);
    const out = new Set([...still.map(([worker]) => worker), ...unfit]);
    const others = roster.holders(job.model).some(({ worker, state }) => state === 'ready' && !out.has(worker));
    const left = still.flatMap(([worker, { reached }]) => (others || !reached ? [worker] : []));
    return [...new Set([...left, ...unfit])].slice(0, excludeMax);
  }

  /** Workers whose copy lacks eyes or ears for what the job brings, or the context, where another's does not. */
  function unfitFor({ model, generation, milestones }: Job): string[] {
    const { least, most } = roster.contexts(model);
    const chars = milestones.at(-1)?.chars ?? 0;
    const picky = hasMedia(generation);
    if (!picky && (least === most || !isTooLong(chars, least))) return [];
    const isShort = (tokens: number) => tokens < most && isTooLong(chars, tokens);
    const copies = roster.model(model);
    const unfit = copies.filter(({ card }) => isShort(card.contextTokens) || (picky && !isFit(generation, card)));
    return unfit.length < copies.length ? unfit.map(({ worker }) => worker.worker) : [];
  }

  function isUnserved(job: Job, journey: Journey): boolean {
    const excluded = excludedOf(job, journey);
    return roster.holders(job.model).every(({ worker, state }) => excluded.includes(worker) || state === 'drained');
  }

  /** The grant, or whichever comes first of the client's departure and the end of its patience or ours. */
  async function wait({ place, granted, refuse }: Ticket, job: Job, signal: AbortSignal): Promise<Grant> {
    signal.throwIfAborted();
    const leaveQueue = () => refuse(signal.reason as Error);
    signal.addEventListener('abort', leaveQueue, { once: true });
    using _timer = clock.after(Math.max(0, boundMs(job) - waitedMs(job)), () => refuse(tooLate(job)));
    const promised = place === null ? null : estimate.wait(place);
    const sinceMs = clock.monotonic();
    try {
      const grant = await granted;
      if (promised) estimate.served(promised, clock.monotonic() - sinceMs);
      return grant;
    } finally {
      signal.removeEventListener('abort', leaveQueue);
    }
  }

  function waitedMs(job: Job): number {
    return clock.monotonic() - job.arrivedMs;
  }

  function boundMs(job: Job): number {
    return Math.min(settings.queueTimeoutMs, job.patienceMs ?? Infinity);
  }

  function tooLate(job: Job): Refusal {
    const message = `no slot comes free within ${boundMs(job) / 1_000} s: try again later`;
    return new Refusal('queue_timeout', message, { retryAfterS: estimate.retryAfterS() });
  }

  function seatOf({ id, worker, epoch }: Grant, placement: Placement): Seat {
    const heldSinceMs = clock.monotonic();
    const known = roster.worker(worker);
    const seated = room.seat(id);
    const seat: Seat = {
      lease: id,
      worker,
      epoch,
      placement,
      url: known?.epoch === epoch ? known.url : '',
      life: roster.life(worker, epoch),
      giveBack: 'done',
      alone: false,
      async [Symbol.asyncDispose]() {
        seated[Symbol.dispose]();
        if (seat.giveBack === 'entrusted') return ledger.entrust?.(id);
        const refused = seat.giveBack === 'refused';
        const heldS = (clock.monotonic() - heldSinceMs) / 1_000;
        if (!refused) estimate.released();
        leave({ id, actual: refused ? 0 : heldS, refused });
      },
    };
    return seat;
  }

  /** Nobody waits for the answer: what is lost here is found by the worker's next beat. */
  function leave(input: { id: string; actual: number; refused: boolean }): void {
    ledger.leave(input).catch((error: unknown) => {
      options.log.debug('leave was not answered', { lease: input.id, error: String(error) });
    });
  }
}

/** A slot that was free, and why the ledger gave this one. */
interface Placed extends Grant {
  placement: Placement;
}

function queueFull(
  bound: 'all' | 'key',
  settings: PlaceOptions['settings'],
  { waitingMax }: Owner,
  estimate: Estimate,
): Refusal {
  const message =
    bound === 'all'
      ? `the queue is full: ${settings.waitingMax} requests wait already; try again later`
      : `this key has ${Math.min(settings.waitingPerKeyMax, waitingMax ?? Infinity)} requests waiting already; try again later`;
  return new Refusal('queue_full', message, { retryAfterS: estimate.retryAfterS() });
}
