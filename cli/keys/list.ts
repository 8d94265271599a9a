// `berth keys list`: every key and what it may do, without secrets.
import { call } from '../api.ts';
import type { Command } from '../command.ts';
import { table } from '../table.ts';

interface Listed {
  id: string;
  name: string;
  team: string;
  scopes: string[];
  models: string[] | null;
  expires: string | null;
  revoked: string | null;
}

export const listKeys: Command = {
  name: 'keys list',
  about: 'lists the keys: whose they are and what they may do',
  help: `  --all     also those that were revoked
  --json    everything that is known of them, as JSON`,
  options: { all: { type: 'boolean' }, json: { type: 'boolean' } },
  words: [],
  async run({ options }, world) {
    const { keys } = (await call(world, 'GET', '/admin/keys')) as { keys: Listed[] };
    const shown = keys.filter(({ revoked }) => options['all'] === true || revoked === null);
    if (options['json'] === true) return world.say(JSON.stringify(shown, null, 2));
    if (shown.length === 0) world.explain('There are no keys yet: berth keys create --help');
    else world.say(table([['ID', 'TEAM', 'NAME', 'SCOPES', 'MODELS', 'UNTIL'], ...shown.map(row)]));
  },
};

function row({ id, team, name, scopes, models, expires, revoked }: Listed): string[] {
  const until = revoked === null ? (expires ?? 'for ever') : `revoked ${revoked}`;
  return [id, team, name, scopes.join(' '), models?.join(' ') ?? 'all', until];
}
