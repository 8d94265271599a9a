// Routes of what is mounted: every method, and the upgrade to a WebSocket.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { notFound } from '../api/absent.ts';
import type { Door } from '../admit.ts';
import { methods, readBody } from '../http.ts';
import type { Exchange, Route, Upgrade } from '../http.ts';
import type { Mount } from './mounts.ts';
import { checkPath } from './paths.ts';
import { checkLength, createProxy } from './proxy.ts';
import type { Proxy } from './proxy.ts';
import type { TakeSeat } from './seats.ts';

/** What every way through needs. */
export interface Passing {
  /** The client's address; `null` = unknown. */
  address: (request: IncomingMessage) => string | null;
  /** @throws Refusal for what only a trusted proxy may say: a server behind may believe it, too */
  check: (request: IncomingMessage) => void;
  takeSeat: TakeSeat;
  /** For a body that is held while its request waits for a slot. */
  hold: Door['hold'];
  bodyBytesMax: number;
  clock: Clock;
}

interface Options extends Passing {
  mounts: readonly Mount[];
  /** Those of the gateway itself. */
  routes: readonly Route[];
}

/** @throws Error when a mount would stand in the way of a route */
export function mountRoutes({ mounts, routes, ...how }: Options): Route[] {
  // The longest first: the first route that fits is taken.
  const sorted = mounts.toSorted((a, b) => b.path.length - a.path.length);
  return sorted.flatMap((mount) => {
    const inTheWay = routes.find(({ path }) => mount.path !== '' && `${path}/`.startsWith(`${mount.path}/`));
    if (inTheWay || mount.path === '/v1') {
      throw new Error(`MOUNTS: ${mount.path} is the gateway's own: choose another path`);
    }
    return routesOf(mount, how);
  });
}

/** Most bytes that a client may send before its WebSocket is one. */
const earlyBytesMax = 65_536;

export interface Entrance {
  /** @param seat worker or model of which a slot is taken; `null` = none */
  handle(exchange: Exchange, seat: string | null): Promise<void>;
  upgrade(exchange: Upgrade, seat: string | null): Promise<void>;
}

/** The way in to what stands behind `path`. */
export function createEntrance(path: string, proxy: Proxy, passing: Passing): Entrance {
  const { address, check, takeSeat } = passing;

  const enter = (request: IncomingMessage): void => {
    const [whole = '', query] = (request.url ?? '').split(/\?(.*)/s, 2);
    checkPath(whole);
    check(request);
    // Programs that look for an API need to hear that it is not there, and not a page.
    if (path === '' && whole.startsWith('/v1/')) throw notFound(request.method ?? '', whole);
    request.url = `${whole.slice(path.length) || '/'}${query === undefined ? '' : `?${query}`}`;
  };

  return {
    async handle(exchange, seat) {
      const { request, response } = exchange;
      enter(request);
      const passage = { request, response, address: address(request) };
      if (seat === null) return proxy.pass(passage);
      checkLength(request);
      using held = passing.hold();
      const body = await readBody(exchange, passing.bodyBytesMax, held);
      await takeSeat(exchange, seat, (until) => proxy.pass({ ...passage, until, body }));
    },
    async upgrade(exchange, seat) {
      const { request, response, reply, socket, head } = exchange;
      enter(request);
      const passage = { request, response, address: address(request) };
      const refuse = reply.refuse.bind(reply);
      if (seat === null) return proxy.join(passage, socket, head, refuse);
      const early = listen(socket, head);
      await takeSeat(exchange, seat, (until) => proxy.join({ ...passage, until }, socket, early(), refuse));
    },
  };
}

/**
 * A connection of which nothing is read does not tell that it was closed.
 * @returns what ends the listening, and gives what has come
 */
function listen(socket: Socket, head: Buffer): () => Buffer {
  let early = head;
  const keep = (chunk: Buffer) => {
    early = Buffer.concat([early, chunk]);
    if (early.length > earlyBytesMax) socket.destroy();
  };
  const leave = () => void socket.destroy();
  socket.on('data', keep).on('end', leave);
  return () => {
    socket.off('data', keep).off('end', leave).pause();
    return early;
  };
}

function routesOf(mount: Mount, passing: Passing): Route[] {
  const { handle, upgrade } = createEntrance(mount.path, createProxy(mount, passing.clock), passing);

  /** Links of a page are relative to its folder. */
  const intoFolder = ({ request, reply }: Exchange): void => {
    const [, query = ''] = (request.url ?? '').split(/(?=\?)(.*)/s, 2);
    reply.nothing({ location: `${mount.path}/${query}` }, 308);
  };

  const common = { scope: mount.scope ?? ('public' as const), dialect: openai };
  const allowed = mount.readOnly ? methods.filter((method) => method === 'GET' || method === 'HEAD') : methods;
  return allowed.flatMap((method): Route[] => {
    const path = `${mount.path}/*`;
    const below: Route = { ...common, method, path, handle: (exchange) => handle(exchange, mount.inference) };
    if (method === 'GET' && !mount.readOnly) below.upgrade = (exchange) => upgrade(exchange, mount.inference);
    // At the root itself programs ask what this is, and browsers want a page.
    const itself: Route =
      mount.path === ''
        ? { ...below, path: '/', when: wantsPage }
        : { ...common, method, path: mount.path, handle: intoFolder };
    return [itself, below];
  });
}

function wantsPage({ accept = '' }: IncomingHttpHeaders): boolean {
  return accept.includes('text/html');
}
