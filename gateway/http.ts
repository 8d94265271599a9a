// The gateway's HTTP server: finds the route, makes the reply, hands both to the route's handler.
import { ServerResponse, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { createCrowd } from '@berth/shared/crowd.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Random } from '@berth/shared/random.ts';
import type { Certificate } from '@berth/shared/tls.ts';
import { traceOf } from '@berth/shared/trace.ts';
import type { Held } from './admit.ts';
import { dialectOf, notFound } from './api/absent.ts';
import type { Cors } from './cors.ts';
import type { Authenticate } from './keys.ts';
import { allRights } from './policy/key.ts';
import type { Caller, Scope as KeyScope } from './policy/key.ts';
import { createReply } from './reply.ts';
import type { Reply } from './reply.ts';
import type { Record } from './settle.ts';
import { cameBy, checkFraming } from './wire.ts';
import type { Wire } from './wire.ts';

/** Who may call a route. `public` needs no key; `pool` needs the signature of a worker. */
type Scope = 'public' | 'pool' | KeyScope;

export interface Exchange {
  /** The request's id, told to the client. */
  id: string;
  request: IncomingMessage;
  /** For bytes of another server that pass through; everything else goes by `reply`. */
  response: ServerResponse;
  reply: Reply;
  arrivedMs: number;
  owner: Caller;
  /** Where the stages write down what becomes of the request. */
  record: Record;
  /** What a path's `*` stood for, as it was sent. */
  rest: string;
}

/** A connection that is to become a WebSocket: until it has, `reply` may refuse it. */
export interface Upgrade extends Exchange {
  socket: Socket;
  /** What came behind the request. */
  head: Buffer;
}

export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

export interface Route {
  method: (typeof methods)[number];
  /** Exact, or with a final `*` for the rest of the path. */
  path: string;
  scope: Scope;
  dialect: Dialect;
  /** @throws Refusal, which is replied in the route's dialect */
  handle: (exchange: Exchange) => Promise<void> | void;
  /** Left out = an upgrade is not taken, and the request answered as it stands. Settles when it is over. @throws Refusal */
  upgrade?: (upgrade: Upgrade) => Promise<void>;
  /** Only such requests; left out = all. */
  when?: (headers: IncomingHttpHeaders) => boolean;
}

export interface HttpServer {
  server: Server;
  /** Destroys what is still open: connections, and those that have become WebSockets. */
  cut(): void;
}

interface Options {
  routes: readonly Route[];
  authenticate: Authenticate;
  cors: Cors;
  wire: Wire;
  /** `null` = plain HTTP. */
  certificate: Certificate | null;
  clock: Clock;
  random: Random;
  /** Soon to drain: clients shall open their next connection elsewhere. */
  leaving: () => boolean;
  draining: () => boolean;
  /** Runs a handler and settles whatever comes of it. */
  settle: (reply: Reply, arrivedMs: number, work: (record: Record) => Promise<void>) => Promise<void>;
}

/** Node's own defaults let a slow client hold a connection for 30 s and more (measured). */
const limits = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16 * 1_024,
  requireHostHeader: true,
};

/** A client that opens a connection and does not shake hands holds it for so long. */
const handshakeTimeout = 10_000;

export function createHttpServer({
  routes,
  authenticate,
  cors,
  wire,
  certificate,
  clock,
  random,
  leaving,
  draining,
  settle,
}: Options): HttpServer {
  const find = routeFinder(routes);
  const doubtful = new WeakSet<Duplex>();
  const upgraded = createCrowd<Duplex>();

  const listen = (request: IncomingMessage, response: ServerResponse): void => {
    if (doubtful.has(request.socket)) return;
    const arrivedMs = clock.monotonic();
    const path = pathOf(request);
    const found = find(request, path);
    const id = random.id();
    const reply = createReply({
      response,
      dialect: found.kind === 'route' ? found.route.dialect : dialectOf(path),
      requestId: id,
      headers: cors.headers(request.headers),
      clock,
      keepAlive: () => !leaving(),
    });
    void settle(reply, arrivedMs, async (record) => {
      record.trace = traceOf(request.headers, random);
      try {
        checkFraming(request);
      } catch (error) {
        // Where this request ends is in doubt: nothing that comes after it is one, and Node has read it already.
        response.shouldKeepAlive = false;
        doubtful.add(request.socket);
        throw error;
      }
      const scope = found.kind === 'route' ? found.route.scope : null;
      if (scope !== 'pool') wire.checkOrigin(request, request.method ?? '');
      const preflight = request.method === 'OPTIONS' && found.kind !== 'none' ? cors.preflight(request.headers) : null;
      if (preflight) return reply.nothing(preflight);
      if (found.kind === 'none') throw notFound(request.method ?? '', path);
      if (found.kind === 'method') {
        throw new Refusal('method_not_allowed', `${path} takes ${found.methods.join(', ')}, not ${request.method}`);
      }
      const owner = callerOf(request, found.route.scope);
      await found.route.handle({ id, request, response, reply, arrivedMs, owner, record, rest: found.rest });
    });
  };
  const callerOf = (request: IncomingMessage, scope: Scope, method = request.method ?? ''): Caller => {
    return callerFor(scope, () =>
      authenticate(request.headers, wire.address(request) ?? undefined, cameBy(request, method)),
    );
  };
  const upgradable = (request: IncomingMessage): Route | null => {
    const found = find(request, pathOf(request));
    const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket';
    return isWebSocket && found.kind === 'route' && found.route.upgrade ? found.route : null;
  };
  const upgrade = (request: IncomingMessage, duplex: Duplex, head: Buffer): void => {
    const arrivedMs = clock.monotonic();
    const route = upgradable(request);
    if (!route?.upgrade || doubtful.has(duplex)) return void duplex.destroy();
    const socket = duplex as Socket;
    socket.on('error', () => {});
    const place = upgraded.add(socket);
    socket.on('close', () => place[Symbol.dispose]());
    // Node has let go of the connection: what refuses it is written by a response of our own.
    const response = new ServerResponse(request);
    response.assignSocket(socket);
    response.on('finish', () => socket.end());
    const { dialect, scope, upgrade: become } = route;
    const id = random.id();
    const reply = createReply({ response, dialect, requestId: id, headers: {}, clock, keepAlive: () => false });
    void settle(reply, arrivedMs, async (record) => {
      record.trace = traceOf(request.headers, random);
      if (draining()) throw new Refusal('draining', 'this gateway is shutting down', { retryAfterS: 1 });
      checkFraming(request);
      // Whoever opens a channel may write.
      wire.checkOrigin(request, 'POST');
      const owner = callerOf(request, scope, 'UPGRADE');
      const { rest } = find(request, pathOf(request));
      await become({ id, request, response, reply, arrivedMs, owner, record, rest, socket, head });
    });
  };
  const settings = {
    ...limits,
    noDelay: true,
    shouldUpgradeCallback: (it: IncomingMessage) => upgradable(it) !== null,
  };
  const server =
    certificate === null
      ? createServer(settings, listen)
      : createTlsServer({ ...settings, ...certificate, minVersion: 'TLSv1.2', handshakeTimeout }, listen);
  server.on('upgrade', upgrade);
  return {
    server,
    cut() {
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
    },
  };
}

const nobody: Caller = { team: 'none', key: 'none', id: 'none', rights: { ...allRights, scopes: [] } };

/** @throws Refusal `unauthorized`, `forbidden` */
function callerFor(scope: Scope, authenticated: () => Caller): Caller {
  if (scope === 'public' || scope === 'pool') return nobody;
  const caller = authenticated();
  if (caller.rights.scopes.includes(scope)) return caller;
  throw new Refusal('forbidden', `this key lacks the scope ${scope}: ask an administrator for a key that has it`);
}

type Found =
  | { kind: 'route'; route: Route; rest: string }
  | { kind: 'method'; methods: string[]; rest: string }
  | { kind: 'none'; rest: string };

function routeFinder(routes: readonly Route[]): (request: IncomingMessage, path: string) => Found {
  const exact = Map.groupBy(
    routes.filter(({ path }) => !path.endsWith('*')),
    ({ path }) => path,
  );
  const prefixes = routes.filter(({ path }) => path.endsWith('*'));
  return ({ method, headers }, path) => {
    const prefix = prefixes.find((route) => path.startsWith(route.path.slice(0, -1)))?.path;
    const here = exact.get(path) ?? prefixes.filter((route) => route.path === prefix);
    const rest = prefix === undefined ? '' : path.slice(prefix.length - 1);
    const route = here.find((route) => route.method === method && (route.when?.(headers) ?? true));
    if (route) return { kind: 'route', route, rest };
    return here.length === 0
      ? { kind: 'none', rest }
      : { kind: 'method', methods: here.map(({ method }) => method), rest };
  };
}

function pathOf(request: IncomingMessage): string {
  const [path = ''] = (request.url ?? '').split('?', 1);
  return path;
}

/**
 * The whole body of a request.
 * @param held counts its bytes as they arrive
 * @throws Refusal `body_too_large`, `bad_request` for a compressed body, `client_gone` by the reply's signal
 */
export async function readBody({ request, reply }: Exchange, bytesMax: number, held?: Held): Promise<Buffer> {
  const tooLarge = () =>
    new Refusal('body_too_large', `the body is larger than ${bytesMax} bytes: shorten it or raise MAX_BODY`);
  if (request.headers['content-encoding'] !== undefined) {
    throw new Refusal('bad_request', 'compressed bodies are not taken: send the body without Content-Encoding');
  }
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > bytesMax) throw tooLarge();
      held?.add(chunk.length);
      chunks.push(chunk);
    }
  } catch (error) {
    reply.signal.throwIfAborted();
    throw error;
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length);
}
