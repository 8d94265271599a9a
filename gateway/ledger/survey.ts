// What the ledger in memory tells of itself: who waits, who holds, what was counted. Twin of shared/ledger/lua/survey.lua.
import type { PriorityClass, Survey } from '@berth/shared/ledger/ledger.ts';
import { sorted } from '@berth/shared/ledger/order.ts';
import { countsOf } from '@berth/shared/ledger/scripts.ts';
import { commandsOf, type LedgerRecord, type Pool } from './pool.ts';

export function surveyOf(pool: Pool): Survey {
  const redis = commandsOf(pool);
  const tally = (ids: readonly string[], field: (r: LedgerRecord) => string) =>
    [...Map.groupBy(ids, (id) => field(pool.records.get(id) as LedgerRecord))].map(
      ([name, { length }]) => [name, length] as const,
    );
  const oldest = new Map<string, number>();
  const lineOf = (r: LedgerRecord): string => {
    const line = r.class + r.model;
    oldest.set(line, Math.min(oldest.get(line) ?? r.age, r.age));
    return line;
  };
  const workers = [...pool.workers].map(([worker, { capacity }]) => ({
    worker,
    capacity,
    ids: redis.all(`l:${worker}`),
  }));
  return sorted({
    waiting: tally(redis.all('t'), lineOf).map(([line, tickets]) => {
      const age = oldest.get(line) ?? 0;
      return { model: line.slice(1), priority: Number(line[0]) as PriorityClass, tickets, age };
    }),
    workers: workers.map(({ worker, capacity, ids }) => ({ worker, held: ids.length, capacity })),
    leases: workers.flatMap(({ worker, ids }) =>
      tally(ids, ({ model }) => model).map(([model, held]) => ({ worker, model, held })),
    ),
    counts: countsOf((name) => pool.counts.get(name)),
  });
}
