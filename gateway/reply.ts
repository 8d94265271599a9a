// The client's side of a request: one reply that is refused, streamed or cut, and knows when the client has gone.
import type { ServerResponse } from 'node:http';
import type { Clock } from '@berth/shared/clock.ts';
import { headersOf, statusOf } from '@berth/shared/dialects/dialect.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import type { Refusal } from '@berth/shared/outcome.ts';

/** The client closed its connection before it had the whole reply. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** How long a connection that takes no bytes keeps its slot: the bound for a frozen or vanished client. */
const writeStallMs = 20_000;
/** Until then an error is still a true HTTP error. Measured clients tolerate this silence. */
const patienceMs = 5_000;
/** Between two wait frames: proxies and clients time out on 15 s of silence and more. */
const waitFrameEveryMs = 10_000;
/** Longest time an error frame may take to leave before the socket is destroyed all the same. */
const cutMs = 1_000;

export interface Reply {
  /** How the client speaks. */
  readonly dialect: Dialect;
  /** What the client knows the request by. */
  readonly requestId: string;
  /** Aborts with `ClientGone` when the connection closes or takes no bytes for 20 s. */
  readonly signal: AbortSignal;
  /** Writes the head of a success. Does nothing when wait frames have committed it already. */
  head(headers: Record<string, string>): void;
  /** @returns false when the connection is full: stop until `drained` is called */
  write(chunk: Uint8Array | string): boolean;
  /** Replaces what is called when the connection takes bytes again. */
  onDrain(drained: () => void): void;
  end(): void;
  /** Ends with an HTTP error, or after the head with an error frame and a destroyed socket. */
  refuse(refusal: Refusal): void;
  /** Ends with a JSON body. */
  json(status: number, body: string, headers?: Record<string, string>): void;
  /** Ends without a body, with 204 unless told otherwise. */
  nothing(headers: Record<string, string>, status?: 204 | 304 | 308): void;
  /**
   * From now on a silent wait of 5 s commits a streamed reply and fills it with wait frames, until the scope ends.
   * @param frame makes one frame, and says where the request stands
   */
  whileWaiting(frame: (nowMs: number) => string): Disposable;
}

interface Options {
  response: ServerResponse;
  dialect: Dialect;
  requestId: string;
  clock: Clock;
  /** Headers of every reply to this request, such as those for browsers. */
  headers: Record<string, string>;
  /** False while draining: the client shall open its next connection elsewhere. */
  keepAlive: () => boolean;
}

export function createReply({ response, dialect, requestId, headers: always, clock, keepAlive }: Options): Reply {
  const gone = new AbortController();
  let answered = false;
  let stall: Disposable | undefined;
  let drained = () => {};

  const common = () => ({
    ...always,
    'x-request-id': requestId,
    'request-id': requestId,
    ...(keepAlive() ? {} : { connection: 'close' }),
  });
  const commit = (headers: Record<string, string>) => {
    if (!response.headersSent) response.writeHead(200, { ...headers, ...common() });
  };
  const write = (chunk: Uint8Array | string) => {
    const room = response.write(chunk);
    if (!room && !stall) stall = clock.after(writeStallMs, () => response.destroy());
    return room;
  };

  response.on('close', () => {
    stall?.[Symbol.dispose]();
    if (!response.writableFinished) gone.abort(new ClientGone('the client closed the connection'));
  });
  response.on('drain', () => {
    stall?.[Symbol.dispose]();
    stall = undefined;
    drained();
  });
  // A late reset of the socket is the client's departure, told by 'close'; without a listener it would end the process.
  response.on('error', () => {});

  const json = (status: number, body: string, headers: Record<string, string> = {}) => {
    if (response.headersSent || response.destroyed) return;
    response.writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      ...headers,
      ...common(),
    });
    response.end(body);
  };

  return {
    dialect,
    requestId,
    signal: gone.signal,
    head: commit,
    write(chunk) {
      answered = true;
      return write(chunk);
    },
    onDrain: (action) => void (drained = action),
    end: () => void response.end(),
    json,
    nothing(headers, status = 204) {
      if (!response.headersSent) response.writeHead(status, { ...headers, ...common() }).end();
    },
    refuse(refusal) {
      if (response.writableEnded) return;
      if (!response.headersSent) {
        json(statusOf(refusal, dialect.name), dialect.errorBody(refusal, requestId), headersOf(refusal));
        return;
      }
      // The frame must be on its way before the connection is destroyed, and the last chunk must never be sent.
      response.write(dialect.errorFrame(refusal, requestId), () => response.destroy());
      clock.after(cutMs, () => response.destroy());
    },
    whileWaiting(frame) {
      const speak = () => {
        if (answered || response.destroyed) return;
        commit(dialect.streamHeaders);
        write(frame(clock.now()));
        timer = clock.after(waitFrameEveryMs, speak);
      };
      let timer = clock.after(patienceMs, speak);
      return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
    },
  };
}
