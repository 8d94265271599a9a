// Policy over a real Redis: every gateway ends with the same, and an emptied or absent Redis takes nothing away.
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { silentLog } from '@berth/shared/log.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { connectRedis } from '@berth/shared/redis.ts';
import type { Redis } from '@berth/shared/redis.ts';
import { nodeName } from '../../../gateway/policy/file.ts';
import { openRegisters } from '../../../gateway/policy/registers.ts';
import type { Registers } from '../../../gateway/policy/registers.ts';
import { ownRedis } from '../../tools/redis.ts';

let folder = '';
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'berth-policy-'))));
afterEach(() => rm(folder, { recursive: true }));

const open = (file: string | null, carrier: Redis | null, check: (value: unknown) => void = () => {}) =>
  openRegisters({
    path: file === null ? null : join(folder, file),
    carrier,
    prefix: 'b:{test}:policy:keys',
    everyMs: 50,
    check,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });

const valueOf = (registers: Registers, name: string) => registers.get(name)?.value;
const same = (registers: Registers, name: string, value: unknown) =>
  vi.waitFor(() => expect(valueOf(registers, name)).toEqual(value), { timeout: 15_000 });

describe('policy over Redis', () => {
  test('a change at one gateway is known to the others, and outlives FLUSHALL, and all of them', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using redis = await connectRedis({ url: server.url });
    {
      await using one = await open('one.json', redis);
      await using two = await open('two.json', redis);
      one.put('a', { revision: 1, value: { team: 'x' } });
      await one.flush();
      await same(two, 'a', { team: 'x' });
      two.put('a', { revision: 2, value: { team: 'y' } });
      await two.flush();
      await same(one, 'a', { team: 'y' });

      await redis.command('FLUSHALL');
      await vi.waitFor(async () => expect(await redis.command('HLEN', 'b:{test}:policy:keys')).toBe(1), {
        timeout: 15_000,
      });
      expect([valueOf(one, 'a'), valueOf(two, 'a')]).toEqual([{ team: 'y' }, { team: 'y' }]);
      // A newcomer learns it from Redis, though it has no file.
      await using three = await open(null, redis);
      expect(valueOf(three, 'a')).toEqual({ team: 'y' });
    }
    await redis.command('FLUSHALL');
    await using again = await open('one.json', redis);
    expect(valueOf(again, 'a')).toEqual({ team: 'y' });
    await vi.waitFor(async () => expect(await redis.command('HLEN', 'b:{test}:policy:keys')).toBe(1), {
      timeout: 15_000,
    });
  });

  test('an old copy never undoes a change: not from a file, not from a gateway that was away', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using redis = await connectRedis({ url: server.url });
    {
      await using one = await open('one.json', null);
      one.put('a', { revision: 1, value: 'before' });
    }
    await using two = await open('two.json', redis);
    two.put('a', { revision: 2, value: 'after' });
    await two.flush();
    await using one = await open('one.json', redis);
    expect(valueOf(one, 'a')).toBe('after');
    one.put('a', { revision: 2, value: 'no higher' });
    expect(valueOf(one, 'a')).toBe('after');
  });

  test('of two changes of one revision all gateways end with the same', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using redis = await connectRedis({ url: server.url });
    await using one = await open('one.json', redis);
    await using two = await open('two.json', redis);
    one.put('a', { revision: 1, value: 'of one' });
    two.put('a', { revision: 1, value: 'of two' });
    await Promise.all([one.flush(), two.flush()]);
    await vi.waitFor(() => expect(valueOf(one, 'a')).toBe(valueOf(two, 'a')), { timeout: 15_000 });
  });

  test('what is none of ours in Redis is not taken', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using redis = await connectRedis({ url: server.url });
    const fields = ['a', 'no revision', 'b', '1|{"broken', 'c', '7|"wrong"', 'd', '1|"right"'];
    await redis.command('HSET', 'b:{test}:policy:keys', ...fields);
    await using one = await open(null, redis, (value) => {
      if (value !== 'right') throw new Error('wrong');
    });
    expect(one.entries().map(([name]) => name)).toEqual(['d']);
  });
});

describe('the file', () => {
  test('is for its owner only, and two who share it lose nothing of each other', async () => {
    await using one = await open('keys.json', null);
    await using two = await open('keys.json', null);
    one.put('a', { revision: 1, value: 1 });
    await one.flush();
    two.put('b', { revision: 1, value: 2 });
    await two.flush();
    expect((await stat(join(folder, 'keys.json'))).mode & 0o777).toBe(0o600);
    const kept = JSON.parse(await readFile(join(folder, 'keys.json'), 'utf8')) as Record<string, unknown>;
    expect(Object.keys(kept)).toEqual(['a', 'b']);
  });

  test('that cannot be written fails a change that nobody else keeps, and not one that Redis has', async ({ skip }) => {
    await using server = await ownRedis(skip);
    await using redis = await connectRedis({ url: server.url });
    await writeFile(join(folder, 'no-folder'), '');
    await using alone = await open('no-folder/keys.json', null);
    alone.put('a', { revision: 1, value: 1 });
    await expect(alone.flush()).rejects.toThrow();
    await using one = await open('no-folder/keys.json', redis);
    one.put('a', { revision: 1, value: 1 });
    await one.flush();
    expect(await redis.command('HLEN', 'b:{test}:policy:keys')).toBe(1);
    expect(await nodeName(join(folder, 'no-folder/node'))).toMatch(/^[0-9a-f]{16}$/);
  });

  test.each(['', '[]', '{"a":', '{"a":{}}', '{"a":{"revision":1,"value":"wrong"}}'])(
    'with %j in it is damaged: the start says so and opens no door',
    async (text) => {
      await writeFile(join(folder, 'keys.json'), text);
      const opening = open('keys.json', null, () => {
        throw new Error('no key');
      });
      await expect(opening).rejects.toThrow(/keys\.json is damaged/);
    },
  );
});
