// What operators and load balancers ask: does it live, is it ready, and what do the metrics say.
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Door } from '../admit.ts';
import type { Exchange, Route } from '../http.ts';
import type { Metrics } from '../metrics.ts';
import type { GatewaySession } from '../session.ts';
import type { Roster } from '../workers/roster.ts';

interface Options {
  door: Door;
  session: Pick<GatewaySession, 'up' | 'waiting' | 'gateways'>;
  degraded: () => boolean;
  roster: Roster;
  metrics: Metrics;
  version: string;
}

export function healthRoutes({ door, session, degraded, roster, metrics, version }: Options): Route[] {
  const ready = () => {
    if (door.leaving) return 'draining';
    if (!session.up) return 'the ledger does not answer';
    return roster.workers().some(({ state }) => state === 'ready') ? 'ok' : 'no worker is ready';
  };
  const health = ({ reply }: Exchange) => {
    const status = ready();
    const body = {
      status,
      version,
      degraded: degraded(),
      gateways: session.gateways,
      waiting: session.waiting,
      workers: [
        ...roster.workers().map(({ worker, state, slots, device }) => ({ worker, state, slots, device })),
        ...roster.faulty().map((worker) => ({ worker, state: 'not understood', slots: 0, device: '' })),
      ],
    };
    reply.json(status === 'ok' ? 200 : 503, JSON.stringify(body));
  };
  /** A pool whose worker is being restarted takes requests all the same: they wait for it. */
  const readyz = (exchange: Exchange) => {
    if (door.leaving || !session.up || !roster.serves()) return health(exchange);
    exchange.reply.json(200, JSON.stringify({ status: 'ok' }));
  };
  const open = { method: 'GET', scope: 'public', dialect: openai } as const;
  return [
    { ...open, path: '/health', handle: health },
    { ...open, path: '/readyz', handle: readyz },
    { ...open, path: '/livez', handle: ({ reply }) => reply.json(200, '{"status":"ok"}') },
    {
      ...open,
      path: '/metrics',
      scope: 'metrics',
      handle: async ({ request, reply }) => {
        const { text, contentType } = await metrics.scrape(request.headers.accept);
        reply.json(200, text, { 'content-type': contentType });
      },
    },
  ];
}
