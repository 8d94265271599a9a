// The workers as announced, kept current by the gateway's session with the ledger.
import { workerOfSeat } from '@berth/shared/announcement.ts';
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { RosterChange } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Contexts } from '../placement/fit.ts';
import { createCopies } from './copies.ts';
import type { Copy } from './copies.ts';
import { createDeparted } from './departed.ts';
import { createFirstLook } from './first-look.ts';
import type { FirstLook } from './first-look.ts';
import { createHolders } from './holders.ts';
import type { Holders } from './holders.ts';
import { createAnnouncementReader } from './announcement.ts';

/**
 * A worker that is missing for this long, while the ledger answers, is dead and its streams are cut. Longer than a
 * beat, so that a ledger which was emptied and is being rebuilt by beats cuts nothing.
 */
const lostMs = 5_000;

/** An emptied ledger lists a living worker again after its next beat (1 s) and our next session (1 s), with a margin. */
export const rebuildMs = 2_500;

export interface Roster {
  /** Version to ask the ledger for changes since; 0 = none yet. */
  readonly version: number;
  worker(id: string): Announcement | undefined;
  workers(): Announcement[];
  /** Cards of a model on every worker that has it. */
  model(name: string): readonly Copy[];
  /** The cards of a model, or where nobody has it those of workers that left a moment ago: they may be back soon. */
  expected(name: string): readonly ModelCard[];
  /** Names of all that can be asked for: what workers have, or where none has anything what they had a moment ago. */
  names(): ReadonlySet<string>;
  /** Whether there is a worker for new requests, or will be: one that takes them, is leaving, or left a moment ago. */
  serves(): boolean;
  /** The workers on which a job of this name can run: those that have the model, or the one whose seat it is. */
  holders(name: string): readonly Announcement[];
  /** Ids of the workers that are ready and have the model loaded, in a fixed order. */
  warm(model: string): readonly string[];
  /** The least and the largest context of a model, tokens of one slot. */
  contexts(model: string): Contexts;
  /** Who has cached the beginning of a prompt. */
  readonly cached: Pick<Holders, 'of' | 'sent'>;
  /** What was unused of a worker lately, in [0, 1]. */
  spare(worker: string): number;
  /** Why a model that nobody has cannot be served, as workers say. */
  problems(model: string): string[];
  /** Workers that announce what cannot be read. */
  faulty(): string[];
  /** The cards of all models on all workers. */
  cards(): ModelCard[];
  /** Settles when this gateway has met a worker, or has waited long enough for that. @throws the signal's reason */
  firstLook: FirstLook['over'];
  apply(change: RosterChange): void;
  /** The ledger does not answer: who is missing may be there all the same, and is waited for anew when it does. */
  pause(): void;
  /** A signal that aborts when this life of the worker is over: it has already when the roster does not know it. */
  life(worker: string, epoch: string): AbortSignal;
}

interface Life {
  epoch: string;
  over: AbortController;
  /** When the worker went missing, monotonic; `null` = it is there. */
  missingSinceMs: number | null;
}

export function createRoster({ clock, log }: { clock: Clock; log: Log }): Roster {
  const known = new Map<string, Announcement>();
  const faults = new Map<string, string>();
  const lives = new Map<string, Life>();
  const copies = createCopies();
  const cached = createHolders(clock);
  const departed = createDeparted(clock);
  const reader = createAnnouncementReader();
  const firstLook = createFirstLook(clock, rebuildMs);
  let version = 0;

  const read = (worker: string, text: string): Announcement[] => {
    const announcement = reader.read(worker, text);
    if (typeof announcement !== 'string') {
      faults.delete(worker);
      return [announcement];
    }
    // Once, though it says so each second.
    if (faults.get(worker) !== announcement) log.error(`worker ${announcement}`, { worker });
    faults.set(worker, announcement);
    return [];
  };
  const bury = (worker: string, why: string) => {
    lives.get(worker)?.over.abort(new Error(why));
    lives.delete(worker);
  };
  const see = ({ worker, epoch }: Announcement) => {
    const life = lives.get(worker);
    if (life?.epoch === epoch) life.missingSinceMs = null;
    else {
      bury(worker, `worker ${worker} was restarted`);
      lives.set(worker, { epoch, over: new AbortController(), missingSinceMs: null });
    }
  };
  const miss = (worker: string) => {
    const life = lives.get(worker);
    if (life) life.missingSinceMs ??= clock.monotonic();
  };
  const missingMs = (worker: string) => clock.monotonic() - (lives.get(worker)?.missingSinceMs ?? Infinity);
  const buryTheLost = () => {
    for (const [worker, { missingSinceMs }] of lives) {
      if (missingSinceMs !== null && clock.monotonic() - missingSinceMs >= lostMs) {
        log.warn('worker lost', { worker });
        bury(worker, `worker ${worker} stopped answering`);
      }
    }
  };

  return {
    get version() {
      return version;
    },
    worker: (id) => known.get(id),
    workers: () => [...known.values()],
    model: (name) => copies.of(name).copies,
    expected(name) {
      const here = copies.of(name).copies;
      return here.length > 0 ? here.map(({ card }) => card) : departed.cards().filter((card) => card.name === name);
    },
    names() {
      const here = new Set(copies.models());
      return here.size > 0 ? here : new Set(departed.cards().map(({ name }) => name));
    },
    serves: () => [...known.values()].some(({ state }) => /^(ready|draining)$/.test(state)) || departed.any(),
    holders(name) {
      const seat = workerOfSeat(name);
      if (seat === null) return copies.of(name).copies.map(({ worker }) => worker);
      const worker = known.get(seat);
      return worker === undefined ? [] : [worker];
    },
    warm: (name) => copies.of(name).warm,
    contexts: (name) => copies.of(name).contexts,
    cached,
    spare(id) {
      const worker = known.get(id);
      if (worker === undefined) return 0;
      const heat = worker.models.reduce((sum, card) => sum + (card.heat ?? 0), 0);
      return Math.max(0, 1 - heat / Math.max(1, worker.slots));
    },
    problems: (name) =>
      [...known.values()].flatMap(({ worker, problems = [] }) =>
        problems.flatMap(({ model, reason }) => (model === name ? [`${reason} (worker ${worker})`] : [])),
      ),
    faulty: () => [...faults.keys()],
    cards: () => [...known.values()].flatMap(({ models }) => models),
    firstLook: firstLook.over,
    apply(change) {
      const present = change.present.flatMap(({ worker, announcement }) => read(worker, announcement));
      const here = new Set(present.map(({ worker }) => worker));
      const missing = change.whole ? [...known.keys()].filter((worker) => !here.has(worker)) : change.gone;
      for (const worker of missing) miss(worker);
      // A ledger that tells who has gone knows it; one that lists all may have been emptied, and be told of them soon.
      const left = new Set(change.whole ? [] : change.gone);
      const gone = [...known.keys()].filter((worker) => left.has(worker) || missingMs(worker) >= rebuildMs);
      for (const worker of left) faults.delete(worker);
      for (const worker of gone) {
        const before = known.get(worker);
        if (before) departed.left(before);
        known.delete(worker);
        copies.gone(worker);
        cached.announced(worker, '');
        reader.forget(worker);
      }
      for (const announcement of present) {
        if (!known.has(announcement.worker))
          log.info('worker joined', { worker: announcement.worker, url: announcement.url });
        known.set(announcement.worker, announcement);
        departed.back(announcement.worker);
        copies.announced(announcement);
        cached.announced(announcement.worker, announcement.prefixes ?? '');
        see(announcement);
      }
      version = change.version;
      copies.settle();
      buryTheLost();
      firstLook.heard(known.size > 0);
    },
    pause() {
      firstLook.deaf();
      for (const life of lives.values()) if (life.missingSinceMs !== null) life.missingSinceMs = clock.monotonic();
    },
    life(worker, epoch) {
      const life = lives.get(worker);
      return life?.epoch === epoch ? life.over.signal : AbortSignal.abort(new Error(`worker ${worker} is not known`));
    },
  };
}
