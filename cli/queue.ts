// `berth queue`: who waits for which model, and for how long still.
import { call } from './api.ts';
import type { Command } from './command.ts';
import { showLive } from './live.ts';
import { table } from './table.ts';

export interface Queue {
  waiting: number;
  models: { model: string; tickets: number }[];
  priorities: Record<string, number>;
  workers: { worker: string; state: string; held: number; capacity: number }[];
  /** Of the gateway that was asked. */
  here: { model: string; place: number; waitP50S: number | null; waitP90S: number | null }[];
}

export const showQueue: Command = {
  name: 'queue',
  about: 'shows who waits for which model, with places and estimates: live in a terminal, JSON in a pipe',
  help: `  --once    one look, then it ends
  --json    for a program

Totals are of the whole pool; places are those of the gateway that was asked. A fair order has no fixed rank: a place may
grow when somebody comes who has used less.`,
  options: { once: { type: 'boolean' }, json: { type: 'boolean' } },
  words: [],
  async run({ options }, world) {
    const look = async () => (await call(world, 'GET', '/api/queue')) as Queue;
    if (options['json'] === true || !world.terminal) return world.say(JSON.stringify(await look(), null, 2));
    await showLive(world, options['once'] === true, async () => shown(await look()));
  },
};

/** Most places that are listed. */
const listedMax = 30;

function shown({ waiting, models, priorities, here }: Queue): string {
  if (waiting === 0) return 'Nobody waits.';
  const classes = Object.entries(priorities).map(([name, tickets]) => `${tickets} ${name}`);
  const totals = models.map(({ model, tickets }) => [model, String(tickets)]);
  const places = here
    .slice(0, listedMax)
    .map(({ place, model, waitP50S, waitP90S }) => [String(place), model, seconds(waitP50S), seconds(waitP90S)]);
  const more = here.length > listedMax ? [`and ${here.length - listedMax} more`] : [];
  return [
    `${waiting} waiting: ${classes.join(', ')}`,
    table([['MODEL', 'REQUESTS'], ...totals]),
    ...(places.length === 0 ? [] : [table([['PLACE', 'MODEL', 'HALF WITHIN', '9 OF 10 WITHIN'], ...places])]),
    ...more,
  ].join('\n\n');
}

function seconds(wait: number | null): string {
  return wait === null ? 'unknown' : `${wait} s`;
}
