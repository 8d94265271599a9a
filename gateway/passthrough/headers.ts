// The headers of what passes through: each side sees what is meant for it, and nothing of the connection between the others.
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { withoutSession } from '../policy/sessions.ts';
import type { Mount } from './mounts.ts';

/** Meant for the next connection only (RFC 9110, 7.6.1), and `expect`, which the gateway has answered. */
const hopByHop = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
];
/** Who the client is by its own word; the gateway writes what it knows. */
const hearsay = [
  'forwarded',
  'x-real-ip',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
];
const credentials = ['authorization', 'x-api-key', 'cookie'];

const websocket = { connection: 'upgrade', upgrade: 'websocket' };

/** Makes a client's headers those of a request to the mount's server. */
export function toServer(request: IncomingMessage, { path, scope }: Mount, address: string | null): void {
  const { headers, socket } = request;
  strip(headers, [...hearsay, ...hopByHop, ...(scope === null ? [] : credentials)]);
  // Whoever calls the server by the name of a key of ours has mistaken the one for the other.
  if (/^bearer +berth_/i.test(headers.authorization ?? '')) delete headers.authorization;
  const cookie = withoutSession(headers.cookie);
  if (cookie === undefined) delete headers.cookie;
  else headers.cookie = cookie;
  headers['x-forwarded-for'] = address ?? socket.remoteAddress ?? '';
  headers['x-forwarded-host'] = headers.host ?? '';
  headers['x-forwarded-proto'] = socket instanceof TLSSocket ? 'https' : 'http';
  headers['x-forwarded-prefix'] = path;
}

/** The same for a request to become a WebSocket. */
export function toWebSocketServer(request: IncomingMessage, mount: Mount, address: string | null): void {
  toServer(request, mount, address);
  Object.assign(request.headers, websocket);
}

/** Makes a server's headers those of a reply to the client. */
export function toClient(headers: IncomingHttpHeaders, mount: Mount): void {
  const { location } = headers;
  strip(headers, [...hopByHop, ...(mount.scope === null ? [] : ['set-cookie'])]);
  if (location !== undefined) headers.location = moved(location, mount);
}

/** The same for the reply that makes a WebSocket. */
export function toWebSocketClient(headers: IncomingHttpHeaders, mount: Mount): void {
  toClient(headers, mount);
  Object.assign(headers, websocket);
}

function strip(headers: IncomingHttpHeaders, names: readonly string[]): void {
  const named = (headers.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  for (const name of [...names, ...named]) delete headers[name];
}

/** Where a redirection inside the server leads from outside. */
function moved(location: string, { path, target }: Mount): string {
  if (!URL.canParse(location, target.href)) return location;
  const url = new URL(location, target);
  const root = target.pathname.replace(/\/$/, '');
  const absolute = location.startsWith('/') || URL.canParse(location);
  if (!absolute || url.origin !== target.origin || !`${url.pathname}/`.startsWith(`${root}/`)) return location;
  return `${path}${url.pathname.slice(root.length)}${url.search}${url.hash}`;
}
