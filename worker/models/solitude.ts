// Who may use a model beside whom: anybody, unless a suspect has it to itself, so that it can kill nobody else's answer.
import type { Clock } from '@berth/shared/clock.ts';
import { NotStartedHere } from './not-started.ts';

export interface Solitude {
  /**
   * A place beside the others who use the model, until it is disposed; `alone` = beside nobody.
   * @throws NotStartedHere `busy` while somebody has the model alone, or when the others do not end in time;
   *   the signal's reason
   */
  enter(model: string, alone: boolean, signal: AbortSignal): Promise<Disposable>;
  /** Models that take no new requests now, because somebody is alone with them or waits to be. */
  taken(): ReadonlySet<string>;
}

/** As long as a wait for room: a request that waits for longer goes back to the gateway's queue with its age. */
const othersMsMax = 30_000;

interface Room {
  users: number;
  closed: boolean;
  /** Told at each leave. */
  left: () => void;
}

/** @param onChange a model is taken, or free again: the ledger shall know soon */
export function createSolitude({ clock, onChange }: { clock: Clock; onChange: () => void }): Solitude {
  const rooms = new Map<string, Room>();

  const leave = (model: string, room: Room, alone: boolean): void => {
    room.users -= 1;
    if (alone) room.closed = false;
    if (room.users === 0) rooms.delete(model);
    room.left();
    if (alone) onChange();
  };

  async function others(room: Room, signal: AbortSignal): Promise<void> {
    const empty = Promise.withResolvers<void>();
    const gone = (): void => empty.reject(signal.reason);
    const look = (): void => (room.users === 1 ? empty.resolve() : undefined);
    using _timer = clock.after(othersMsMax, () => empty.reject(new NotStartedHere('busy')));
    signal.addEventListener('abort', gone, { once: true });
    room.left = look;
    look();
    try {
      await empty.promise;
    } finally {
      room.left = () => undefined;
      signal.removeEventListener('abort', gone);
    }
  }

  return {
    async enter(model, alone, signal) {
      signal.throwIfAborted();
      const room = rooms.get(model) ?? { users: 0, closed: false, left: () => undefined };
      if (room.closed) throw new NotStartedHere('busy');
      rooms.set(model, room);
      room.users += 1;
      room.closed = alone;
      let inside = true;
      const place = {
        [Symbol.dispose]() {
          if (inside) leave(model, room, alone);
          inside = false;
        },
      };
      if (!alone) return place;
      onChange();
      try {
        await others(room, signal);
        return place;
      } catch (error) {
        place[Symbol.dispose]();
        throw error;
      }
    },
    taken: () => new Set([...rooms].flatMap(([model, { closed }]) => (closed ? [model] : []))),
  };
}
