// Who waits for what: the queue as a person wants to see it.
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Ledger, Survey } from '@berth/shared/ledger/ledger.ts';
import type { Estimate } from '../estimate.ts';
import type { Route } from '../http.ts';
import type { WaitingRoom } from '../waiting.ts';
import { priorities } from '../wishes.ts';
import type { Roster } from '../workers/roster.ts';

interface Options {
  ledger: Ledger;
  room: WaitingRoom;
  estimate: Estimate;
  roster: Roster;
}

/** Most tickets that are listed. */
const listedMax = 1_000;

export function queueRoutes({ ledger, room, estimate, roster }: Options): Route[] {
  return [
    {
      method: 'GET',
      path: '/api/queue',
      scope: 'metrics',
      dialect: openai,
      async handle({ reply }) {
        const { waiting, workers } = await ledger.survey();
        const here = room.all().flatMap(({ model, place }) => (place === null ? [] : [{ model, place }]));
        const body = {
          waiting: waiting.reduce((sum, { tickets }) => sum + tickets, 0),
          models: totals(waiting, ({ model }) => model).map(([model, tickets]) => ({ model, tickets })),
          priorities: Object.fromEntries(totals(waiting, ({ priority }) => priorities[priority])),
          workers: workers.map((it) => ({ ...it, state: roster.worker(it.worker)?.state ?? 'unknown' })),
          // Places are estimates: a fair order has no fixed rank, and they may grow.
          here: here
            .sort((a, b) => a.place - b.place)
            .slice(0, listedMax)
            .map((ticket) => ({ ...ticket, ...waitsOf(estimate, ticket.place) })),
        };
        reply.json(200, JSON.stringify(body));
      },
    },
  ];
}

/** Tickets by a name, in the order in which the names come. */
function totals(waiting: Survey['waiting'], name: (row: Survey['waiting'][number]) => string): [string, number][] {
  const sums = new Map<string, number>();
  for (const row of waiting) sums.set(name(row), (sums.get(name(row)) ?? 0) + row.tickets);
  return [...sums];
}

/** Half of all wait no longer than the one, nine of ten no longer than the other; `null` = unknown. */
function waitsOf(estimate: Estimate, place: number) {
  const wait = estimate.wait(place);
  const seconds = (ms: number) => Math.round(ms / 1_000);
  return {
    waitP50S: wait && seconds(wait.p50Ms),
    waitP90S: wait && seconds(wait.p90Ms),
  };
}
