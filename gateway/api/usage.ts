// What each key and team has used, as JSON and as CSV for a spreadsheet.
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Exchange, Route } from '../http.ts';
import type { Row, Usage } from '../policy/usage.ts';

const columns = [
  'month',
  'team',
  'key',
  'requests',
  'promptTokens',
  'cachedTokens',
  'outputTokens',
  'slotSeconds',
  'lastUsed',
] as const;

export function usageRoutes({ usage }: { usage: Usage }): Route[] {
  const json = ({ reply }: Exchange) => reply.json(200, JSON.stringify({ usage: usage.rows().map(shown) }));
  const csv = ({ reply }: Exchange) => {
    // Names of teams and keys are letters, digits and a few marks: none needs a quote, none is a formula.
    const lines = usage.rows().map((row) => columns.map((column) => shown(row)[column]).join(','));
    const headers = { 'content-type': 'text/csv; charset=utf-8', 'cache-control': 'no-store' };
    reply.json(200, `${[columns.join(','), ...lines].join('\n')}\n`, headers);
  };
  const admin = { method: 'GET', scope: 'admin', dialect: openai } as const;
  return [
    { ...admin, path: '/admin/usage', handle: json },
    { ...admin, path: '/admin/usage.csv', handle: csv },
  ];
}

function shown({ lastUsedMs, slotSeconds, ...row }: Row) {
  return {
    ...row,
    slotSeconds: Math.round(slotSeconds * 1_000) / 1_000,
    lastUsed: new Date(lastUsedMs).toISOString(),
  };
}
