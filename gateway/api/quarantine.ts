// What is refused because it kills engines: to look at, and to let go, for administrators.
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Exchange, Route } from '../http.ts';
import type { Mark, Poison } from '../poison.ts';

export function quarantineRoutes({ poison, log }: { poison: Poison; log: Log }): Route[] {
  const admin = { scope: 'admin', dialect: openai } as const;
  const list = ({ reply }: Exchange) =>
    reply.json(200, JSON.stringify({ quarantine: poison.list().map(([name, mark]) => shown(name, mark)) }), noStore);
  const release = async ({ reply, rest, owner }: Exchange) => {
    if (!(await poison.release(rest))) throw new Refusal('key_not_found', 'nothing of this name is in quarantine');
    log.warn('something was released from quarantine', { id: rest, by: owner.id });
    reply.json(200, JSON.stringify({ released: rest }), noStore);
  };
  return [
    { ...admin, method: 'GET', path: '/admin/quarantine', handle: list },
    { ...admin, method: 'DELETE', path: '/admin/quarantine/*', handle: release },
  ];
}

const noStore = { 'cache-control': 'no-store' };

function shown(id: string, { state, team, key, model, deathsMs, untilMs }: Mark) {
  const what = state === 'key' ? { what: 'key', deaths: deathsMs.length } : { what: 'request', model };
  return { id, ...what, team, key, until: new Date(untilMs).toISOString() };
}
