// One mount's proxy: http-proxy-3, wrapped where it has been seen to hang, to truncate in silence or to tell too much.
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { Duplex } from 'node:stream';
import { createProxyServer } from 'http-proxy-3';
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { toClient, toServer, toWebSocketClient, toWebSocketServer } from './headers.ts';
import type { Mount } from './mounts.ts';

/** A server that does not take a connection in this time is not there. */
const connectTimeout = 5_000;
/** How long a side that takes no bytes is waited for, as for an answer. */
const writeStallMs = 20_000;
/** How long the other side of a WebSocket may take to say good-bye. */
const farewellMs = 1_000;

/** A request on its way through. */
interface Passage {
  request: IncomingMessage;
  response: ServerResponse;
  /** The client's; `null` = unknown. */
  address: string | null;
  /** Ends both sides when it aborts, whatever they do. */
  until?: AbortSignal;
  /** What of the request's body was read already; left out = nothing. */
  body?: Buffer;
}

export interface Proxy {
  /** Resolves when the reply has ended, whoever ended it. @throws Refusal `length_required`, `mount_failed` */
  pass(passage: Passage): Promise<void>;
  /**
   * Joins a WebSocket's two connections until either ends.
   * @param refuse is called while nothing has been sent, and the promise is rejected then
   */
  join(passage: Passage, socket: Socket, head: Buffer, refuse: (refusal: Refusal) => void): Promise<void>;
}

/** Headers that tell the server who calls, when the path as it is sent is known. */
type Prove = (method: string, path: string) => Record<string, string>;

/**
 * What is wrapped (each measured with 2.0.1): a server that died in mid-reply left the client hanging; headers of the
 * connection, credentials and the client's own `x-forwarded-*` went through; a chunked body of DELETE was framed anew
 * as a second request, so that only bodies with a length are taken. No connection is used twice.
 */
export function createProxy(mount: Mount, clock: Clock, prove: Prove = () => ({})): Proxy {
  const proxy = createProxyServer({ target: mount.target, connectTimeout, xfwd: false });
  const failed = (error: NodeJS.ErrnoException) =>
    new Refusal(
      'mount_failed',
      `the server behind ${mount.path || '/'} does not answer (${error.code ?? error.message})`,
    );

  // It tells a WebSocket's errors here too, and without a listener the reset of any client would end the process.
  proxy.on('error', () => {});
  const sign = (asking: ClientRequest) => {
    for (const [name, value] of Object.entries(prove(asking.method, asking.path))) asking.setHeader(name, value);
  };
  proxy.on('proxyReq', sign);
  proxy.on('proxyRes', (upstream, _request, response) => {
    toClient(upstream.headers, mount);
    // Else http-proxy-3 promises to keep a connection that is about to be closed.
    if (!response.shouldKeepAlive) upstream.headers.connection = 'close';
    upstream.on('error', () => {});
    upstream.on('close', () => {
      if (!upstream.complete) response.destroy();
    });
    watchStall(upstream, () => response.destroy());
  });
  const onAnswer = new WeakMap<Duplex, () => void>();
  const begin = (socket: Duplex) => {
    answered.add(socket);
    onAnswer.get(socket)?.();
  };
  /** Connections on which a reply of the server has begun. */
  const answered = new WeakSet<Duplex>();
  proxy.on('proxyReqWs', (asking, _request, socket) => {
    sign(asking);
    asking.prependListener('response', (refusing: IncomingMessage) => {
      begin(socket);
      toClient(refusing.headers, mount);
      refusing.on('close', () => refusing.complete || socket.destroy());
    });
    asking.prependListener('upgrade', ({ headers }: IncomingMessage, upstream: Duplex) => {
      begin(socket);
      toWebSocketClient(headers, mount);
      tie(socket, upstream);
      tie(upstream, socket);
    });
  });

  /** What ends on one side ends on the other, although a half-open connection could go on for ever. */
  function tie(one: Duplex, other: Duplex): void {
    const part = () => void clock.after(farewellMs, () => other.destroy());
    one.once('end', part).once('close', part);
    watchStall(one, () => other.destroy());
  }

  /** A pipe pauses its source for as long as the other side takes nothing. */
  function watchStall(source: IncomingMessage | Duplex, stalled: () => void): void {
    let stall: Disposable | undefined;
    const end = () => stall?.[Symbol.dispose]();
    source.on('pause', () => {
      end();
      stall = clock.after(writeStallMs, stalled);
    });
    source.on('resume', end).on('close', end);
  }

  return {
    async pass({ request, response, address, until, body }) {
      checkLength(request);
      toServer(request, mount, address);
      const whole = body && { buffer: Readable.from(body.length > 0 ? [body] : []) };
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      response.once('close', resolve);
      using _end = onAbort(until, () => response.destroy());
      proxy.web(request, response, whole ?? {}, (error) => {
        if (response.headersSent) response.destroy();
        else reject(failed(error));
      });
      await promise;
    },
    async join({ request, response, address, until }, socket, head, refuse) {
      toWebSocketServer(request, mount, address);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      socket.once('close', () => resolve());
      using _end = onAbort(until, () => socket.destroy());
      // From here on the bytes are the server's.
      onAnswer.set(socket, () => response.detachSocket(socket));
      proxy.ws(request, socket, head, {}, (error) => {
        if (answered.has(socket)) return;
        // Written now: the connection is closed as soon as this returns.
        refuse(failed(error));
        reject(failed(error));
      });
      await promise;
    },
  };
}

/** @throws Refusal `length_required` */
export function checkLength({ headers }: IncomingMessage): void {
  if (headers['transfer-encoding'] === undefined) return;
  throw new Refusal('length_required', 'a body that is passed on needs a Content-Length');
}

function onAbort(signal: AbortSignal | undefined, act: () => void): Disposable {
  signal?.addEventListener('abort', act, { once: true });
  if (signal?.aborted) act();
  return { [Symbol.dispose]: () => signal?.removeEventListener('abort', act) };
}
