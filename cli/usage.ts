// `berth usage`: what each key and team has used.
import type { UsageRow } from '@berth/shared/usage.ts';
import { call, callText } from './api.ts';
import type { Command } from './command.ts';
import { table } from './table.ts';

export const showUsage: Command = {
  name: 'usage',
  about: 'shows what each key and team has used in each month, over all gateways',
  help: `  --csv     for a spreadsheet
  --json    for a program`,
  options: { csv: { type: 'boolean' }, json: { type: 'boolean' } },
  words: [],
  async run({ options }, world) {
    if (options['csv'] === true) return world.say((await callText(world, 'GET', '/admin/usage.csv')).trimEnd());
    const { usage } = (await call(world, 'GET', '/admin/usage')) as { usage: UsageRow[] };
    if (options['json'] === true) return world.say(JSON.stringify(usage, null, 2));
    if (usage.length === 0) world.explain('Nothing was used yet.');
    else
      world.say(
        table([['MONTH', 'TEAM', 'KEY', 'REQUESTS', 'PROMPT', 'CACHED', 'OUTPUT', 'SLOT S'], ...usage.map(cells)]),
      );
  },
};

function cells({ month, team, key, ...row }: UsageRow): string[] {
  const { requests, promptTokens, cachedTokens, outputTokens, slotSeconds } = row;
  const numbers = [requests, promptTokens, cachedTokens, outputTokens, Math.round(slotSeconds)];
  return [month, team, key, ...numbers.map(String)];
}
