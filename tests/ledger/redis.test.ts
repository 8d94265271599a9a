// The ledger in Redis does what a ledger does, on every kind of server that it is meant for.
import { randomUUID } from 'node:crypto';
import { describe, expect, inject, test } from 'vitest';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import { whyNoPool } from '@berth/shared/redis-checks.ts';
import { connectRedis, type Redis } from '@berth/shared/redis.ts';
import { freePort } from '../tools/port.ts';
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

  test('needs no more rights than the pool: keys, channels and a handful of commands', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using admin = await connectRedis({ url: server.url });
    const rights = '+@read +@write +@pubsub +@scripting -@dangerous +ping +time'.split(' ');
    await admin.command('ACL', 'SETUSER', 'berth', 'on', '>secret', '~b:{mine}:*', '&b:{mine}:*', ...rights);
    await using redis = await connectRedis({ url: server.url.replace('//', '//berth:secret@') });
    await aJob(redis, 'mine');
    await expect(createRedisLedger({ redis, pool: 'other' })).rejects.toThrow(
      /does not let this user keep the pool: allow it the keys ~b:\{other\}:\* .*NOPERM/,
    );
    await admin.command('ACL', 'SETUSER', 'berth', '-@write');
    await expect(createRedisLedger({ redis, pool: 'mine' })).rejects.toThrow(/\+@write.*NOPERM/);
  });

  test('works on the node of a cluster that holds the pool; another says which that is', async ({ skip }) => {
    const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'];
    await using one = await ownRedis(skip, { args: [...args, '--cluster-port', String(await freePort())] });
    await using two = await ownRedis(skip, { args: [...args, '--cluster-port', String(await freePort())] });
    await using first = await connectRedis({ url: one.url });
    await using second = await connectRedis({ url: two.url });
    await first.command('CLUSTER', 'ADDSLOTSRANGE', 0, 8_191);
    await second.command('CLUSTER', 'ADDSLOTSRANGE', 8_192, 16_383);
    const [port, bus] = String(await second.command('CLUSTER', 'NODES')).match(/(?<=:|@)\d+/g) ?? [];
    await first.command('CLUSTER', 'MEET', '127.0.0.1', Number(port), Number(bus));
    for (const redis of [first, second]) {
      const state = async () => String(await redis.command('CLUSTER', 'INFO'));
      await expect.poll(state, { timeout: 15_000 }).toContain('cluster_state:ok');
    }
    const pool = 'mine';
    const slot = Number(await first.command('CLUSTER', 'KEYSLOT', `b:{${pool}}:m`));
    const [home, away] = slot < 8_192 ? [first, second] : [second, first];
    await aJob(home, pool);
    const address = new URL(slot < 8_192 ? one.url : two.url).host;
    await expect(createRedisLedger({ redis: away, pool })).rejects.toThrow(`put ${address} into REDIS_URL`);
  });

  test.each([
    ["READONLY You can't write against a read only replica.", /point REDIS_URL at the primary/],
    ["OOM command not allowed when used memory > 'maxmemory'.", /raise its maxmemory/],
    ['MISCONF Redis is configured to save RDB snapshots', /could not save its data/],
    ['NOREPLICAS Not enough good replicas to write.', /min-replicas-to-write/],
    ['CLUSTERDOWN Hash slot not served', /CLUSTER INFO/],
    ['WHATEVER else', /does not take what a pool writes \(WHATEVER else\)/],
  ])('says what %s means', (message, words) => {
    expect(whyNoPool(message, 'b:{mine}:')).toMatch(words);
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
    expect(await ledger.take({ ...ticket, age })).toEqual({ kind: 'wait', age, place: 1, servers: 1 });
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
