// `berth quarantine list`: requests and keys that end engines again and again.
import { call } from '../api.ts';
import type { Command } from '../command.ts';
import { table } from '../table.ts';

interface Listed {
  id: string;
  what: 'request' | 'key';
  team: string;
  key: string;
  model?: string;
  until: string;
}

export const listQuarantine: Command = {
  name: 'quarantine list',
  about: 'lists what is refused because it ends the processes of models',
  help: `  --json    as JSON

A request is named by a fingerprint: nothing of its text is kept.`,
  options: { json: { type: 'boolean' } },
  words: [],
  async run({ options }, world) {
    const { quarantine } = (await call(world, 'GET', '/admin/quarantine')) as { quarantine: Listed[] };
    if (options['json'] === true) return world.say(JSON.stringify(quarantine, null, 2));
    if (quarantine.length === 0) world.explain('Nothing is in quarantine.');
    else world.say(table([['ID', 'WHAT', 'TEAM', 'KEY', 'MODEL', 'UNTIL'], ...quarantine.map(row)]));
  },
};

function row({ id, what, team, key, model = '-', until }: Listed): string[] {
  return [id, what, team, key, model, until];
}
