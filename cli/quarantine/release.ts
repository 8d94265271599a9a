// `berth quarantine release`: lets a request or a key be tried again at once.
import { call } from '../api.ts';
import type { Command } from '../command.ts';

export const releaseQuarantine: Command = {
  name: 'quarantine release',
  about: 'lets a request or a key be tried again at once',
  help: `The id is the one in "berth quarantine list".`,
  options: {},
  words: ['ID'],
  async run({ words: [id = ''] }, world) {
    await call(world, 'DELETE', `/admin/quarantine/${encodeURIComponent(id)}`);
    world.explain(`${id} is released.`);
  },
};
