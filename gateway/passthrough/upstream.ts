// `/upstream/WORKER/…`: pages and native routes of the server behind a worker, through the worker, for administrators.
import { nobody, signCall } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { methods } from '../http.ts';
import type { Exchange, Route, Upgrade } from '../http.ts';
import type { Roster } from '../workers/roster.ts';
import { createProxy } from './proxy.ts';
import { createEntrance } from './routes.ts';
import type { Entrance, Passing } from './routes.ts';

interface Options extends Passing {
  roster: Pick<Roster, 'worker' | 'workers'>;
  /** Signs the calls. */
  secret: string;
  clock: Clock;
}

const base = '/upstream/';

/**
 * The worker speaks for its server, which often nobody else can reach: the gateway signs, as for any other call. What only
 * reads passes freely; whatever may compute, a write or a WebSocket, takes a slot of the worker, for its server has no
 * more of them.
 */
export function upstreamRoutes(options: Options): Route[] {
  const { roster, secret, clock } = options;

  const entranceOf = ({ rest }: Exchange): [Entrance, string] => {
    const [name = ''] = rest.split('/', 1);
    const worker = roster.worker(name);
    if (worker === undefined) {
      const names = roster.workers().map((each) => each.worker);
      throw new Refusal('route_not_found', `there is no worker ${name} here, only ${names.join(', ') || 'nobody'}`);
    }
    const path = `${base}${name}`;
    const target = new URL(base, worker.url);
    const prove = (method: string, to: string) => signCall(secret, method, to, nobody, clock.now());
    const proxy = createProxy({ path, target, scope: 'admin', readOnly: false, inference: name }, clock, prove);
    return [createEntrance(path, proxy, options), name];
  };
  const common = { path: `${base}*`, scope: 'admin', dialect: openai } as const;
  return methods.map((method): Route => {
    const reads = method === 'GET' || method === 'HEAD';
    const handle = (exchange: Exchange) => {
      const [entrance, name] = entranceOf(exchange);
      return entrance.handle(exchange, reads ? null : name);
    };
    const upgrade = (exchange: Upgrade) => {
      const [entrance, name] = entranceOf(exchange);
      return entrance.upgrade(exchange, name);
    };
    return { ...common, method, handle, ...(method === 'GET' && { upgrade }) };
  });
}
