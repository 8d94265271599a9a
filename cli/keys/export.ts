// `berth keys export`: all keys as JSON, with digests in place of secrets.
import { call } from '../api.ts';
import type { Command } from '../command.ts';

export const exportKeys: Command = {
  name: 'keys export',
  about: 'prints all keys as JSON, with digests in place of their secrets',
  help: `The file brings the keys back with "berth keys import", here or in another pool, and their secrets go on working.

  berth keys export > keys.json`,
  options: {},
  words: [],
  async run(_given, world) {
    world.say(JSON.stringify(await call(world, 'GET', '/admin/export'), null, 2));
  },
};
