// The session of an administrator's browser: opened with a key, looked at, and left.
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Exchange, Route } from '../http.ts';
import type { Sessions } from '../policy/sessions.ts';
import { schemeOf } from '../wire.ts';

export function sessionRoutes({ sessions }: { sessions: Sessions }): Route[] {
  const admin = { path: '/admin/session', scope: 'admin', dialect: openai } as const;
  const open = ({ request, reply, owner }: Exchange) => {
    const { cookie, untilMs } = sessions.open(owner, schemeOf(request) === 'https:');
    reply.json(201, shown(untilMs), { ...noStore, 'set-cookie': cookie });
  };
  const look = ({ request, reply }: Exchange) => {
    const untilMs = sessions.untilMs(request.headers);
    reply.json(200, shown(untilMs), noStore);
  };
  const leave = async ({ request, reply }: Exchange) => {
    reply.json(200, shown(null), { ...noStore, 'set-cookie': await sessions.close(request.headers) });
  };
  return [
    { ...admin, method: 'POST', handle: open },
    { ...admin, method: 'GET', handle: look },
    { ...admin, method: 'DELETE', handle: leave },
  ];
}

const noStore = { 'cache-control': 'no-store' };

function shown(untilMs: number | null): string {
  return JSON.stringify({ until: untilMs === null ? null : new Date(untilMs).toISOString() });
}
