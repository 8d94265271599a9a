// What a gateway does while its ledger is away: a ledger of its own over its share of the slots, until it is back.
import { seatOn } from '@berth/shared/announcement.ts';
import type { Announcement } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { createRegister } from '@berth/shared/crowd.ts';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type {
  Beat,
  HandOff,
  Ledger,
  RunningLease,
  Session,
  SessionReply,
  Take,
  Taken,
} from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { createAnnouncementReader } from '../workers/announcement.ts';
import { rebuildMs } from '../workers/roster.ts';
import { createMemoryLedger } from './memory.ts';

export interface FallbackLedger extends Ledger {
  /** True while the gateway works with its own share. */
  readonly degraded: boolean;
}

export interface FallbackOptions {
  /** The ledger that all gateways share. */
  shared: Ledger;
  clock: Clock;
  log: Log;
}

type OnGrant = (grant: HandOff) => void;

/**
 * A ledger that is never away for long.
 * 1. One operation without an answer, and the gateway goes on alone. What became of that operation is unknown: it
 *    fails, and its caller asks again under a new id.
 * 2. Alone, it may use max(1, slots / gateways) slots of each worker that was there. The workers' guards protect them;
 *    one that says "busy" is parked for a second. Order is the memory ledger's, the bound a share of the queue's.
 * 3. What it runs already counts, whichever ledger gave it.
 * 4. When the shared ledger answers again, the tickets of the interim are asked anew there, with their age. What runs
 *    is told to it by the workers' beats.
 * 5. No loads are ordered: a model that is loaded nowhere is served by every worker that has its file.
 */
export function createFallbackLedger({ shared, clock, log }: FallbackOptions): FallbackLedger {
  const asked = createRegister<Take>();
  const held = createRegister<RunningLease & { worker: string }>();
  /** What workers announce: read only when it is needed, as the roster reads it too. */
  const texts = new Map<string, string>();
  let workers: Announcement[] = [];
  /** Workers that a whole roster did not list, and since when: a ledger that was emptied lists nobody at first. */
  const missing = new Map<string, number>();
  let own: Ledger | null = null;
  let ear: { gateway: string; hear: OnGrant } | null = null;
  let gateways = 1;
  /** The shared ledger's clock minus ours, so that an age means the same in both. */
  let aheadMs = 0;

  async function goAlone(error: unknown): Promise<Ledger> {
    if (own) return own;
    log.error('the ledger does not answer: going on with a share of the slots', { error: String(error), gateways });
    missing.clear();
    const { read } = createAnnouncementReader();
    workers = [...texts].map(([worker, text]) => read(worker, text)).filter((each) => typeof each !== 'string');
    own = createMemoryLedger({ clock: { ...clock, monotonic: () => clock.now() + aheadMs } });
    if (ear) await own.listen(ear.gateway, ear.hear);
    await beatForAll(own, true);
    return own;
  }

  async function beatForAll(ledger: Ledger, boot: boolean): Promise<void> {
    for (const announcement of workers) await ledger.beat(beatOf(announcement, boot));
  }

  const isLoaded = (model: string): boolean =>
    workers.some(({ models }) => models.some(({ name, loaded }) => name === model && loaded));

  /** A worker's beat as it would be if it knew this gateway only. */
  function beatOf({ worker, epoch, slots, state, models }: Announcement, boot: boolean): Beat {
    const capacity = state === 'ready' ? Math.max(1, Math.floor(slots / gateways)) : 0; // 2
    const running = held.values().filter((lease) => lease.worker === worker); // 3
    // 5 What nobody has loaded is loaded by whichever worker a request comes to: nobody can be ordered to.
    const names = models.filter(({ name, loaded }) => loaded || !isLoaded(name)).map(({ name }) => name);
    const serves = [...names, seatOn(worker)];
    return { worker, epoch, boot, last: false, capacity, weight: 1, serves, running, announcement: '' };
  }

  function remember(id: string, worker: string): void {
    const take = asked.get(id);
    if (take) held.set(id, { id, worker, model: take.model, team: take.team, key: take.key, gateway: take.gateway });
  }

  function forget(id: string): void {
    asked.delete(id);
    held.delete(id);
  }

  async function takeShared(input: Take): Promise<Taken> {
    try {
      const taken = await shared.take(input);
      if (input.age === null) aheadMs = taken.age - clock.now();
      return taken;
    } catch (error) {
      if (error instanceof LedgerUnavailable) await goAlone(error); // 1
      throw error;
    }
  }

  function keepRoster({ roster }: SessionReply): void {
    const nowMs = clock.monotonic();
    if (roster.whole) for (const worker of texts.keys()) missing.set(worker, missing.get(worker) ?? nowMs);
    for (const { worker, announcement } of roster.present) {
      missing.delete(worker);
      texts.set(worker, announcement);
    }
    const lost = [...missing].filter(([, sinceMs]) => nowMs - sinceMs >= rebuildMs).map(([worker]) => worker);
    for (const worker of [...roster.gone, ...lost]) {
      missing.delete(worker);
      texts.delete(worker);
    }
  }

  return {
    get degraded() {
      return own !== null;
    },
    async take(input) {
      asked.set(input.id, input);
      try {
        const waitingMax = Math.ceil(input.waitingMax / gateways); // 2
        const taken = own ? await own.take({ ...input, waitingMax }) : await takeShared(input);
        if (taken.kind === 'held') remember(input.id, taken.worker);
        if (taken.kind === 'full') asked.delete(input.id);
        return taken;
      } catch (error) {
        asked.delete(input.id);
        throw error;
      }
    },
    leave(input) {
      forget(input.id);
      return (own ?? shared).leave(input);
    },
    entrust: forget,
    async session(input: Session): Promise<SessionReply> {
      try {
        const reply = await shared.session(input);
        gateways = reply.gateways;
        keepRoster(reply);
        if (!own) return reply;
        own = null;
        log.info('the ledger answers again', { running: held.values().length, waiting: input.tickets.length });
        return { ...reply, tickets: new Map(input.tickets.map((id) => [id, { kind: 'gone' }])) }; // 4
      } catch (error) {
        if (!(error instanceof LedgerUnavailable)) throw error;
        const alone = await goAlone(error);
        await beatForAll(alone, false);
        const reply = await alone.session(input);
        const roster = { version: input.rosterVersion, whole: false, present: [], gone: [] };
        return { ...reply, gateways, roster, alone: true };
      }
    },
    async listen(gateway, onGrant) {
      const hear = (grant: HandOff) => {
        remember(grant.id, grant.worker);
        onGrant(grant);
      };
      ear = { gateway, hear };
      return shared.listen(gateway, hear);
    },
    beat: (input) => shared.beat(input),
    claim: async (input) => (own ? 'moved' : shared.claim(input)),
    survey: () => (own ?? shared).survey(),
    [Symbol.asyncDispose]: () => shared[Symbol.asyncDispose](),
  };
}
