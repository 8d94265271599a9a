// Who tells the ledger that a slot is free: the gateway that has read the reply, else the worker.
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '@berth/shared/clock.ts';
import { graceMs } from '@berth/shared/ledger/ledger.ts';
import type { WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Outbox } from './outbox.ts';
import { reasonOf } from './reason.ts';

interface Options {
  ledger: WorkerLedger;
  clock: Clock;
  log: Log;
}

/**
 * After a reply on a connection, once its slot has come back:
 * 1. A reply that was cut tells the gateway nothing of the slot, so the worker tells the ledger.
 * 2. A whole reply may lie unread in the connection when the gateway goes, which counts on the worker then. It keeps
 *    a connection on which it has read a reply, so that one which closes now was not read. Twice told does no harm.
 */
export async function leaveUnlessRead(
  { ledger, clock, log }: Options,
  lease: string,
  slotSeconds: number,
  outbox: Pick<Outbox, 'closed'>,
  { shouldKeepAlive, req: { socket } }: ServerResponse,
): Promise<void> {
  const leave = () =>
    ledger.leave({ id: lease, actual: slotSeconds, refused: false }).catch((error: unknown) => {
      log.debug('the ledger was not told of a cut request; the next beat tells it', { reason: reasonOf(error) });
    });
  if (!(await outbox.closed)) return void (await leave()); // 1
  if (!shouldKeepAlive) return;
  const untilMs = clock.monotonic() + graceMs; // after which a beat has told it
  onClose(socket, () => void (clock.monotonic() < untilMs && leave())); // 2
}

/** By connection, of its latest reply: one listener for all of them. */
const afterClose = new WeakMap<Socket, () => void>();

function onClose(socket: Socket, act: () => void): void {
  if (socket.destroyed) return act();
  if (!afterClose.has(socket)) socket.once('close', () => afterClose.get(socket)?.());
  afterClose.set(socket, act);
}
