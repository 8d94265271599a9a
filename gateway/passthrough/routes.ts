// Routes of what is mounted: every method, and the upgrade to a WebSocket.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { notFound } from '../api/absent.ts';
import { methods } from '../http.ts';
import type { Exchange, Route, Upgrade } from '../http.ts';
import type { Mount } from './mounts.ts';
import { checkPath } from './paths.ts';
import { createProxy } from './proxy.ts';

interface Options {
  mounts: readonly Mount[];
  /** Those of the gateway itself. */
  routes: readonly Route[];
  /** The client's address; `null` = unknown. */
  address: (request: IncomingMessage) => string | null;
  /** @throws Refusal for what only a trusted proxy may say: a server behind may believe it, too */
  check: (request: IncomingMessage) => void;
  clock: Clock;
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

function routesOf(mount: Mount, { address, check, clock }: Omit<Options, 'mounts' | 'routes'>): Route[] {
  const proxy = createProxy(mount, clock);

  const enter = (request: IncomingMessage): void => {
    const [path = '', query] = (request.url ?? '').split(/\?(.*)/s, 2);
    checkPath(path);
    check(request);
    // Programs that look for an API need to hear that it is not there, and not a page.
    if (mount.path === '' && path.startsWith('/v1/')) throw notFound(request.method ?? '', path);
    request.url = `${path.slice(mount.path.length) || '/'}${query === undefined ? '' : `?${query}`}`;
  };
  const handle = async ({ request, response }: Exchange): Promise<void> => {
    enter(request);
    await proxy.pass(request, response, address(request));
  };
  const upgrade = ({ request, socket, head, refuse }: Upgrade): void => {
    enter(request);
    proxy.join(request, socket, head, address(request), refuse);
  };

  /** Links of a page are relative to its folder. */
  const intoFolder = ({ request, reply }: Exchange): void => {
    const [, query = ''] = (request.url ?? '').split(/(?=\?)(.*)/s, 2);
    reply.nothing({ location: `${mount.path}/${query}` }, 308);
  };

  const common = { scope: mount.scope ?? ('public' as const), dialect: openai };
  const allowed = mount.readOnly ? methods.filter((method) => method === 'GET' || method === 'HEAD') : methods;
  return allowed.flatMap((method): Route[] => {
    const below: Route = { ...common, method, path: `${mount.path}/*`, handle };
    if (method === 'GET' && !mount.readOnly) below.upgrade = upgrade;
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
