// The console's own routes: its page, a snapshot of the pool, and the stream of what changes in it.
import type { Clock } from '@berth/shared/clock.ts';
import { createCrowd } from '@berth/shared/crowd.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Exchange, Route } from '../http.ts';
import type { Authenticate } from '../keys.ts';
import { cameBy } from '../wire.ts';
import type { Wire } from '../wire.ts';
import { fileRoutes } from './files.ts';
import { createLook } from './survey.ts';
import type { LookOptions, Parts } from './survey.ts';

interface Options extends LookOptions {
  authenticate: Authenticate;
  wire: Pick<Wire, 'address'>;
}

/** Between two messages of a stream. */
const everyMs = 1_000;
/** Consoles that are open at a time, at one gateway. */
const streamsMax = 32;

export async function consoleRoutes(options: Options): Promise<Route[]> {
  const { authenticate, wire, clock } = options;
  const look = createLook(options);
  const open = createCrowd<Exchange>();
  const admin = { method: 'GET', scope: 'admin', dialect: openai } as const;

  const snapshot = async ({ reply }: Exchange) =>
    reply.json(200, messageOf(Object.entries(await look())), { 'cache-control': 'no-store' });

  /** Whether the one who asked would be let in now as well: a session ends, a key is revoked. */
  const isStillAdmin = ({ request }: Exchange): boolean => {
    try {
      const address = wire.address(request) ?? undefined;
      return authenticate(request.headers, address, cameBy(request, 'GET')).rights.scopes.includes('admin');
    } catch {
      return false;
    }
  };
  /** Ends with the client, with the session, or with the gateway; a client that reads slowly misses messages. */
  const stream = async (exchange: Exchange) => {
    const { reply } = exchange;
    if (open.size >= streamsMax) {
      throw new Refusal('rate_limited', `${streamsMax} consoles are open at this gateway: close one`, {
        retryAfterS: 5,
      });
    }
    using _place = open.add(exchange);
    reply.head({ ...openai.streamHeaders, 'cache-control': 'no-store' });
    const sent: { [P in keyof Parts]?: string } = {};
    let roomy = true;
    reply.onDrain(() => (roomy = true));
    while (!reply.signal.aborted) {
      if (!isStillAdmin(exchange)) {
        reply.write('event: ended\ndata: {}\n\n');
        reply.end();
        return;
      }
      const parts = await look();
      if (reply.signal.aborted) return;
      if (roomy) roomy = reply.write(`data: ${messageOf(changedIn(parts, sent))}\n\n`);
      await passed(clock, everyMs, reply.signal);
    }
  };
  return [
    ...(await fileRoutes()),
    { ...admin, path: '/admin/pool', handle: snapshot },
    { ...admin, path: '/console/events', handle: stream },
  ];
}

type Part = [name: string, json: string];

/** What this client does not know yet; then it does. */
function changedIn(parts: Parts, sent: { [P in keyof Parts]?: string }): Part[] {
  const changed = Object.entries(parts).filter(([name, json]) => sent[name as keyof Parts] !== json);
  Object.assign(sent, Object.fromEntries(changed));
  return changed;
}

function messageOf(parts: readonly Part[]): string {
  return `{${parts.map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`;
}

async function passed(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _timer = clock.after(ms, resolve);
  const leave = () => resolve();
  signal.addEventListener('abort', leave, { once: true });
  await promise;
  signal.removeEventListener('abort', leave);
}
