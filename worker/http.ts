// The worker's HTTP server: who may call is asked first, then the route.
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { activityPath, cancelPath } from '@berth/shared/activity.ts';
import type { Activity } from '@berth/shared/activity.ts';
import { checkCall } from '@berth/shared/auth.ts';
import type { Call, Checked } from '@berth/shared/auth.ts';
import type { Scrape } from '@berth/shared/metrics/instruments.ts';
import { keepCertificate } from '@berth/shared/tls.ts';
import type { Certificate, TlsFiles } from '@berth/shared/tls.ts';
import { pagesPath } from './pages.ts';
import type { Pages } from './pages.ts';
import { reasonOf } from './reason.ts';
import type { ServeKit } from './serve.ts';
import { wishes } from './standing.ts';
import type { Standing, Wish } from './standing.ts';

/**
 * Node's defaults let a slow caller hold a connection for 30 s and more (reliability.md §3.2, measured).
 * The keep-alive is longer than a gateway's idle time (30 s), so that the worker never closes a connection
 * that is just being used again.
 */
const limits = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16 * 1_024,
  requireHostHeader: true,
  noDelay: true,
};

/** Answers one signed call. Never rejects. */
export type Handle = (call: Call, request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** What stands behind the door: an engine of our own, or a joined server. */
export interface Handlers {
  /** Of a route that generates or computes; `undefined` = there is none. */
  generate(path: string): Handle | undefined;
  show: Handle;
  /** A slot for what runs beside. */
  hold: Handle;
  pages: Pages;
  scrape(accept: string | undefined): Promise<Scrape>;
}

/** The certificate that gateways are shown, and where it is renewed. */
export interface WorkerTls {
  files: TlsFiles;
  first: Certificate;
}

export interface ServerOptions extends Pick<ServeKit, 'activity' | 'clock' | 'log' | 'metrics' | 'onNews'> {
  secret: string;
  /** Left out = plain HTTP. */
  tls?: WorkerTls | null;
  /** What the slots and the memory behind them are used for. */
  look: () => Promise<Activity>;
  handlers: Handlers;
  /** Of this worker's life. */
  epoch: string;
  standing: Standing;
  /** What changes the models on the disk, by method and path; left out = nothing does. */
  library?: Readonly<Record<string, Handle>>;
}

export function createWorkerServer(options: ServerOptions): Server {
  const complain = forgeryLog(options);
  const server = serverOf(options, (request, response) => {
    route(options, complain, request, response).catch((error: unknown) => {
      options.log.error('a request ended in an unforeseen way', { reason: reasonOf(error) });
      response.destroy();
    });
  });
  return server.on('upgrade', (request, socket, head) => {
    const { method = '', url = '', headers } = request;
    const checked = checkCall(options.secret, method, url, headers, options.clock.now());
    if (checked.kind === 'refused') complain(checked.why);
    if (checked.kind === 'ok' && url.startsWith(pagesPath)) options.handlers.pages.join(request, socket, head);
    else socket.destroy();
  });
}

function serverOf({ tls, clock, log }: ServerOptions, listener: RequestListener): Server {
  if (!tls) return createServer(limits, listener);
  const server = createTlsServer({ ...limits, ...tls.first, minVersion: 'TLSv1.2' }, listener);
  const renewal = keepCertificate(server, tls.files, { first: tls.first, clock, log });
  return server.once('close', () => renewal[Symbol.dispose]());
}

/**
 * 1. `/livez` says nothing but that the process answers, so it answers everybody.
 * 2. Everything else needs the pool's signature; `/metrics` answers loopback too, because a scraper cannot sign and
 *    a scrape names models and counts: from other hosts it comes through a gateway, which signs.
 * 3. A gateway that has ordered a load says so: the next beat, which brings the order, need not be waited for.
 */
async function route(
  options: ServerOptions,
  complain: (why: 'unsigned' | 'expired' | 'forged') => void,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '', url = '' } = request;
  if (url === '/livez' && (method === 'GET' || method === 'HEAD')) return plain(response, 200, '{"status":"ok"}'); // 1
  const scrape = url === '/metrics' && method === 'GET';
  if (scrape && isLoopback(request.socket.remoteAddress)) return metrics(options, request, response); // 2
  const checked: Checked = checkCall(options.secret, method, url, request.headers, options.clock.now());
  if (checked.kind === 'refused') {
    complain(checked.why);
    return plain(response, 401, `{"error":"this call is ${checked.why}: only gateways of the pool are answered"}`);
  }
  if (scrape) return metrics(options, request, response);
  if (method === 'POST' && url === '/api/show') return await options.handlers.show(checked.call, request, response);
  if (method === 'POST' && url === '/internal/beat') return beatNow(options, response); // 3
  const wish = method === 'POST' ? wishes.find((each) => url === `/internal/${each}`) : undefined;
  if (wish !== undefined) return obey(options, wish, checked.call, response);
  if (method === 'GET' && url === activityPath) return plain(response, 200, JSON.stringify(await options.look()));
  if (method === 'POST' && url.startsWith(cancelPath)) return cancel(options, url.slice(cancelPath.length), response);
  const { handlers } = options;
  if (method === 'POST' && url === '/internal/hold') return await handlers.hold(checked.call, request, response);
  const { library = {} } = options;
  const change = Object.hasOwn(library, `${method} ${url}`) ? library[`${method} ${url}`] : undefined;
  if (change !== undefined) return await change(checked.call, request, response);
  if (url.startsWith(pagesPath)) return await handlers.pages.pass(request, response);
  const handle = method === 'POST' ? handlers.generate(url) : undefined;
  if (handle === undefined) return plain(response, 404, '{"error":"there is nothing here"}');
  await handle(checked.call, request, response);
}

function plain(response: ServerResponse, status: number, body: string): void {
  const length = Buffer.byteLength(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': length }).end(body);
}

function beatNow({ onNews }: ServerOptions, response: ServerResponse): void {
  onNews();
  plain(response, 200, '{}');
}

/** What an operator wants; of another life of this worker it is not wanted. */
function obey({ standing, epoch }: ServerOptions, wish: Wish, call: Call, response: ServerResponse): void {
  if (call.epoch !== epoch) return plain(response, 409, '{"error":"this worker was restarted"}');
  standing.hear(wish, call.model);
  plain(response, 200, '{}');
}

function cancel({ activity }: ServerOptions, request: string, response: ServerResponse): void {
  plain(response, 200, JSON.stringify({ cancelled: activity.cancel(request) }));
}

async function metrics(
  { handlers }: ServerOptions,
  { headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { text, contentType } = await handlers.scrape(headers.accept);
  response.writeHead(200, { 'content-type': contentType }).end(text);
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(::1|(::ffff:)?127\.)/.test(address);
}

/** At most one line in this time: a stranger who knocks must not fill the log. */
const complainEveryMs = 10_000;

const advice = {
  unsigned: 'a call without a signature was refused',
  forged: 'a call with a wrong signature was refused: CLUSTER_SECRET must be the same in the whole pool',
  expired: 'a call with an old signature was refused: the clocks of gateway and worker differ by more than 30 s',
};

function forgeryLog({ clock, log, metrics }: ServerOptions): (why: 'unsigned' | 'expired' | 'forged') => void {
  let quietUntilMs = Number.NEGATIVE_INFINITY;
  return (why) => {
    metrics.refused(why);
    if (clock.monotonic() < quietUntilMs) return;
    quietUntilMs = clock.monotonic() + complainEveryMs;
    log.warn(advice[why]);
  };
}
