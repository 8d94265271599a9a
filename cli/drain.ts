// `berth drain` and `undrain`: a worker takes nothing new while somebody works on its machine.
import { call } from './api.ts';
import { Failed } from './command.ts';
import type { Command, World } from './command.ts';
import type { Queue } from './queue.ts';

export const drainWorker: Command = {
  name: 'drain',
  about: 'lets a worker finish what it runs and gives it nothing new; it stays so until "undrain"',
  help: `  --wait    until it runs nothing more

Models that only it had loaded are loaded elsewhere when somebody asks for them. It holds over restarts of the worker.`,
  options: { wait: { type: 'boolean' } },
  words: ['WORKER'],
  async run({ words: [worker = ''], options }, world) {
    await call(world, 'POST', '/admin/drain', { worker });
    if (options['wait'] === true) await untilIdle(worker, world);
    world.say(`${worker} takes nothing new${options['wait'] === true ? ', and runs nothing' : ''}.`);
  },
};

export const undrainWorker: Command = {
  name: 'undrain',
  about: 'gives a drained worker requests again',
  help: '',
  options: {},
  words: ['WORKER'],
  async run({ words: [worker] }, world) {
    await call(world, 'POST', '/admin/undrain', { worker });
    world.say(`${worker} takes requests again.`);
  },
};

const lookMs = 500;

/** A worker's lane for embeddings, after a `+`, is the same process. */
async function untilIdle(worker: string, world: World): Promise<void> {
  for (;;) {
    const { workers } = (await call(world, 'GET', '/api/queue')) as Queue;
    const lanes = workers.filter((it) => it.worker.split('+', 1)[0] === worker);
    if (lanes.length === 0) throw new Failed(`${worker} has left`);
    const held = lanes.reduce((sum, lane) => sum + lane.held, 0);
    world.draw(held === 0 ? '' : `${worker} still runs ${held}`);
    if (held === 0) return;
    await world.pause(lookMs);
  }
}
