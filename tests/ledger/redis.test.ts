// The ledger in Redis does what a ledger does, on every kind of server that it is meant for.
import { randomUUID } from 'node:crypto';
import { describe, expect, inject, test } from 'vitest';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import { connectRedis, type Redis } from '@berth/shared/redis.ts';
import { ownRedis } from '../tools/redis.ts';
import { describeLedger } from './contract.ts';
import { aBeat, aLeave, aSession, aTake, running } from './inputs.ts';
import { openRedis } from './opened.ts';

describeLedger('Redis', () => openRedis(inject('redisUrl')));

describe('the ledger in Redis', () => {
  const aPool = () => `test-${randomUUID()}`;

  /** A job that waits, is handed a slot and leaves: every script, and a push. */
  async function aJob(redis: Redis, pool: string): Promise<void> {
    await using ledger = await createRedisLedger({ redis, pool });
    const heard = Promise.withResolvers<string>();
    await using _ = await ledger.listen('g1', (grant) => heard.resolve(grant.id));
    const input = aTake();
    expect(await ledger.take(input)).toMatchObject({ kind: 'wait' });
    expect(await ledger.beat(aBeat({ boot: true }))).toMatchObject({ kind: 'ok' });
    expect(await heard.promise).toBe(input.id);
    expect(await ledger.session(aSession({ tickets: [input.id] }))).toMatchObject({ gateways: 1, waiting: 0 });
    expect(await ledger.survey()).toMatchObject({ workers: [{ worker: 'w1', held: 1 }] });
    expect(await ledger.leave(aLeave(input.id, { actual: 2 }))).toBe('held');
    await ledger.beat(aBeat({ last: true }));
  }

  test('uses its own clock: ages are times of the server', async () => {
    await using redis = await connectRedis({ url: inject('redisUrl') });
    await using ledger = await createRedisLedger({ redis, pool: aPool() });
    const input = aTake();
    const before = await serverMs(redis);
    const taken = await ledger.take(input);
    const age = 'age' in taken ? taken.age : NaN;
    expect(age).toBeGreaterThanOrEqual(before);
    expect(age).toBeLessThanOrEqual(await serverMs(redis));
    await ledger.leave(aLeave(input.id));
  });

  test('works on a cluster-enabled node', async ({ skip }) => {
    await using server = await ownRedis(skip, { args: ['--cluster-enabled', 'yes'] });
    await using redis = await connectRedis({ url: server.url });
    await redis.command('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
    await expect
      .poll(async () => String(await redis.command('CLUSTER', 'INFO')), { timeout: 10_000 })
      .toContain('cluster_state:ok');
    await aJob(redis, aPool());
  });

  test('needs no more rights than the pool: keys, channels and a handful of commands', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using admin = await connectRedis({ url: server.url });
    const rights = '+@read +@write +@pubsub +@scripting -@dangerous +ping +time'.split(' ');
    await admin.command('ACL', 'SETUSER', 'berth', 'on', '>secret', '~b:{mine}:*', '&b:{mine}:*', ...rights);
    await using redis = await connectRedis({ url: server.url.replace('//', '//berth:secret@') });
    await aJob(redis, 'mine');
    await expect(createRedisLedger({ redis, pool: 'other' })).rejects.toThrow(/NOPERM|access/i);
  });

  test('leaves the keys of others alone', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using redis = await connectRedis({ url: server.url });
    await redis.command('SET', 'foreign', 'kept');
    await aJob(redis, 'mine');
    const keys = await redis.command('KEYS', '*');
    expect(Array.isArray(keys) && keys.every((key) => key === 'foreign' || String(key).startsWith('b:{mine}:'))).toBe(
      true,
    );
    expect(await redis.get('foreign')).toBe('kept');
  });

  test('heals after FLUSHALL by the next beat and the next session', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using redis = await connectRedis({ url: server.url });
    await using ledger = await createRedisLedger({ redis, pool: 'mine' });
    const [lease, ticket] = [aTake(), aTake()];
    await ledger.beat(aBeat({ boot: true }));
    await ledger.take(lease);
    const { roster } = await ledger.session(aSession());
    const waits = await ledger.take(ticket);
    await redis.command('FLUSHALL');
    await ledger.beat(aBeat({ running: [running(lease.id)] }));
    const reply = await ledger.session(aSession({ tickets: [ticket.id], rosterVersion: roster.version }));
    expect(reply).toMatchObject({ roster: { whole: true, present: [{ worker: 'w1' }] } });
    expect(reply.tickets.get(ticket.id)).toEqual({ kind: 'gone' });
    const age = 'age' in waits ? waits.age : null;
    expect(await ledger.take({ ...ticket, age })).toEqual({ kind: 'wait', age, place: 1 });
  });

  test('refuses to mix with a pool of another schema, and says what to do', async () => {
    await using redis = await connectRedis({ url: inject('redisUrl') });
    const pool = aPool();
    await redis.command('HSET', `b:{${pool}}:m`, 'schema', '99');
    await expect(createRedisLedger({ redis, pool })).rejects.toThrow(/schema 99.*needs 1.*another POOL/);
    await redis.command('DEL', `b:{${pool}}:m`);
  });

  test('refuses a pool whose name would break the keys', async () => {
    await using redis = await connectRedis({ url: inject('redisUrl') });
    await expect(createRedisLedger({ redis, pool: 'a}b' })).rejects.toThrow(/1-64 letters/);
  });

  test('ignores messages on its channel that are no grants', async () => {
    await using redis = await connectRedis({ url: inject('redisUrl') });
    const pool = aPool();
    await using ledger = await createRedisLedger({ redis, pool });
    const heard: unknown[] = [];
    await using _ = await ledger.listen('g1', (grant) => void heard.push(grant));
    const channel = `b:{${pool}}:c:g1`;
    for (const message of ['', 'nonsense', '{}', '["one"]', '["a","b","c","d"]', '["a","b","c","5000"]'])
      await redis.command('PUBLISH', channel, message);
    await expect.poll(() => heard).toEqual([{ id: 'a', worker: 'b', epoch: 'c', atMs: 5 }]);
  });

  test('two ledgers on two connections never give one slot twice', async () => {
    const pool = aPool();
    await using first = await connectRedis({ url: inject('redisUrl'), commandMs: 5_000 });
    await using second = await connectRedis({ url: inject('redisUrl'), commandMs: 5_000 });
    const one = await createRedisLedger({ redis: first, pool });
    const other = await createRedisLedger({ redis: second, pool });
    for (const worker of ['w1', 'w2', 'w3']) await one.beat(aBeat({ worker, capacity: 4 }));
    const taken = await Promise.all(Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? one : other).take(aTake())));
    expect(taken.filter((it) => it.kind === 'held')).toHaveLength(12);
    expect((await other.survey()).workers.map(({ held }) => held)).toEqual([4, 4, 4]);
  });
});

async function serverMs(redis: Redis): Promise<number> {
  const time = await redis.command('TIME');
  const [seconds, micros]: unknown[] = Array.isArray(time) ? time : [];
  return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
}
