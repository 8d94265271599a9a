// The ledger in Redis: any number of gateways share it, and each operation is one script and one round trip.
import { whyNoPool } from '../redis-checks.ts';
import { RedisReplyError, RedisUnavailable, RedisUnfit } from '../redis-errors.ts';
import type { Redis } from '../redis.ts';
import { LedgerUnavailable, type HandOff, type Ledger } from './ledger.ts';
import { boundBeat, boundClaim, boundLeave, boundSession, boundTake } from './limits.ts';
import { runScript, type Script } from './script.ts';
import { beatScript, claimScript, leaveScript, sessionScript, surveyScript, takeScript } from './scripts.ts';
import { sorted } from './order.ts';

export interface RedisLedgerOptions {
  redis: Redis;
  /** Name of the pool: letters, digits, `.`, `_`, `-`. Its keys begin with `b:{pool}:`, its channels with `b:{pool}:c:`. */
  pool: string;
  /** Milliseconds; a test brings a virtual clock. Redis's own unless given. */
  now?: () => number;
}

/** How long the trace of a start that is broken off stays. */
const probeMs = 1_000;

/**
 * Opens the pool, which makes it when it is new. The connection stays its owner's.
 * @throws RedisUnfit when the server refuses a pool's commands, or the pool was written by a program with another schema
 * @throws LedgerUnavailable
 */
export async function createRedisLedger({ redis, pool, now }: RedisLedgerOptions): Promise<Ledger> {
  if (!/^[\w.-]{1,64}$/.test(pool)) throw new RangeError(`a pool's name is 1-64 letters, digits, '.', '_' or '-'`);
  const prefix = `b:{${pool}}:`;
  const ears = new Set<AsyncDisposable>();

  async function run<Input, Output>(script: Script<Input, Output>, input: Input): Promise<Output> {
    try {
      return await runScript(redis, script, input, { prefix, now: now?.() ?? '' });
    } catch (error) {
      throw translate(error, script.name);
    }
  }

  async function survey() {
    return sorted(await run(surveyScript, undefined));
  }
  await tryOut(redis, prefix);
  await survey();

  return {
    take: async (input) => run(takeScript, boundTake(input)),
    leave: async (input) => run(leaveScript, boundLeave(input)),
    session: async (input) => run(sessionScript, boundSession(input)),
    beat: async (input) => run(beatScript, boundBeat(input)),
    claim: async (input) => run(claimScript, boundClaim(input)),
    survey,
    async listen(gateway, onGrant) {
      const ear = await redis
        .subscribe(`${prefix}c:${gateway}`, (message) => {
          const handOff = decodeHandOff(message);
          if (handOff !== null) onGrant(handOff);
        })
        .catch((error: unknown) => {
          throw translate(error, 'listen');
        });
      ears.add(ear);
      return {
        async [Symbol.asyncDispose]() {
          ears.delete(ear);
          await ear[Symbol.asyncDispose]();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...ears].map((ear) => ear[Symbol.asyncDispose]()));
      ears.clear();
    },
  };
}

/** A write and a message: what would be refused at the first request shall be said at the start. */
async function tryOut(redis: Redis, prefix: string): Promise<void> {
  try {
    await redis.command('SET', `${prefix}probe`, '', 'PX', probeMs);
    await redis.command('DEL', `${prefix}probe`);
    await redis.command('PUBLISH', `${prefix}c:probe`, '');
  } catch (error) {
    if (!(error instanceof RedisReplyError)) throw translate(error, 'open');
    throw new RedisUnfit(`the server of REDIS_URL ${whyNoPool(error.message, prefix)}`);
  }
}

/** The grant in a message of hand-off's; `null` when somebody else wrote to the channel. */
function decodeHandOff(message: string): HandOff | null {
  try {
    const parsed: unknown = JSON.parse(message);
    const [id, worker, epoch, micros]: unknown[] = Array.isArray(parsed) ? parsed : [];
    const atMs = Number(micros) / 1_000;
    const named = typeof id === 'string' && typeof worker === 'string' && typeof epoch === 'string';
    return named && Number.isFinite(atMs) ? { id, worker, epoch, atMs } : null;
  } catch {
    return null;
  }
}

/** What the caller can act on: the ledger is away, or it is not ours. Anything else is a fault of this program. */
function translate(error: unknown, operation: string): unknown {
  if (error instanceof RedisUnavailable)
    return new LedgerUnavailable(`${operation}: ${error.message}`, { cause: error });
  if (!(error instanceof RedisReplyError)) return error;
  if (error.message.includes('BERTHSCHEMA'))
    return new RedisUnfit(`${error.message}: use another POOL, or gateways and workers of one version`);
  return new LedgerUnavailable(`${operation}: ${error.message}`, { cause: error });
}
