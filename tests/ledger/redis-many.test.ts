// Redis that is more than one server: sentinels that name a primary, and a cluster with the pool on one of its nodes.
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import { connectRedis, type Redis } from '@berth/shared/redis.ts';
import { redisUrl } from '@berth/shared/redis-url.ts';
import { aFolder } from '../e2e/berth.ts';
import { eventually } from '../e2e/eventually.ts';
import { freePort } from '../tools/port.ts';
import { ownRedis, type RedisServer } from '../tools/redis.ts';
import { aBeat, aLeave, aTake } from './inputs.ts';

type Skip = (why: string) => void;
const hostOf = ({ url }: RedisServer): string => new URL(url).host;
const portOf = ({ url }: RedisServer): string => new URL(url).port;

describe('a URL of several servers', () => {
  test.each([
    'redis+sentinel://a/main',
    'redis+sentinel://u:p%40@a:1,b:2,[::1]:3/main?sentinelPassword=x',
    'rediss+cluster://u:p@a:1,b',
    'redis://localhost:6379',
    'rediss://u:p@host/2',
  ])('may be %s', (url) => expect(redisUrl(url)).toBe(url));

  test.each([
    'redis+sentinel://a:1',
    'redis+cluster://a/name',
    'redis+ring://a',
    'http://a',
    'redis+cluster://a:x,b',
    '',
  ])('is not %j', (url) =>
    expect(() => redisUrl(url)).toThrow(/must be a URL like redis:\/\/.*redis\+sentinel.*redis\+cluster/),
  );

  test('that leads nowhere is told at the start, without its password', { timeout: 30_000 }, async () => {
    const port = await freePort();
    const urls = [`redis+sentinel://u:geheim@127.0.0.1:${port}/main`, `redis+cluster://u:geheim@127.0.0.1:${port}`];
    const said = await Promise.all(urls.map((url) => connectRedis({ url }).then(String, String)));
    expect(said[0]).toMatch(/cannot be reached \(All sentinels are unreachable.*\): start it, or correct REDIS_URL/);
    expect(said[1]).toMatch(/cannot be reached \(.*ECONNREFUSED.*\): start it, or correct REDIS_URL/);
    expect(said.join(' ')).not.toContain('geheim');
  });
});

/** One job through the pool: a slot is taken, given back, and told to who waits. */
async function aJob(redis: Redis, pool: string): Promise<void> {
  const ledger = await createRedisLedger({ redis, pool });
  const [first, second] = [aTake(), aTake()];
  const heard: string[] = [];
  await using _ear = await ledger.listen(second.gateway, ({ id }) => void heard.push(id));
  await ledger.beat(aBeat({ boot: true, capacity: 1 }));
  expect(await ledger.take(first)).toMatchObject({ kind: 'held' });
  expect(await ledger.take(second)).toMatchObject({ kind: 'wait' });
  await ledger.leave(aLeave(first.id));
  await eventually('the hand-off is heard', () => heard.includes(second.id));
}

describe('sentinels', () => {
  async function sentinel(skip: Skip, primary: RedisServer, folder: string, name: string): Promise<RedisServer> {
    const file = join(folder, `${name}.conf`);
    const lines = [
      `sentinel monitor main 127.0.0.1 ${portOf(primary)} 2`,
      'sentinel down-after-milliseconds main 700',
      'sentinel failover-timeout main 5000',
    ];
    await writeFile(file, `${lines.join('\n')}\n`);
    return ownRedis(skip, { config: file, args: ['--sentinel'] });
  }

  test('lead to the primary, and after its death to the next one', { timeout: 150_000 }, async ({ skip }) => {
    await using folder = await aFolder();
    await using primary = await ownRedis(skip);
    await using replica = await ownRedis(skip, { args: ['--replicaof', '127.0.0.1', portOf(primary)] });
    await using one = await sentinel(skip, primary, folder.path, 'one');
    await using two = await sentinel(skip, primary, folder.path, 'two');
    await using watcher = await connectRedis({ url: primary.url });
    await eventually('the replica follows', async () =>
      /slave0:.*state=online/.test(String(await watcher.command('INFO', 'replication'))),
    );
    const url = `redis+sentinel://${hostOf(one)},${hostOf(two)}/main`;
    await using redis = await connectRedis({ url });
    await aJob(redis, 'sentinels');
    // Shorter than a command may take: the replica is asked again.
    await eventually('the replica has it', async () => (await redis.command('WAIT', 1, 100)) === 1);
    await eventually('the sentinels know each other and the replica', async () => {
      const known = await sentinelKnows(one);
      return known.sentinels === '1' && known.replicas === '1';
    });
    await primary.stop();
    await eventually('the ledger answers again', () => redis.up, { withinMs: 45_000 });
    expect(String(await redis.command('INFO', 'server'))).toContain(`tcp_port:${portOf(replica)}`);
    // The connection that listens finds the replica in a time of its own.
    const again = () =>
      aJob(redis, `sentinels-${randomUUID()}`).then(
        () => true,
        () => false,
      );
    await eventually('a job goes through', again, { withinMs: 45_000 });
  });
});

async function sentinelKnows({ url }: RedisServer): Promise<{ sentinels: string; replicas: string }> {
  const { Redis: Client } = await import('ioredis');
  const client = new Client(url, { lazyConnect: true, enableReadyCheck: false, disableClientInfo: true, protocol: 2 });
  await client.connect();
  const told = (await client.call('SENTINEL', 'MASTER', 'main')) as string[];
  client.disconnect();
  const of = (name: string) => told[told.indexOf(name) + 1] ?? '';
  return { sentinels: of('num-other-sentinels'), replicas: of('num-slaves') };
}

describe('a cluster', () => {
  test(
    'leads to the node that has the pool, from any of its nodes, and follows it when it moves',
    { timeout: 90_000 },
    async ({ skip }) => {
      const start = async () => {
        const args = [
          '--cluster-enabled',
          'yes',
          '--cluster-node-timeout',
          '2000',
          '--cluster-port',
          String(await freePort()),
        ];
        return ownRedis(skip, { args });
      };
      await using one = await start();
      await using two = await start();
      await using three = await start();
      const nodes = [one, two, three];
      await using stack = new AsyncDisposableStack();
      const clients: Redis[] = [];
      for (const { url } of nodes) clients.push(stack.use(await connectRedis({ url })));
      const [first, second, third] = clients as [Redis, Redis, Redis];
      await first.command('CLUSTER', 'ADDSLOTSRANGE', 0, 5_000);
      await second.command('CLUSTER', 'ADDSLOTSRANGE', 5_001, 10_000);
      await third.command('CLUSTER', 'ADDSLOTSRANGE', 10_001, 16_383);
      for (const other of [second, third]) {
        const [port, bus] = String(await other.command('CLUSTER', 'NODES')).match(/(?<=:|@)\d+/g) ?? [];
        await first.command('CLUSTER', 'MEET', '127.0.0.1', Number(port), Number(bus));
      }
      for (const client of clients) {
        await eventually('the cluster works', async () =>
          String(await client.command('CLUSTER', 'INFO')).includes('cluster_state:ok'),
        );
      }
      for (let turn = 0; turn < 4; turn++) {
        const pool = `pool-${randomUUID()}`;
        const url = `redis+cluster://${nodes.map(hostOf).join(',')}`;
        await using redis = await connectRedis({ url, pool });
        await aJob(redis, pool);
        // The same from one of them alone, whichever has the pool.
        await using again = await connectRedis({ url: `redis+cluster://${hostOf(two)}`, pool });
        await (await createRedisLedger({ redis: again, pool })).survey();
      }
      await moves(clients, nodes);
    },
  );

  /** A pool without keys moves to another node while its connection is open. */
  async function moves(clients: Redis[], nodes: RedisServer[]): Promise<void> {
    const pool = `pool-${randomUUID()}`;
    await using redis = await connectRedis({ url: `redis+cluster://${nodes.map(hostOf).join(',')}`, pool });
    const slot = Number(await redis.command('CLUSTER', 'KEYSLOT', `b:{${pool}}:m`));
    const before = /tcp_port:(\d+)/.exec(String(await redis.command('INFO', 'server')))?.[1];
    const target = nodes.findIndex((node) => portOf(node) !== before);
    const id = String(await clients[target]?.command('CLUSTER', 'MYID'));
    for (const client of clients) await client.command('CLUSTER', 'SETSLOT', slot, 'NODE', id);
    await redis.command('SET', `b:{${pool}}:probe`, '').catch(() => {});
    await eventually('the connection has followed', async () => {
      const text = await redis.command('INFO', 'server').then(String, () => '');
      return text.includes(`tcp_port:${new URL(nodes[target]?.url ?? '').port}`);
    });
    await aJob(redis, pool);
  }
});
