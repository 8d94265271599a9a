// The connection to Redis under faults: no command runs twice, every promise settles, it comes back by itself.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { describe, expect, inject, test, vi } from 'vitest';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import { RedisReplyError, RedisUnavailable } from '@berth/shared/redis-errors.ts';
import { connectRedis, type Redis } from '@berth/shared/redis.ts';
import { redactUrl } from '@berth/shared/redis-url.ts';
import { startTcpProxy, type TcpProxy } from '../doubles/tcp-proxy.ts';
import { ownRedis } from '../tools/redis.ts';
import { aSession, aTake } from './inputs.ts';

/** A time limit of a command, and one that no promise may exceed: the limit and a scheduler's delay. */
const commandMs = 300;
const settledMs = 1_500;

describe('a connection', () => {
  test('runs a command once when its reply is lost and the connection cut', async () => {
    await using it = await throughProxy();
    const counter = `b:{test-${randomUUID()}}:count`;
    await it.redis.command('INCR', counter);
    it.proxy.loseReplies(true);
    const lost = it.redis.command('INCR', counter);
    lost.catch(() => {});
    await vi.waitFor(async () => expect(await it.direct.get(counter)).toBe('2'), { timeout: 15_000 });
    it.proxy.cut();
    it.proxy.loseReplies(false);
    await expect(within(lost)).rejects.toBeInstanceOf(RedisUnavailable);
    await up(it.redis);
    expect(await it.redis.command('INCR', counter)).toBe(3);
    await it.direct.command('DEL', counter);
  });

  test('settles every command in flight when it is cut', async () => {
    await using it = await throughProxy();
    it.proxy.loseReplies(true);
    const lost = Array.from({ length: 50 }, () => it.redis.command('PING'));
    const outcomes = Promise.allSettled(lost);
    it.proxy.cut();
    for (const outcome of await within(outcomes))
      expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'RedisUnavailable' } });
  });

  test('settles a command in time when nothing answers, and replaces a connection that only looks alive', async () => {
    await using it = await throughProxy();
    const before = it.proxy.accepted;
    it.proxy.freeze(true);
    await expect(within(it.redis.command('PING'))).rejects.toThrow(`within ${commandMs} ms`);
    await expect(within(it.redis.command('PING'))).rejects.toBeInstanceOf(RedisUnavailable);
    expect(it.redis.up).toBe(false);
    it.proxy.freeze(false);
    await up(it.redis);
    expect(it.proxy.accepted).toBeGreaterThan(before);
    expect(await it.redis.command('PING')).toBe('PONG');
  });

  test('keeps no command for later: without a connection it fails at once', async () => {
    await using it = await throughProxy();
    const counter = `b:{test-${randomUUID()}}:count`;
    await it.proxy.refuse(true);
    await vi.waitFor(() => expect(it.redis.up).toBe(false), { timeout: 15_000 });
    await expect(it.redis.command('INCR', counter)).rejects.toBeInstanceOf(RedisUnavailable);
    await it.proxy.refuse(false);
    await up(it.redis);
    expect(await it.redis.get(counter)).toBeNull();
  });

  test('tells when the server goes and when it is back', async () => {
    await using it = await throughProxy();
    const told: boolean[] = [];
    using _ = it.redis.onState((state) => void told.push(state));
    it.proxy.cut();
    await vi.waitFor(() => expect(told).toEqual([false, true]), { timeout: 15_000 });
    expect(it.redis.up).toBe(true);
  });

  test('listens again after it was cut', async () => {
    await using it = await throughProxy();
    const channel = `b:{test-${randomUUID()}}:c:g1`;
    const heard: string[] = [];
    await using _ = await it.redis.subscribe(channel, (message) => void heard.push(message));
    it.proxy.cut();
    await vi.waitFor(
      async () => {
        await it.direct.command('PUBLISH', channel, 'again');
        expect(heard).toContain('again');
      },
      { timeout: 15_000 },
    );
  });

  test('stops listening when told to', async () => {
    await using it = await throughProxy();
    const channel = `b:{test-${randomUUID()}}:c:g1`;
    const ear = await it.redis.subscribe(channel, () => {});
    expect(await it.direct.command('PUBLISH', channel, 'x')).toBe(1);
    await ear[Symbol.asyncDispose]();
    expect(await it.direct.command('PUBLISH', channel, 'x')).toBe(0);
  });

  test('passes on what the server refuses, by its code', async () => {
    await using redis = await connectRedis({ url: inject('redisUrl') });
    const refused = redis.command('EVALSHA', 'f'.repeat(40), 0);
    await expect(refused).rejects.toBeInstanceOf(RedisReplyError);
    await expect(refused).rejects.toMatchObject({ code: 'NOSCRIPT' });
  });

  test('settles what is in flight when its owner closes it', async () => {
    const it = await throughProxy();
    it.proxy.freeze(true);
    const lost = it.redis.command('PING');
    lost.catch(() => {});
    await it[Symbol.asyncDispose]();
    await expect(within(lost)).rejects.toBeInstanceOf(RedisUnavailable);
  });
});

describe('a ledger on a bad connection', () => {
  test('says that it is unavailable, and is right again afterwards', async () => {
    await using it = await throughProxy();
    await using ledger = await createRedisLedger({ redis: it.redis, pool: `test-${randomUUID()}` });
    it.proxy.loseReplies(true);
    const input = aTake();
    await expect(within(ledger.take(input))).rejects.toBeInstanceOf(LedgerUnavailable);
    await cutOff(it);
    it.proxy.loseReplies(false);
    await up(it.redis);
    // It ran, once; nobody could know.
    expect(await ledger.take(input)).toMatchObject({ kind: 'wait', place: 1 });
    expect(await ledger.session(aSession({ tickets: [input.id] }))).toMatchObject({ waiting: 1 });
    expect(await ledger.leave({ id: input.id, actual: null, refused: false })).toBe('waited');
  });

  test('brings its scripts along when the server has forgotten them', async () => {
    await using redis = await connectRedis({ url: inject('redisUrl') });
    await using ledger = await createRedisLedger({ redis, pool: `test-${randomUUID()}` });
    await redis.command('SCRIPT', 'FLUSH');
    const input = aTake();
    expect(await ledger.take(input)).toMatchObject({ kind: 'wait' });
    expect(await ledger.leave({ id: input.id, actual: null, refused: false })).toBe('waited');
  });
});

describe('at the start', () => {
  test('a server that cannot be reached is named, without the password', async () => {
    const starting = connectRedis({ url: 'redis://user:geheim@127.0.0.1:1/0' });
    await expect(starting).rejects.toThrow(
      /redis:\/\/user:\*\*\*@127\.0\.0\.1:1\/0 cannot be reached \(.*ECONNREFUSED/,
    );
    await expect(starting).rejects.not.toThrow(/geheim/);
  });

  test('a server that accepts and never answers is given up', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    await expect(connectRedis({ url: `redis://127.0.0.1:${port}`, commandMs })).rejects.toThrow(/does not answer INFO/);
    server.close();
  });

  test('a password that is missing or wrong is said so', async ({ skip }) => {
    await using server = await ownRedis(skip, { args: ['--requirepass', 'geheim'] });
    await expect(connectRedis({ url: server.url })).rejects.toThrow(/wants a password/);
    const wrong = connectRedis({ url: server.url.replace('//', '//:falsch@') });
    await expect(wrong).rejects.toThrow(/refuses the user or the password/);
    await expect(wrong).rejects.not.toThrow(/falsch/);
    await using redis = await connectRedis({ url: server.url.replace('//', '//:geheim@') });
    expect(redis.up).toBe(true);
  });

  test('a replica and a server that evicts leases are refused, with what to change', async ({ skip }) => {
    await using primary = await ownRedis(skip, { args: ['--maxmemory-policy', 'allkeys-lru'] });
    await expect(connectRedis({ url: primary.url })).rejects.toThrow(/allkeys-lru.*set maxmemory-policy noeviction/);
    const port = new URL(primary.url).port;
    await using replica = await ownRedis(skip, { args: ['--replicaof', `127.0.0.1 ${port}`] });
    await expect(connectRedis({ url: replica.url })).rejects.toThrow(/is a replica.*point REDIS_URL at the primary/);
  });

  test('a server that is too old is refused', async () => {
    await using old = await answering('redis_version:6.2.14\r\nrole:master\r\n');
    await expect(connectRedis({ url: old.url })).rejects.toThrow(/is version 6\.2\.14: Redis 7 or newer/);
  });

  test('a user who may not run scripts is told which right is missing', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using admin = await connectRedis({ url: server.url });
    await admin.command('ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', '+@all', '-@scripting');
    await expect(connectRedis({ url: server.url.replace('//', '//reader:secret@') })).rejects.toThrow(
      /allow \+eval and \+evalsha/,
    );
  });

  test('a URL is shown without its secrets', () => {
    expect(redactUrl('rediss://u:p%40ss@host:6380/2?x=y')).toBe('rediss://u:***@host:6380/2');
    expect(redactUrl('redis://host')).toBe('redis://host');
    expect(redactUrl('no url: p@ss')).toBe('an unreadable URL');
    expect(redactUrl('rediss+sentinel://u:p:q@a:1,b:2/main?sentinelPassword=s')).toBe(
      'rediss+sentinel://u:***@a:1,b:2/main',
    );
    expect(redactUrl('redis+cluster://:p@a,b')).toBe('redis+cluster://:***@a,b');
  });
});

interface Proxied extends AsyncDisposable {
  /** The connection under test, and one that nobody disturbs. */
  redis: Redis;
  direct: Redis;
  proxy: TcpProxy;
}

async function throughProxy(): Promise<Proxied> {
  const url = new URL(inject('redisUrl'));
  const direct = await connectRedis({ url: url.href });
  const proxy = await startTcpProxy(Number(url.port || 6_379));
  url.port = String(proxy.port);
  url.hostname = '127.0.0.1';
  const redis = await connectRedis({ url: url.href, commandMs });
  return {
    redis,
    direct,
    proxy,
    async [Symbol.asyncDispose]() {
      for (const part of [redis, direct, proxy]) await part[Symbol.asyncDispose]();
    },
  };
}

/** Cuts the connection and waits until it was noticed. */
async function cutOff({ proxy, redis }: Proxied): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _ = redis.onState((state) => !state && resolve());
  proxy.cut();
  await promise;
}

async function up(redis: Redis): Promise<void> {
  await vi.waitFor(() => expect(redis.up).toBe(true), { timeout: 15_000 });
}

/** The promise, if it settles in time. */
async function within<T>(promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`not settled after ${settledMs} ms`)), settledMs);
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Something that speaks just enough to say who it is. */
async function answering(info: string): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      for (const name of String(bytes).matchAll(/\$\d+\r\n(INFO|PING|EVAL)\r\n/gi))
        socket.write(name[1]?.toUpperCase() === 'INFO' ? `$${info.length}\r\n${info}\r\n` : '+PONG\r\n');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return {
    url: `redis://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}
