// `berth status`: who is in the pool, what each does and has loaded, and who waits.
import { call, callHealth } from './api.ts';
import type { Health } from './api.ts';
import { Failed } from './command.ts';
import type { Command, World } from './command.ts';
import { showLive } from './live.ts';
import type { Queue } from './queue.ts';
import { bar, table } from './table.ts';

export const showStatus: Command = {
  name: 'status',
  about: 'shows workers, slots, loaded models and the queue: live in a terminal, JSON in a pipe',
  help: `  --once    one look, then it ends
  --json    for a program

Exit code 1 when no gateway answers, or when the pool takes no requests.`,
  options: { once: { type: 'boolean' }, json: { type: 'boolean' } },
  words: [],
  async run({ options }, world) {
    if (options['json'] === true || !world.terminal) {
      const pool = await look(world);
      world.say(JSON.stringify(pool, null, 2));
      return judge(pool);
    }
    let last: Pool | undefined;
    await showLive(world, options['once'] === true, async () => shown((last = await look(world))));
    if (last) judge(last);
  },
};

interface Loaded {
  name: string;
  size: number;
  size_vram: number;
  expires_at: string;
}

interface Pool {
  health: Health;
  queue: Queue;
  models: Loaded[];
}

async function look(world: World): Promise<Pool> {
  const [health, queue, { models }] = await Promise.all([
    callHealth(world),
    call(world, 'GET', '/api/queue') as Promise<Queue>,
    call(world, 'GET', '/api/ps') as Promise<{ models: Loaded[] }>,
  ]);
  return { health, queue, models };
}

/** @throws Failed */
function judge({ health: { status } }: Pool): void {
  if (status !== 'ok')
    throw new Failed(`The pool takes no requests: ${status}. berth doctor checks what may be wrong.`);
}

function shown({ health, queue, models }: Pool): string {
  const devices = new Map(health.workers.map(({ worker, device }) => [worker, device]));
  const workers = queue.workers.map(({ worker, state, held, capacity }) => [
    worker,
    state,
    slotsBar(held, capacity),
    `${held}/${capacity}`,
    devices.get(worker) ?? '',
  ]);
  const loaded = models.map(({ name, size, size_vram: vram, expires_at: until }) => [
    name,
    gibibytes(vram || size),
    until.slice(0, 19).replace('T', ' '),
  ]);
  const head = `Berth ${health.version}: ${health.status}${health.degraded ? ', without Redis' : ''}; ${counted(health.gateways, 'gateway')}, ${counted(workers.length, 'worker')}, ${queue.waiting} waiting`;
  return [
    head,
    workers.length === 0 ? 'No worker has joined.' : table([['WORKER', 'STATE', 'SLOTS', '', 'DEVICE'], ...workers]),
    loaded.length === 0 ? 'No model is loaded.' : table([['LOADED', 'SIZE', 'UNTIL (UTC)'], ...loaded]),
    ...(queue.models.length === 0
      ? []
      : [table([['WAITING FOR', 'REQUESTS'], ...queue.models.map(({ model, tickets }) => [model, String(tickets)])])]),
  ].join('\n\n');
}

const barMax = 16;

/** One cell per slot, or a share of them when there are many. */
function slotsBar(held: number, capacity: number): string {
  const cells = Math.min(barMax, capacity);
  return bar(capacity === 0 ? 0 : (held / capacity) * cells, cells);
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function gibibytes(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
