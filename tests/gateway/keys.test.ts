// Who may ask: bearer and x-api-key, compared as digests; a key that is made once and kept for its owner only.
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Refusal } from '@berth/shared/outcome.ts';
import { createAuthenticate, isLoopback, keptKey } from '../../gateway/keys.ts';

const keys = ['first-key-of-the-team', 'second-key-of-the-team'] as const;

describe('a key', () => {
  const authenticate = createAuthenticate(keys);

  it.each([
    { authorization: `Bearer ${keys[0]}` },
    { authorization: `bearer   ${keys[0]}` },
    { 'x-api-key': keys[0] },
    { authorization: 'Basic dXNlcjpwYXNz', 'x-api-key': keys[0] },
    { authorization: `Bearer ${keys[0]}`, 'x-api-key': keys[1] },
    { authorization: 'Bearer ', 'x-api-key': keys[0] },
  ])('is taken from %j', (headers) => {
    expect(authenticate(headers)).toMatchObject({ team: 'default' });
  });

  it.each([
    {},
    { authorization: '' },
    { authorization: 'Bearer' },
    { authorization: 'Bearer ' },
    { authorization: keys[0] },
    { authorization: `Bearer ${keys[0]}x` },
    { authorization: `Bearer ${keys[0].slice(1)}` },
    { authorization: `Bearer ${keys.join(',')}` },
    { 'x-api-key': '' },
    { 'x-api-key': [...keys] as unknown as string },
    { 'x-api-key': keys[0].toUpperCase() },
    { authorization: `Bearer wrong`, 'x-api-key': keys[0] },
    { authorization: `Bearer ${keys[0]}`, 'x-api-key': 'wrong' },
    { 'x-api-key': 'x'.repeat(100_000) },
  ])('is not in %j', (headers) => {
    expect(() => authenticate(headers)).toThrow(
      expect.objectContaining({ name: Refusal.name, outcome: 'unauthorized' }),
    );
  });

  it('is told apart from others by an id that does not give it away', () => {
    const ids = keys.map((key) => authenticate({ 'x-api-key': key }).key);
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(keys.some((key) => key.includes(id) || id.includes(key))).toBe(false);
  });

  it('is not among none, nor is an empty one among empty ones', () => {
    expect(() => createAuthenticate([])({})).toThrow(Refusal);
    expect(() => createAuthenticate([''])({})).toThrow();
  });
});

describe('the kept key', () => {
  let folder = '';
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'berth-keys-'))));
  afterEach(() => rm(folder, { recursive: true }));

  it('is made at the first start, for its owner only, and is the same at the second', async () => {
    const state = join(folder, 'state');
    const { key, path } = await keptKey(state);
    expect(key).toMatch(/^berth_[\w-]{32}$/);
    expect([(await stat(path)).mode & 0o777, (await stat(state)).mode & 0o777]).toEqual([0o600, 0o700]);
    expect(await readFile(path, 'utf8')).toBe(`${key}\n`);
    expect(await keptKey(state)).toEqual({ key, path });
  });

  it('is one for all who start at once', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => keptKey(join(folder, 'state'))));
    expect(new Set(all.map(({ key }) => key)).size).toBe(1);
  });

  it.each(['', '\n', 'short', 'with a space in between'])(
    '%j in the file is no key: the start says so',
    async (text) => {
      await writeFile(join(folder, 'key'), text);
      await expect(keptKey(folder)).rejects.toThrow(/key.*(delete|remove)/);
    },
  );

  it('that cannot be read is an error that names the file', async () => {
    await mkdir(join(folder, 'key'));
    await expect(keptKey(folder)).rejects.toThrow();
  });
});

describe('loopback', () => {
  it.each(['127.0.0.1', '127.8.8.8', 'localhost', '::1'])('is %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each(['0.0.0.0', '::', '', '10.0.0.1', '127.evil.example', 'localhost.example', '1127.0.0.1'])(
    'is not %s',
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});
