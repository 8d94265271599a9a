// The gateway's word to the ledger each second: it lives, and which tickets it waits on. Also keeps the roster.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Ledger, SessionReply, TicketState } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Estimate } from './estimate.ts';
import { createLedgerClock } from './ledger-clock.ts';
import type { Loads } from './loads.ts';
import { Outdated } from './waiting.ts';
import type { Ticket, WaitingRoom } from './waiting.ts';
import type { Roster } from './workers/roster.ts';

/** Three sessions fit into the time after which the ledger holds a silent gateway for dead. */
export const sessionEveryMs = 1_000;
/** A waiting job that no worker is there for is refused after this long: a worker that is restarted is back before. */
const unservedMs = 30_000;

export interface SessionOptions {
  ledger: Ledger;
  room: WaitingRoom;
  roster: Roster;
  estimate: Estimate;
  loads: Loads;
  /** Called each second while the ledger answers. */
  onTurn: () => void;
  clock: Clock;
  log: Log;
  gateway: string;
  /** Hears what became of each slot that was handed over. */
  onHandOff: (result: HandOffResult, latencyMs: number | null) => void;
}

/**
 * A slot that was handed over was `taken` by its ticket, or its ticket had gone, or the push was lost and the session
 * `recovered` it.
 */
export type HandOffResult = 'taken' | 'gone' | 'recovered';

export interface GatewaySession extends AsyncDisposable {
  /** Speaks to the ledger now; all who ask meanwhile get the same answer. Never rejects. */
  refresh(): Promise<void>;
  /** True while the ledger answers. */
  readonly up: boolean;
  /** Tickets that wait in the whole pool, as of the last answer. */
  readonly waiting: number;
  /** Gateways with a live session, as of the last answer. */
  readonly gateways: number;
}

/** Listens for grants, then speaks to the ledger at once and each second. Never throws: an absent ledger is a state. */
export async function openSession(options: SessionOptions): Promise<GatewaySession> {
  const { ledger, room, roster, estimate, loads, onTurn, clock, log, gateway, onHandOff } = options;
  const ledgerClock = createLedgerClock();
  const unservedSinceMs = new WeakMap<Ticket, number>();
  let up = false;
  let waiting = 0;
  let gateways = 1;
  let closed = false;
  let timer: Disposable | undefined;

  const ear = await ledger.listen(gateway, (grant) => {
    if (room.isSeated(grant.id)) return; // it runs already: given back now, the worker would be asked for one too many
    const ticket = room.find(grant.id);
    onHandOff(ticket ? 'taken' : 'gone', ledgerClock.sinceMs(grant.atMs, clock.monotonic()));
    if (ticket) ticket.grant(grant);
    // Its owner has gone in the meantime: the slot goes to the next at once.
    else ledger.leave({ id: grant.id, actual: 0, refused: false }).catch(() => {});
  });

  const settle = (ticket: Ticket, state: TicketState | undefined) => {
    if (state?.kind === 'wait') ticket.queued(state.place, state.servers);
    if (state?.kind === 'held') {
      onHandOff('recovered', null);
      ticket.grant({ id: ticket.id, worker: state.worker, epoch: state.epoch });
    }
    if (state?.kind === 'gone') ticket.again().catch((error: Error) => ticket.refuse(error));
  };

  const refuseUnserved = (ticket: Ticket) => {
    if (!ticket.unserved()) {
      unservedSinceMs.delete(ticket);
      return;
    }
    const sinceMs = unservedSinceMs.get(ticket) ?? clock.monotonic();
    unservedSinceMs.set(ticket, sinceMs);
    if (clock.monotonic() - sinceMs < unservedMs) return;
    ticket.refuse(
      new Refusal('no_worker', `no worker with the model ${ticket.model} can be reached`, {
        retryAfterS: estimate.retryAfterS(),
      }),
    );
  };

  const turn = async () => {
    // Only tickets that the ledger has queued: of one whose take is under way, "gone" would say nothing.
    const sentMs = clock.monotonic();
    const asked = room.all().filter(({ place }) => place !== null);
    const reply = await ledger.session({
      gateway,
      tickets: asked.map(({ id }) => id),
      rosterVersion: roster.version,
    });
    ledgerClock.heard(reply.nowMs, sentMs, clock.monotonic());
    hear(reply);
    // Of one that has left the room meanwhile "gone" is true, and it shall not be asked for again.
    const tickets = asked.filter((ticket) => room.find(ticket.id) === ticket);
    for (const ticket of tickets) settle(ticket, reply.tickets.get(ticket.id));
    for (const ticket of tickets) if (ticket.outdated()) ticket.refuse(new Outdated());
    for (const ticket of room.all()) refuseUnserved(ticket);
    if (reply.alone) return;
    void loads.consider(tickets);
    onTurn();
  };

  const hear = (reply: SessionReply) => {
    if (!up) log.info('ledger answers', { gateway });
    ({ waiting, gateways } = reply);
    up = true;
    if (reply.alone) roster.pause();
    else roster.apply(reply.roster);
    estimate.tick(waiting, gateways);
  };

  let speaking: Promise<void> | null = null;
  const refresh = (): Promise<void> => {
    speaking ??= turn()
      .catch((error: unknown) => {
        if (up) log.error('ledger does not answer: running streams go on', { error: String(error) });
        up = false;
        roster.pause();
      })
      .finally(() => (speaking = null));
    return speaking;
  };
  const loop = async () => {
    await refresh();
    if (!closed) timer = clock.after(sessionEveryMs, () => void loop());
  };
  await loop();

  return {
    refresh,
    get up() {
      return up;
    },
    get waiting() {
      return waiting;
    },
    get gateways() {
      return gateways;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      timer?.[Symbol.dispose]();
      await ear[Symbol.asyncDispose]();
    },
  };
}
