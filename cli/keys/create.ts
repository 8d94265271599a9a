// `berth keys create`: a new key, whose secret is shown once.
import { systemClock } from '@berth/shared/clock.ts';
import { call } from '../api.ts';
import { Misused } from '../command.ts';
import type { Command, Given } from '../command.ts';

const text = { type: 'string' } as const;
const several = { type: 'string', multiple: true } as const;

/** Options that are numbers, and the fields that they become. */
const limits = {
  weight: 'weight',
  concurrent: 'concurrentMax',
  waiting: 'waitingMax',
  'tokens-per-minute': 'tokensPerMinute',
  'tokens-per-month': 'tokensPerMonth',
  context: 'contextMax',
  output: 'outputMax',
} as const;
const priorities = ['high', 'normal', 'low'];

export const createKey: Command = {
  name: 'keys create',
  about: 'makes a key and prints its secret, which nobody can show again',
  help: `  --name TEXT              what it is for
  --team TEAM              whose it is: shares and usage go by team (default)
  --scope SCOPE            infer, models:read, models:write, metrics or admin; may be repeated (infer, models:read)
  --model NAME             may use only these; may be repeated
  --expires TIME           2030-12-31T00:00:00Z, or in so many days: 90d
  --priority CLASS         the most urgent class that it may ask for: high, normal, low
  --weight N               share of the team beside the others, 0.01 to 100
  --concurrent N           requests at a time
  --waiting N              requests that wait for a slot of one model
  --tokens-per-minute N    prompt and output together
  --tokens-per-month N     prompt and output together, in a calendar month (UTC)
  --context N              most tokens of prompt and answer together
  --output N               most output tokens; a request must then ask for at most as many
  --end-user-header NAME   header in which this key's client names its users, who then share fairly
  --json                   print the whole key as JSON

What is left out is as the key that makes it has it. A key never gets more than that one has.

  KEY=$(berth keys create --team research --model llama3.1:8b --tokens-per-minute 20000)`,
  options: {
    name: text,
    team: text,
    scope: several,
    model: several,
    expires: text,
    priority: text,
    'end-user-header': text,
    json: { type: 'boolean' },
    ...Object.fromEntries(Object.keys(limits).map((name) => [name, text])),
  },
  words: [],
  async run({ options }, world) {
    const made = (await call(world, 'POST', '/admin/keys', wishOf(options))) as Record<string, unknown>;
    if (options['json'] === true) return world.say(JSON.stringify(made, null, 2));
    world.explain(`The key ${String(made['id'])} of the team ${String(made['team'])}. Keep it: it is not shown again.`);
    world.say(String(made['secret']));
  },
};

function wishOf(options: Given['options']): Record<string, unknown> {
  const numbers = Object.entries(limits).flatMap(([option, field]) => {
    const value = options[option];
    return value === undefined ? [] : [[field, numberOf(option, String(value))] as const];
  });
  const { name, team, scope, model, expires, priority } = options;
  return {
    ...(name !== undefined && { name }),
    ...(team !== undefined && { team }),
    ...(scope !== undefined && { scopes: scope }),
    ...(model !== undefined && { models: model }),
    ...(expires !== undefined && { expires: timeOf(String(expires)) }),
    ...(priority !== undefined && { priorityMax: classOf(String(priority)) }),
    ...(options['end-user-header'] !== undefined && { endUserHeader: options['end-user-header'] }),
    ...Object.fromEntries(numbers),
  };
}

function numberOf(option: string, value: string): number {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value);
  throw new Misused(`--${option} must be a number, not "${value}"`);
}

function classOf(value: string): number {
  const found = priorities.indexOf(value);
  if (found === -1) throw new Misused(`--priority must be one of ${priorities.join(', ')}`);
  return found;
}

const dayMs = 86_400_000;

function timeOf(value: string): string {
  const [, days] = /^(\d{1,5})d$/.exec(value) ?? [];
  const ms = days === undefined ? Date.parse(value) : systemClock.now() + Number(days) * dayMs;
  if (!Number.isFinite(ms)) throw new Misused('--expires must be a time such as 2030-12-31T00:00:00Z, or days: 90d');
  return new Date(ms).toISOString();
}
