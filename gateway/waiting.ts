// The waiting room: the tickets of this gateway whose slot will be pushed by the ledger, and those that left it with one.
import { createRegister } from '@berth/shared/crowd.ts';
import type { Grant } from '@berth/shared/ledger/ledger.ts';
import type { Job } from './job.ts';

export interface Ticket {
  readonly id: string;
  readonly model: string;
  /** Estimated place in the queue, told to the client; `null` until the ledger has said `wait`. */
  readonly place: number | null;
  /** Workers that serve the model, as of the ledger's last answer; 0 = it is cold. */
  readonly servers: number;
  /** Settled by a grant, or by the reason why there will be none. */
  readonly granted: Promise<Grant>;
  queued(place: number, servers: number): void;
  grant(grant: Grant): void;
  refuse(reason: Error): void;
  /** What waits. */
  readonly job: Pick<Job, 'id' | 'model' | 'owner' | 'priority'>;
  /** Asks the ledger again, with the same id and age. */
  again(): Promise<void>;
  /** True when the workers have changed, so that what was asked is not what would be asked now. */
  outdated(): boolean;
  /** Hears with each answer of the ledger whether nobody serves the model. */
  cold(is: boolean): void;
  /** How long its job waits, ms. */
  waitedMs(): number;
  /** Workers that its job shall not get. */
  excluded(): readonly string[];
  /** True while no worker is there that the job could get. */
  unserved(): boolean;
}

/** What a ticket asks of its job. */
type Asked = Pick<Ticket, 'job' | 'again' | 'outdated' | 'unserved' | 'cold' | 'waitedMs' | 'excluded'>;

/** The ticket asks for what is no longer wanted: it is withdrawn, and its job asks anew with its age. */
export class Outdated extends Error {
  override readonly name = 'Outdated';
}

export interface WaitingRoom {
  open(model: string, id: string, asked: Asked): Ticket;
  find(id: string): Ticket | undefined;
  close(id: string): void;
  all(): Ticket[];
  /** It has left the room with a slot, which is held here until the result is disposed. */
  seat(id: string): Disposable;
  /** True while this gateway holds the slot: a message of the grant that comes now has been overtaken by the session. */
  isSeated(id: string): boolean;
}

export function createWaitingRoom(): WaitingRoom {
  const tickets = createRegister<Ticket>();
  const seated = createRegister<true>();
  return {
    open(model, id, asked) {
      const ticket = createTicket(model, id, asked);
      tickets.set(id, ticket);
      return ticket;
    },
    find: tickets.get,
    close: tickets.delete,
    all: tickets.values,
    seat(id) {
      seated.set(id, true);
      return { [Symbol.dispose]: () => seated.delete(id) };
    },
    isSeated: (id) => seated.get(id) === true,
  };
}

function createTicket(model: string, id: string, asked: Asked): Ticket {
  const { promise: granted, resolve: grant, reject: refuse } = Promise.withResolvers<Grant>();
  // A refusal may come when nobody waits any more; it must not end the process.
  granted.catch(() => {});
  // No getter in an object of which every request makes one: V8 gives each a hidden class of its own, in the old
  // generation, and with it keeps the whole request alive until the next full collection (measured).
  const ticket = {
    id,
    model,
    place: null as number | null,
    servers: 0,
    granted,
    queued(place: number, servers: number) {
      ticket.place = place;
      ticket.servers = servers;
      asked.cold(servers === 0);
    },
    grant,
    refuse,
    ...asked,
  };
  return ticket;
}
