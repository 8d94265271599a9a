// Pages and native routes of a server that has joined: gateways pass them through this worker, because such a server
// often listens on its own machine only, and its key is known here.
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock } from '@berth/shared/clock.ts';
import type { Handlers } from './http.ts';
import { reasonOf } from './reason.ts';
import type { Slots } from './slots.ts';

/** Below this path stands what is the server's own. */
export const pagesPath = '/upstream/';

export interface Pages {
  pass(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** The same for a WebSocket. */
  join(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** What a worker with an engine of its own has to show. */
export function ownPages({ slots, scrape }: Pick<Handlers, 'scrape'> & { slots: Slots }): Pages {
  return {
    async pass({ method, url = '', headers }, response) {
      const page = method === 'GET' ? url.slice(pagesPath.length - 1).split('?', 1)[0] : '';
      if (page === '/health') {
        return json(response, 200, { status: slots.state, slots: slots.capacity(), used: slots.used() });
      }
      if (page !== '/metrics') {
        return json(response, 404, {
          error: 'this worker has an engine of its own: its pages are /metrics and /health',
        });
      }
      const { text, contentType } = await scrape(headers.accept);
      response.writeHead(200, { 'content-type': contentType }).end(text);
    },
    join: (_request, socket) => void socket.destroy(),
  };
}

interface Options {
  /** Where the server is. */
  target: URL;
  /** What it wants to see of whoever asks, such as its key. */
  headers?: Readonly<Record<string, string>>;
  clock: Clock;
}

/** A server that does not take a connection in this time is not there. An answer may take as long as it takes. */
const connectMs = 5_000;
/** Of the call between gateway and worker, of its connection, or of who asks: the server has its own checks on these. */
const ours =
  /^(berth-.*|x-forwarded-.*|connection|keep-alive|transfer-encoding|upgrade|expect|te|host|origin|referer)$/;

/**
 * The gateway has checked who may do this, its framing, and that no slot is exceeded by it. Either side's end is the
 * other's; a server that dies in mid-reply cuts the gateway's connection, which then cuts the client.
 */
export function createPages({ target, headers: own = {}, clock }: Options): Pages {
  const root = target.pathname.replace(/\/$/, '');

  function ask({ method, url = '', headers: all }: IncomingMessage, more: Record<string, string>): ClientRequest {
    const headers = { ...without(all), ...own, ...more, host: target.host };
    const path = `${root}/${url.slice(pagesPath.length)}`;
    const send = target.protocol === 'https:' ? httpsRequest : httpRequest;
    const asking = send(new URL(target.origin), { method, path, headers, agent: false });
    const late = clock.after(connectMs, () => asking.destroy(new Error(`no connection in ${connectMs / 1_000} s`)));
    const there = () => late[Symbol.dispose]();
    return asking.on('close', there).on('socket', (socket) => socket.once('connect', there));
  }

  return {
    async pass(request, response) {
      const asking = ask(request, {});
      response.on('close', () => asking.destroy());
      asking.on('error', (error) => missing(response, error));
      asking.on('response', (answer) => {
        const { location } = answer.headers;
        const moved = location !== undefined && { location: outside(location) };
        response.writeHead(answer.statusCode ?? 502, { ...without(answer.headers), ...moved });
        answer.on('error', () => response.destroy());
        answer.on('close', () => answer.complete || response.destroy());
        answer.pipe(response);
      });
      request.pipe(asking);
    },
    join(request, socket, head) {
      const asking = ask(request, { connection: 'upgrade', upgrade: 'websocket' });
      const end = () => void socket.destroy();
      socket.on('error', end).on('close', () => asking.destroy());
      asking.on('error', end);
      asking.on('response', (answer) => {
        answer.resume();
        const lines = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\ncontent-length: 0\r\nconnection: close`;
        socket.end(`${lines}\r\n\r\n`);
      });
      asking.on('upgrade', ({ headers }, upstream, first) => {
        upstream.on('error', end).on('close', end);
        socket.on('close', () => upstream.destroy());
        const fields = { ...without(headers), connection: 'upgrade', upgrade: 'websocket' };
        const lines = Object.entries(fields).map(([name, value]) => `${name}: ${String(value)}\r\n`);
        socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
        socket.write(first);
        upstream.write(head);
        upstream.pipe(socket).pipe(upstream);
      });
      asking.end();
    },
  };

  /** Where a redirection inside the server leads from outside: the gateway puts its own path before it. */
  function outside(location: string): string {
    if (!location.startsWith('/') && !URL.canParse(location)) return location;
    const url = new URL(location, target);
    const inside = url.origin === target.origin && `${url.pathname}/`.startsWith(`${root}/`);
    return inside ? `${pagesPath}${url.pathname.slice(root.length + 1)}${url.search}${url.hash}` : location;
  }
}

function missing(response: ServerResponse, error: Error): void {
  if (response.headersSent) return void response.destroy();
  json(response, 502, { error: `the server behind this worker does not answer (${reasonOf(error)})` });
}

function json(response: ServerResponse, status: number, value: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function without(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ours.test(name)));
}
