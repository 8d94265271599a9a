// Why a request went where it went, for administrators.
import { openai } from '@berth/shared/dialects/openai.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Explain } from '../explain.ts';
import type { Route } from '../http.ts';

export function explainRoutes({ explain }: { explain: Pick<Explain, 'of'> }): Route[] {
  return [
    {
      method: 'GET',
      path: '/admin/explain/*',
      scope: 'admin',
      dialect: openai,
      async handle({ reply, rest }) {
        const found = await explain.of(rest);
        if (found) return reply.json(200, JSON.stringify(found), { 'cache-control': 'no-store' });
        const message = 'no gateway of the pool knows this request: each keeps its last 1000, under their x-request-id';
        throw new Refusal('key_not_found', message);
      },
    },
  ];
}
