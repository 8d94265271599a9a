// `berth models pin`, `unpin` and `move`: where a model stays, whatever else is asked for.
import { call } from '../api.ts';
import type { Command } from '../command.ts';

const worker = { type: 'string' } as const;

export const pinModel: Command = {
  name: 'models pin',
  about: 'keeps a model loaded on a worker, also when nobody uses it and others need room',
  help: `  --worker WORKER    there; left out, where it is loaded or there is room

It is loaded if it is not, and again after a restart of its worker, until it is unpinned.`,
  options: { worker },
  words: ['MODEL'],
  async run({ words: [model], options }, world) {
    const pinned = (await call(world, 'POST', '/admin/pin', { model, ...options })) as {
      model: string;
      worker: string;
    };
    world.say(`${pinned.model} is pinned on ${pinned.worker}.`);
  },
};

export const unpinModel: Command = {
  name: 'models unpin',
  about: 'lets a pinned model go when it is idle for KEEP_ALIVE, as others do',
  help: '  --worker WORKER    only there; left out, everywhere',
  options: { worker },
  words: ['MODEL'],
  async run({ words: [model], options }, world) {
    const { workers } = (await call(world, 'POST', '/admin/unpin', { model, ...options })) as { workers: string[] };
    world.say(workers.length === 0 ? `${model} was not pinned.` : `${model} is unpinned on ${workers.join(', ')}.`);
  },
};

export const moveModel: Command = {
  name: 'models move',
  about: 'loads a model on a worker, and lets it go on the others when their last answers have ended',
  help: 'No request waits for it: it is served where it was until it is loaded where it goes. Its pins go with it.',
  options: {},
  words: ['MODEL', 'WORKER'],
  async run({ words: [model, to] }, world) {
    await call(world, 'POST', '/admin/move', { model, worker: to });
    world.say(`${model} moves to ${to}.`);
  },
};
