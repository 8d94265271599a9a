// `berth keys rotate`: the same key with a new secret.
import { call } from '../api.ts';
import type { Command } from '../command.ts';

export const rotateKey: Command = {
  name: 'keys rotate',
  about: 'gives a key a new secret; the old one may go on working for a while',
  help: `  --overlap DURATION   how long the old secret is still taken, such as 1h, at most 720h (not at all)`,
  options: { overlap: { type: 'string' } },
  words: ['ID'],
  async run({ words: [id = ''], options: { overlap } }, world) {
    const body = overlap === undefined ? {} : { overlap };
    const key = (await call(world, 'POST', `/admin/keys/${encodeURIComponent(id)}/rotate`, body)) as { secret: string };
    world.explain(`The new secret of ${id}. Keep it: it is not shown again.`);
    world.say(key.secret);
  },
};
