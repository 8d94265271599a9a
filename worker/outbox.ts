// The worker's side of one reply to a gateway: an HTTP error until it has begun, then a stream that ends or is cut.
import type { ServerResponse } from 'node:http';
import type { Clock } from '@berth/shared/clock.ts';
import { headersOf, statusOf } from '@berth/shared/dialects/dialect.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { notStartedHeader, refusalHeader } from '@berth/shared/headers.ts';
import type { NotStarted } from '@berth/shared/headers.ts';
import { encodeRefusal } from '@berth/shared/outcome.ts';
import type { Refusal } from '@berth/shared/outcome.ts';
import { encodeSettlement, settlementTrailer } from '@berth/shared/settlement.ts';
import type { Settlement } from '@berth/shared/settlement.ts';

/** The gateway closed the connection, or takes no bytes: nobody reads the answer any more. */
export class GatewayGone extends Error {
  override readonly name = 'GatewayGone';
}

/** How long a connection that takes no bytes keeps its slot: the bound for a frozen or vanished gateway. */
const writeStallMs = 20_000;

export interface Outbox {
  /** Aborts with `GatewayGone`. */
  readonly signal: AbortSignal;
  /** Settles when the connection is done with this reply: true when all of it was written out. */
  readonly closed: Promise<boolean>;
  /** Adds to the head, if it has not been written. */
  tell(headers: Readonly<Record<string, string>>): void;
  /** Writes the next text of a stream, and the head before the first. Waits until the connection takes more. */
  write(headers: Readonly<Record<string, string>>, text: string): Promise<void>;
  /** Ends the reply with its last text and the settlement as trailer. */
  end(headers: Readonly<Record<string, string>>, text: string, settlement: Settlement): void;
  /**
   * An HTTP error; after the head an end without a settlement, which every gateway reads as a cut. The trailer says why:
   * the gateway writes the error frame, and writes one even when this worker could not.
   */
  refuse(refusal: Refusal, requestId: string): void;
  notStarted(why: NotStarted): void;
}

export interface OutboxOptions {
  response: ServerResponse;
  dialect: Dialect;
  clock: Clock;
  /** True while draining: the gateway shall open its next connection elsewhere. */
  lastReply: () => boolean;
}

export function createOutbox({ response, dialect, clock, lastReply }: OutboxOptions): Outbox {
  const gone = new AbortController();
  let told: Readonly<Record<string, string>> = {};
  const closed = Promise.withResolvers<boolean>();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new GatewayGone('the gateway closed the connection'));
    closed.resolve(response.writableFinished);
  });
  response.on('error', () => undefined); // 'close' follows, and tells what matters

  const begin = (headers: Readonly<Record<string, string>>): void => {
    if (response.headersSent) return;
    response.writeHead(200, { ...headers, ...told, ...closing(), trailer: `${settlementTrailer}, ${refusalHeader}` });
  };
  const closing = (): Record<string, string> => (lastReply() ? { connection: 'close' } : {});
  const whole = (status: number, body: string, headers: Record<string, string>): void => {
    const length = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    response.writeHead(status, { ...length, ...closing(), ...headers }).end(body);
  };

  return {
    signal: gone.signal,
    closed: closed.promise,
    tell: (headers) => void (told = { ...told, ...headers }),
    async write(headers, text) {
      gone.signal.throwIfAborted();
      begin(headers);
      if (!response.write(text)) await drained(response, gone, clock);
    },
    end(headers, text, settlement) {
      begin(headers);
      response.addTrailers({ [settlementTrailer]: encodeSettlement(settlement) });
      response.end(text);
    },
    refuse(refusal, requestId) {
      if (response.headersSent) {
        response.addTrailers({ [refusalHeader]: encodeRefusal(refusal) });
        response.end();
        return;
      }
      const status = statusOf(refusal, dialect.name);
      const headers = { ...headersOf(refusal), [refusalHeader]: encodeRefusal(refusal) };
      whole(status, dialect.errorBody(refusal, requestId), headers);
    },
    notStarted(why) {
      if (response.headersSent) response.destroy();
      else whole(409, `{"error":"not started: ${why}"}`, { [notStartedHeader]: why });
    },
  };
}

/** Waits until the connection takes bytes again; one that does not within the bound counts as gone. */
async function drained(response: ServerResponse, gone: AbortController, clock: Clock): Promise<void> {
  const free = Promise.withResolvers<void>();
  const fail = (): void => free.reject(gone.signal.reason);
  const giveUp = (): void => {
    gone.abort(new GatewayGone('the gateway takes no bytes'));
    response.destroy();
  };
  using _timer = clock.after(writeStallMs, giveUp);
  response.once('drain', free.resolve);
  gone.signal.addEventListener('abort', fail, { once: true });
  try {
    await free.promise;
  } finally {
    response.off('drain', free.resolve);
    gone.signal.removeEventListener('abort', fail);
  }
}
