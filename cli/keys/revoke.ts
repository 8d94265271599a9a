// `berth keys revoke`: from now on nobody comes in with it.
import { call } from '../api.ts';
import type { Command } from '../command.ts';

export const revokeKey: Command = {
  name: 'keys revoke',
  about: 'ends a key for good, within a second or two on every gateway',
  help: `The id is the one in "berth keys list", and stands in the key itself: berth_ID.SECRET`,
  options: {},
  words: ['ID'],
  async run({ words: [id = ''] }, world) {
    await call(world, 'DELETE', `/admin/keys/${encodeURIComponent(id)}`);
    world.explain(`The key ${id} is revoked. What runs already ends as it would have.`);
  },
};
