// A ledger opened for a test, in memory or in Redis, with a clock, ears and eyes of the test's own.
import { randomUUID } from 'node:crypto';
import type { Clock } from '@berth/shared/clock.ts';
import type { HandOff, Ledger } from '@berth/shared/ledger/ledger.ts';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import { connectRedis, type Redis } from '@berth/shared/redis.ts';
import { createMemoryLedger } from '../../gateway/ledger/memory.ts';
import { emptyPool, type Pool } from '../../gateway/ledger/pool.ts';
import { dumpPool, dumpRedis, type Dump } from './dump.ts';

export interface Opened extends AsyncDisposable {
  ledger: Ledger;
  /** Moves the ledger's clock; it may go back. */
  advance(ms: number): void;
  /** Every grant pushed so far, to any gateway that listened, in order. Waits for those on their way. */
  pushed(): Promise<{ gateway: string; grant: HandOff }[]>;
  /** Begins to listen for a gateway, or stops. */
  hear(gateway: string, listening: boolean): Promise<void>;
  /** Loses everything, as FLUSHALL does. */
  flush(): Promise<void>;
  dump(): Promise<Dump>;
}

export type Open = () => Promise<Opened>;

/** Some day in 2023; whole seconds, so that a time is easy to read. */
const startMs = 1_700_000_000_000;

export async function openMemory(): Promise<Opened> {
  const pool = emptyPool();
  const time = { ms: startMs };
  const clock: Clock = {
    now: () => time.ms,
    monotonic: () => time.ms,
    after: () => {
      throw new Error('the ledger sets no timers');
    },
  };
  const ledger = createMemoryLedger({ clock, pool });
  await ledger.survey(); // begins the era, as opening does in Redis
  return {
    ...ears(ledger, async () => {}),
    ledger,
    advance: (ms) => void (time.ms += ms),
    flush: async () => empty(pool),
    dump: async () => dumpPool(pool),
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
}

function empty(pool: Pool): void {
  for (const part of Object.values(pool)) if (part instanceof Map) part.clear();
  const { era, birth, kept, version } = emptyPool();
  Object.assign(pool, { era, birth, kept, version });
}

export async function openRedis(url: string, own?: { pool: string }): Promise<Opened> {
  const redis = await connectRedis({ url, commandMs: 5_000 });
  const pool = own?.pool ?? `test-${randomUUID()}`;
  const prefix = `b:{${pool}}:`;
  const time = { ms: startMs };
  const ledger = await createRedisLedger({ redis, pool, now: () => time.ms });
  const barrier = await createBarrier(redis, `${prefix}barrier`);
  return {
    ...ears(ledger, barrier),
    ledger,
    advance: (ms) => void (time.ms += ms),
    flush: () => wipe(redis, prefix),
    dump: () => dumpRedis(redis, prefix),
    async [Symbol.asyncDispose]() {
      await ledger[Symbol.asyncDispose]();
      await wipe(redis, prefix);
      await redis[Symbol.asyncDispose]();
    },
  };
}

/** The ears of every gateway, and what they heard. */
function ears(ledger: Ledger, settled: () => Promise<void>): Pick<Opened, 'hear' | 'pushed'> {
  const heard: { gateway: string; grant: HandOff }[] = [];
  const listening = new Map<string, AsyncDisposable>();
  return {
    async hear(gateway, wanted) {
      const ear = listening.get(gateway);
      if (wanted && ear === undefined) {
        listening.set(gateway, await ledger.listen(gateway, (grant) => void heard.push({ gateway, grant })));
      } else if (!wanted && ear !== undefined) {
        listening.delete(gateway);
        await ear[Symbol.asyncDispose]();
      }
    },
    async pushed() {
      await settled();
      return [...heard];
    },
  };
}

/** A message behind all others on the same connection: once it is here, so are they. */
async function createBarrier(redis: Redis, channel: string): Promise<() => Promise<void>> {
  const waiting: (() => void)[] = [];
  await redis.subscribe(channel, () => waiting.shift()?.());
  return async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    await redis.command('PUBLISH', channel, 'here');
    await promise;
  };
}

/** Deletes the pool's keys and no others: the server may be somebody's. */
async function wipe(redis: Redis, prefix: string): Promise<void> {
  await redis.command(
    'EVAL',
    "for _, k in ipairs(redis.call('KEYS', KEYS[1] .. '*')) do redis.call('DEL', k) end",
    1,
    prefix,
  );
}
