// One operation of the ledger as Lua: what goes in, what comes back, and how it is run.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { RedisReplyError } from '../redis-errors.ts';
import type { Redis } from '../redis.ts';

export interface Script<Input, Output> {
  readonly name: string;
  readonly lua: string;
  readonly sha1: string;
  /** ARGV after the first, which is the clock. */
  readonly encode: (input: Input) => (string | number)[];
  /** @throws TypeError when the reply is none of this script's */
  readonly decode: (reply: unknown, input: Input) => Output;
}

const source = (name: string): string => readFileSync(new URL(`lua/${name}.lua`, import.meta.url), 'utf8');
const prelude = source('prelude');

/** The script `lua/<name>.lua`, with the prelude before it. */
export function defineScript<Input, Output>(
  name: string,
  encode: Script<Input, Output>['encode'],
  decode: Script<Input, Output>['decode'],
): Script<Input, Output> {
  const lua = `${prelude}\n${source(name)}`;
  return { name, lua, sha1: createHash('sha1').update(lua).digest('hex'), encode, decode };
}

/**
 * Runs the script by its hash; a server that does not know it, new or restarted, gets the whole text.
 * @param prefix of every key that it touches
 * @param now in ms, or '' for the server's own clock
 */
export async function runScript<Input, Output>(
  redis: Redis,
  script: Script<Input, Output>,
  input: Input,
  { prefix, now }: { prefix: string; now: number | '' },
): Promise<Output> {
  const rest = [1, prefix, now, ...script.encode(input)];
  const reply = await redis.command('EVALSHA', script.sha1, ...rest).catch((error: unknown) => {
    if (error instanceof RedisReplyError && error.code === 'NOSCRIPT')
      return redis.command('EVAL', script.lua, ...rest);
    throw error;
  });
  return script.decode(reply, input);
}
