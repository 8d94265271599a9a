// The gateway's HTTP server: finds the route, makes the reply, hands both to the route's handler.
import { createServer, STATUS_CODES } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { headersOf, statusOf } from '@berth/shared/dialects/dialect.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { createCrowd } from '@berth/shared/crowd.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Random } from '@berth/shared/random.ts';
import { traceOf } from '@berth/shared/trace.ts';
import type { Held } from './admit.ts';
import { dialectOf, notFound } from './api/absent.ts';
import type { Cors } from './cors.ts';
import { cameBy } from './keys.ts';
import type { Authenticate } from './keys.ts';
import { allRights } from './policy/key.ts';
import type { Caller, Scope as KeyScope } from './policy/key.ts';
import { createReply } from './reply.ts';
import type { Reply } from './reply.ts';
import type { Record } from './settle.ts';
import type { Certificate } from './tls.ts';
import { checkFraming } from './wire.ts';
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

/** A connection that is to become a WebSocket. */
export interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  /** What came behind the request. */
  head: Buffer;
  /** Answers with an error and ends the connection. */
  refuse: (refusal: Refusal) => void;
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
  /** Left out = an upgrade is not taken, and the request answered as it stands. @throws Refusal */
  upgrade?: (upgrade: Upgrade) => void;
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
      keepAlive: () => !draining(),
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
      if (scope !== 'pool') wire.checkOrigin(request.headers, request.method ?? '');
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
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const route = upgradable(request);
    if (!route?.upgrade || doubtful.has(socket)) return void socket.destroy();
    socket.on('error', () => {});
    const place = upgraded.add(socket);
    socket.on('close', () => place[Symbol.dispose]());
    const refuse = (refusal: Refusal) => refuseUpgrade(socket, route.dialect, refusal, random.id());
    try {
      if (draining()) throw new Refusal('draining', 'this gateway is shutting down', { retryAfterS: 1 });
      checkFraming(request);
      // Whoever opens a channel may write.
      wire.checkOrigin(request.headers, 'POST');
      callerOf(request, route.scope, 'UPGRADE');
      route.upgrade({ request, socket, head, refuse });
    } catch (error) {
      refuse(error instanceof Refusal ? error : new Refusal('internal', 'internal error'));
    }
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

function refuseUpgrade(socket: Duplex, dialect: Dialect, refusal: Refusal, id: string): void {
  const status = statusOf(refusal, dialect.name);
  const body = dialect.errorBody(refusal, id);
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
    'x-request-id': id,
    ...headersOf(refusal),
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
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
