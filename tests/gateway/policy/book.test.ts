// Keys of teams: made, used, replaced, revoked; never more than their creator, and their secret told once.
import * as fc from 'fast-check';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Refusal } from '@berth/shared/outcome.ts';
import { ask, chat } from '../rig.ts';
import { call, infer, locked, make, root } from './calls.ts';
import { allRights, scopes } from '../../../gateway/policy/key.ts';
import type { Caller, Key } from '../../../gateway/policy/key.ts';

describe('a made key', () => {
  it('works at once, belongs to its team, and its secret is never told again', async () => {
    await using rig = await locked();
    const { id, secret } = await make(rig, { team: 'research', name: 'notebook' });
    expect(secret).toMatch(new RegExp(`^berth_${id}\\.[\\w-]{32}$`));
    expect((await infer(rig, secret)).status).toBe(200);
    expect(rig.takes.at(-1)).toMatchObject({ team: 'research', key: id });
    const lists = [await call(rig, root, 'GET', '/admin/keys'), await call(rig, root, 'GET', '/admin/export')];
    const half = secret.slice(-20);
    for (const { text } of lists) expect([text.includes(id), text.includes(half)]).toEqual([true, false]);
    expect(JSON.stringify(rig.lines)).not.toContain(half);
  });

  it('is refused when a character of it is wrong, when it has expired, and when it was revoked', async () => {
    await using rig = await locked();
    const expires = new Date(rig.clock.now() + 60_000).toISOString();
    const { id, secret } = await make(rig, { expires });
    const wrong = [secret.slice(0, -1), `${secret}x`, secret.replace(id, '0123456789ab'), `berth_${id}.`, id];
    for (const key of wrong) expect((await infer(rig, key)).status).toBe(401);
    expect((await infer(rig, secret)).status).toBe(200);
    const other = await make(rig, {});
    expect((await call(rig, root, 'DELETE', `/admin/keys/${other.id}`)).json['revoked']).not.toBe(null);
    expect((await infer(rig, other.secret)).status).toBe(401);
    await rig.clock.advance(60_000);
    expect((await infer(rig, secret)).status).toBe(401);
  });

  it('is replaced with an overlap in which both secrets are taken', async () => {
    await using rig = await locked();
    const { id, secret } = await make(rig, {});
    const { json } = await call(rig, root, 'POST', `/admin/keys/${id}/rotate`, { overlap: '30s' });
    const next = String(json['secret']);
    expect([(await infer(rig, secret)).status, (await infer(rig, next)).status]).toEqual([200, 200]);
    await rig.clock.advance(30_000);
    expect([(await infer(rig, secret)).status, (await infer(rig, next)).status]).toEqual([401, 200]);
    await call(rig, root, 'POST', `/admin/keys/${id}/rotate`);
    expect((await infer(rig, next)).status).toBe(401);
  });

  it('tells end users apart where it is trusted to, without their names', async () => {
    await using rig = await locked();
    const { id, secret } = await make(rig, { endUserHeader: 'X-User' });
    for (const user of ['ann', 'bob', 'ann']) {
      const headers = { authorization: `Bearer ${secret}`, 'x-user': user };
      expect((await ask(rig, { headers }).answer).status).toBe(200);
    }
    const [ann, bob, again] = rig.takes.map(({ key }) => key);
    expect([ann?.startsWith(`${id}/`), ann === bob, ann === again, ann?.includes('ann')]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });

  it.each([
    [{ model: ['tiny'] }, 'no such field'],
    [{ scopes: ['everything'] }, 'scopes[0]'],
    [{ team: 'a b' }, 'team'],
    [{ team: 'x'.repeat(65) }, 'team'],
    [{ weight: 0 }, 'weight'],
    [{ tokensPerMinute: -1 }, 'tokensPerMinute'],
    [{ expires: 'tomorrow' }, 'expires'],
    [{ endUserHeader: 'Authorization' }, 'endUserHeader'],
    [[], 'object'],
  ])('%j is no wish', async (wish, words) => {
    await using rig = await locked();
    const { status, text } = await call(rig, root, 'POST', '/admin/keys', wish);
    expect([status, text]).toEqual([400, expect.stringContaining(words)]);
    expect(rig.book.list()).toEqual([]);
  });
});

describe('a key never exceeds the one that made it', () => {
  const small = {
    scopes: ['admin', 'infer'],
    models: ['tiny'],
    priorityMax: 1,
    weight: 1,
    concurrentMax: 2,
    tokensPerMinute: 1_000,
    outputMax: 100,
    expires: '2100-01-01T00:00:00Z',
    endUserHeader: 'x-user',
  };

  it.each([
    [{ scopes: ['infer', 'metrics'] }, 'scopes'],
    [{ scopes: ['infer'], models: ['tiny', 'other'] }, 'models'],
    [{ scopes: ['infer'], priorityMax: 0 }, 'priorityMax'],
    [{ scopes: ['infer'], weight: 2 }, 'weight'],
    [{ scopes: ['infer'], concurrentMax: 3 }, 'concurrentMax'],
    [{ scopes: ['infer'], tokensPerMinute: 1_001 }, 'tokensPerMinute'],
    [{ scopes: ['infer'], outputMax: 101 }, 'outputMax'],
    [{ scopes: ['infer'], expires: '2100-01-01T00:00:01Z' }, 'expires'],
    [{ scopes: ['infer'], endUserHeader: 'x-other' }, 'endUserHeader'],
  ])('%j is refused', async (wish, field) => {
    await using rig = await locked();
    const { secret } = await make(rig, small);
    const { status, text } = await call(rig, secret, 'POST', '/admin/keys', wish);
    expect([status, text]).toEqual([403, expect.stringContaining(`${field} would be more`)]);
  });

  it('and what it leaves out it takes from there', async () => {
    await using rig = await locked();
    const { id, secret } = await make(rig, small);
    const { json } = await call(rig, secret, 'POST', '/admin/keys', { scopes: ['infer'] });
    expect(json).toMatchObject({
      models: ['tiny:latest'],
      concurrentMax: 2,
      outputMax: 100,
      createdBy: id,
      expires: '2100-01-01T00:00:00.000Z',
    });
  });

  it('in any field, however its wish and its creator look', async () => {
    await using rig = await locked();
    const { book } = rig;
    const limit = fc.constantFrom(1, 2, 1_000);
    const field = {
      scopes: fc.subarray(['admin', 'infer', 'models:read', 'metrics'], { minLength: 1 }),
      models: fc.subarray(['tiny', 'other', 'third'], { minLength: 1 }),
      priorityMax: fc.constantFrom(0, 1, 2),
      weight: fc.constantFrom(0.5, 1, 3),
      concurrentMax: limit,
      waitingMax: limit,
      tokensPerMinute: limit,
      tokensPerMonth: limit,
      contextMax: limit,
      outputMax: limit,
      expires: fc.constantFrom('2100-01-01T00:00:00Z', '2101-01-01T00:00:00Z'),
      endUserHeader: fc.constantFrom('x-user', 'x-other'),
    };
    const wish = fc.record(field, { requiredKeys: [] });
    /** Little is asked for, and the rest is the creator's: such keys are often made. */
    const modest = fc
      .tuple(fc.record(field), fc.subarray(Object.keys(field), { maxLength: 2 }))
      .map(([all, names]) => Object.fromEntries(names.map((name) => [name, all[name as keyof typeof all]])));
    const next = fc.oneof(wish, modest);
    /** For each field, whether the first is no more than the second. */
    const within: { [K in keyof Key]?: (mine: Key[K], most: Key[K]) => boolean } = {
      scopes: (mine, most) => mine.every((scope) => most.includes(scope)),
      models: (mine, most) => most === null || (mine !== null && mine.every((model) => most.includes(model))),
      priorityMax: (mine, most) => mine >= most,
      weight: (mine, most) => mine <= most,
      endUserHeader: (mine, most) => mine === null || mine === most,
    };
    const noMore = (mine: unknown, most: unknown) => Number(mine ?? Infinity) <= Number(most ?? Infinity);
    const says = new Set(['id', 'name', 'team', 'digest', 'previous', 'createdMs', 'createdBy', 'revokedMs']);
    const byRoot: Caller = { team: 'default', key: 'r', id: 'r', rights: allRights };
    let [made, refused] = [0, 0];
    const property = fc.asyncProperty(wish, next, next, async (first, ...more) => {
      let { key: creator } = await book.create(
        { ...first, scopes: [...new Set(['admin', 'infer', ...(first.scopes ?? [])])] },
        byRoot,
      );
      for (const each of more) {
        const by: Caller = { team: creator.team, key: creator.id, id: creator.id, rights: creator };
        const result = await book.create(each, by).catch((error: unknown) => error);
        if (result instanceof Refusal) {
          const { param, outcome } = result;
          // Scopes that are left out are not the creator's, but those that a member needs.
          expect([outcome, ['scopes', ...Object.keys(each)].includes(param ?? '')]).toEqual(['forbidden', true]);
          refused += 1;
          continue;
        }
        const { key } = result as { key: Key };
        const exceeds = (Object.keys(key) as (keyof Key)[]).filter((name) => {
          const isWithin = (within[name] ?? noMore) as (mine: unknown, most: unknown) => boolean;
          return !says.has(name) && !isWithin(key[name], creator[name]);
        });
        expect(exceeds).toEqual([]);
        made += 1;
        creator = key;
      }
    });
    await fc.assert(property, { numRuns: 600 });
    expect([made > 50, refused > 50]).toEqual([true, true]);
  });

  it('nor ends a greater one, whoever made it; one that only lasts longer or names end users it may', async () => {
    await using rig = await locked();
    const { secret } = await make(rig, small);
    for (const more of [{ scopes: ['admin', 'metrics'] }, { models: ['tiny', 'other'] }, { priorityMax: 0 }]) {
      const great = await make(rig, { ...small, ...more });
      const { status, text } = await call(rig, secret, 'DELETE', `/admin/keys/${great.id}`);
      expect([status, text]).toEqual([403, expect.stringContaining(`the key ${great.id} may do more than`)]);
      expect(rig.book.get(great.id)?.revokedMs).toBeNull();
    }
    const other = await make(rig, { ...small, expires: '2101-01-01T00:00:00Z', endUserHeader: 'x-other' });
    expect((await call(rig, secret, 'DELETE', `/admin/keys/${other.id}`)).status).toBe(200);
    expect((await infer(rig, other.secret)).status).toBe(401);
  });

  it('nor by rotating or importing a greater one', async () => {
    await using rig = await locked();
    const { secret } = await make(rig, small);
    const great = await make(rig, { scopes: ['admin', 'metrics'] });
    expect((await call(rig, secret, 'POST', `/admin/keys/${great.id}/rotate`)).status).toBe(403);
    const { json } = await call(rig, root, 'GET', '/admin/export');
    const keys = (json['keys'] as Record<string, unknown>[]).map((key) => ({ ...key, digest: 'a'.repeat(64) }));
    expect((await call(rig, secret, 'POST', '/admin/import', { keys })).status).toBe(403);
    expect((await infer(rig, great.secret)).status).toBe(403);
  });
});

describe('export and import', () => {
  it('carry the keys to another pool, where their secrets work, and bring no revoked one back', async () => {
    await using here = await locked();
    await using there = await locked();
    const { id, secret } = await make(here, { team: 'research', tokensPerMinute: 5_000 });
    const { json: before } = await call(here, root, 'GET', '/admin/export');
    expect((await call(there, root, 'POST', '/admin/import', before)).json).toEqual({ changed: 1 });
    expect((await infer(there, secret)).status).toBe(200);
    expect((await call(there, root, 'POST', '/admin/import', before)).json).toEqual({ changed: 0 });
    await call(there, root, 'DELETE', `/admin/keys/${id}`);
    const { status, text } = await call(there, root, 'POST', '/admin/import', before);
    expect([status, text]).toEqual([400, expect.stringContaining('was revoked')]);
    expect((await infer(there, secret)).status).toBe(401);
  });

  it('take nothing when one of the keys is wrong', async () => {
    await using rig = await locked();
    const digest = 'a'.repeat(64);
    const right = { id: '0123456789ab', team: 'a', digest, created: '2026-01-01T00:00:00Z' };
    const { status } = await call(rig, root, 'POST', '/admin/import', { keys: [right, { ...right, digest: 'x' }] });
    expect([status, rig.book.list()]).toEqual([400, []]);
  });
});

describe('scopes', () => {
  it('every route declares one, and these alone need no key', async () => {
    await using rig = await locked();
    const known = ['public', 'pool', ...scopes];
    expect(rig.gateway.routes.filter(({ scope }) => !known.includes(scope))).toEqual([]);
    const open = rig.gateway.routes.filter(({ scope }) => scope === 'public').map(({ path }) => path);
    // The console's files hold no data: what the page shows it asks for, and that is the administrators'.
    const files = readdirSync(join(import.meta.dirname, '../../../gateway/console/page'));
    const page = ['/console', '/console/', ...files.map((name) => `/console/${name}`)];
    const others = open.filter((path) => !page.includes(path));
    expect([...new Set(others)].sort()).toEqual(['/', '/api/version', '/health', '/livez', '/readyz']);
    const pool = rig.gateway.routes.filter(({ scope }) => scope === 'pool').map(({ path }) => path);
    expect(pool.every((path) => path.startsWith('/internal/'))).toBe(true);
    const admin = rig.gateway.routes.filter(({ path }) => path.startsWith('/admin'));
    expect([admin.length > 0, admin.filter(({ scope }) => scope !== 'admin')]).toEqual([true, []]);
  });

  it.each([
    ['infer', 'POST', '/v1/chat/completions'],
    ['infer', 'POST', '/api/chat'],
    ['models:read', 'GET', '/v1/models'],
    ['models:read', 'GET', '/api/tags'],
    ['metrics', 'GET', '/metrics'],
    ['metrics', 'GET', '/api/queue'],
    ['admin', 'GET', '/admin/keys'],
    ['admin', 'POST', '/admin/keys'],
    ['admin', 'DELETE', '/admin/keys/000000000000'],
    ['admin', 'GET', '/admin/export'],
    ['admin', 'POST', '/admin/import'],
  ])('%s is needed for %s %s, in the words of the dialect', async (scope, method, path) => {
    await using rig = await locked();
    const without = await make(rig, { scopes: scopes.filter((one) => one !== scope) });
    const only = await make(rig, { scopes: [scope] });
    const refused = await call(rig, without.secret, method, path, JSON.parse(chat()));
    expect([refused.status, refused.text]).toEqual([403, expect.stringContaining(`lacks the scope ${scope}`)]);
    expect((await call(rig, only.secret, method, path, JSON.parse(chat()))).status).not.toBe(403);
    expect(rig.takes.length).toBeLessThanOrEqual(1);
  });
});
