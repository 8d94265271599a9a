// What operators want of models and workers: kept like keys, and brought about again whenever a worker has forgotten it.
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Tell } from './forward.ts';
import type { Loads } from './loads.ts';
import type { Registers } from './policy/registers.ts';
import type { Roster } from './workers/roster.ts';

/** `pin`: the model is loaded on the worker and stays. `drain`: the worker rests. `move`: to the worker, from the others. */
type Kind = 'pin' | 'drain' | 'move';

interface Wanted {
  kind: Kind;
  worker: string;
  /** '' for a drain. */
  model: string;
  /** False: it was wanted once, which has to be kept so that no gateway brings it back. */
  on: boolean;
  atMs: number;
}

export interface Standing {
  /** What is wanted now. */
  list(): Wanted[];
  /**
   * Keeps it, and tells its worker, which knows of it when this settles: what is asked of the worker next finds it so.
   * @throws Error when neither file nor Redis keeps it
   */
  set(wanted: Omit<Wanted, 'atMs'>): Promise<void>;
  /** Compares what is wanted with what the workers announce, and sees to the difference. Never rejects. */
  keep(): Promise<void>;
}

interface Options {
  registers: Registers;
  roster: Roster;
  loads: Pick<Loads, 'want'>;
  tell: Tell;
  clock: Clock;
  log: Log;
}

/** What was called off is remembered for longer than any gateway is away. */
const rememberedMs = 30 * 24 * 3_600_000;
/** A move that has not ended by then is off. */
const moveMs = 10 * 60_000;

export function isStandingKept(value: unknown, nowMs: number): boolean {
  const { kind, on, atMs } = value as Wanted;
  return nowMs - atMs < (kind === 'move' ? moveMs : on ? Infinity : rememberedMs);
}

/** @throws Error for what is none */
export function checkStanding(value: unknown): void {
  const { kind, worker, model, on, atMs } = isObject(value) ? value : {};
  const isKind = kind === 'pin' || kind === 'drain' || kind === 'move';
  const isText = typeof worker === 'string' && typeof model === 'string';
  if (!isKind || !isText || typeof on !== 'boolean' || typeof atMs !== 'number')
    throw new Error('is no wish of operators');
}

/**
 * Workers keep nothing of it: they announce what holds, and any gateway that sees a difference tells them again.
 * 1. Pinned: the worker is told, and is to load the model when it has not.
 * 2. Drained, or no more: the worker is told.
 * 3. Moved: loaded on the one worker first; then the others let go of it, each when its last request has ended.
 */
export function createStanding({ registers, roster, loads, tell, clock, log }: Options): Standing {
  const list = () => registers.entries().map(([, { value }]) => value as Wanted);
  const set: Standing['set'] = async (wanted) => {
    const name = JSON.stringify([wanted.kind, wanted.worker, wanted.model]);
    const revision = Math.max(clock.now(), (registers.get(name)?.revision ?? 0) + 1);
    registers.put(name, { revision, value: { ...wanted, atMs: clock.now() } });
    await registers.flush();
    // Whatever it announces: the roster may be a second old.
    const worker = roster.worker(wanted.worker);
    if (worker && worker.state !== 'draining' && wanted.kind !== 'move')
      await say(worker, wishOf(wanted), wanted.model);
  };
  const copiesOf = ({ worker, model }: Wanted) => {
    const copies = roster.model(model);
    return { own: copies.find((copy) => copy.worker.worker === worker), all: copies };
  };
  const say = ({ url, epoch }: Announcement, wish: string, model = '') => tell(url, wish, { epoch, model });

  const acts: { [K in Kind]: (wanted: Wanted) => Promise<void> } = {
    async pin(wanted) {
      const { own } = copiesOf(wanted);
      if (!own) return;
      if (wanted.on !== (own.card.pinned === true)) void say(own.worker, wishOf(wanted), wanted.model); // 1
      if (wanted.on && mayLoad(own)) await loads.want(wanted.model, wanted.worker);
    },
    async drain(wanted) {
      const own = roster.worker(wanted.worker);
      if (own && own.state !== 'draining' && wanted.on !== (own.state === 'drained')) void say(own, wishOf(wanted)); // 2
    },
    async move(wanted) {
      const { own, all } = copiesOf(wanted);
      if (!wanted.on || !own) return;
      if (mayLoad(own)) await loads.want(wanted.model, wanted.worker);
      if (!own.card.loaded) return;
      const others = all.filter(({ worker, card }) => worker !== own.worker && card.loaded); // 3
      for (const { worker } of others) void say(worker, 'retire', wanted.model);
      if (others.length > 0) return;
      log.info('a model was moved', { model: wanted.model, worker: wanted.worker });
      await set({ ...wanted, on: false });
    },
  };

  return {
    list: () => list().filter(({ on }) => on),
    set,
    async keep() {
      for (const wanted of list()) {
        await acts[wanted.kind](wanted).catch((error: unknown) =>
          log.debug('what operators want waits', { ...wanted, error: String(error) }),
        );
      }
    },
  };
}

/** What a worker is told of a pin or a drain. */
function wishOf({ kind, on }: Pick<Wanted, 'kind' | 'on'>): string {
  return on ? kind : `un${kind}`;
}

function mayLoad({ worker, card }: { worker: Announcement; card: ModelCard }): boolean {
  return worker.state === 'ready' && !card.loaded && card.failed === null;
}
