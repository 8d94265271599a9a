// A browser's session: got with an administrator's key, used by this gateway's own pages only, and over in time.
import { describe, expect, it } from 'vitest';
import { withoutSession } from '../../../gateway/policy/sessions.ts';
import { ask } from '../rig.ts';
import type { Rig } from '../rig.ts';
import { call, locked, make, root } from './calls.ts';

async function opened(rig: Rig, key = root): Promise<{ cookie: string; set: string; status: number }> {
  const { status, headers } = await call(rig, key, 'POST', '/admin/session', {});
  const set = String(headers['set-cookie']);
  return { status, set, cookie: set.split(';')[0] ?? '' };
}

const list = (rig: Rig, headers: Record<string, string>) =>
  ask(rig, { method: 'GET', path: '/admin/keys', headers }).answer;
const create = (rig: Rig, headers: Record<string, string>) =>
  ask(rig, { path: '/admin/keys', headers: { host: 'berth', ...headers }, body: '{"team":"red"}' }).answer;

describe('the cookie', () => {
  it('is for this host, for no script, for no other site, and for an hour', async () => {
    await using rig = await locked();
    const { status, set } = await opened(rig);
    expect([status, set]).toEqual([
      201,
      expect.stringMatching(/^berth_session=[\w.-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=3600$/),
    ]);
    const headers = { authorization: `Bearer ${root}`, 'x-forwarded-proto': 'https' };
    const behindTls = await ask(rig, { path: '/admin/session', headers, body: '{}' }).answer;
    expect(String(behindTls.headers['set-cookie'])).toMatch(/; Secure$/);
    expect(set).not.toContain(root);
    expect(JSON.stringify(rig.lines)).not.toContain(set.slice(20, 60));
  });

  it('opens what the key opens until its time is over, and nothing when a byte of it is wrong', async () => {
    await using rig = await locked();
    const { cookie } = await opened(rig);
    expect((await list(rig, { cookie })).status).toBe(200);
    expect((await list(rig, { cookie: `theme=dark; ${cookie}` })).status).toBe(200);
    expect((await list(rig, { cookie: `${cookie}; ${cookie}` })).status).toBe(401);
    for (const at of [16, 30, 45, cookie.length - 2]) {
      const other = cookie[at] === '1' ? '2' : '1';
      const forged = cookie.slice(0, at) + other + cookie.slice(at + 1);
      expect([at, (await list(rig, { cookie: forged })).status]).toEqual([at, 401]);
    }
    await rig.clock.advance(59 * 60_000);
    expect((await list(rig, { cookie })).status).toBe(200);
    await rig.clock.advance(60_000);
    expect((await list(rig, { cookie })).status).toBe(401);
  });

  it('is over when it is left, also where a copy of it is', async () => {
    await using rig = await locked();
    const { cookie } = await opened(rig);
    const own = { cookie, host: 'berth', origin: 'http://berth' };
    const left = await ask(rig, { method: 'DELETE', path: '/admin/session', headers: own }).answer;
    expect([left.status, left.headers['set-cookie']?.[0]]).toEqual([200, expect.stringContaining('Max-Age=0')]);
    expect((await list(rig, { cookie })).status).toBe(401);
  });

  it('is over when its key is revoked or has another secret', async () => {
    await using rig = await locked();
    for (const end of ['rotate', 'revoke'] as const) {
      const { id, secret } = await make(rig, { scopes: ['admin'] });
      const { cookie } = await opened(rig, secret);
      expect((await list(rig, { cookie })).status).toBe(200);
      if (end === 'revoke') await call(rig, root, 'DELETE', `/admin/keys/${id}`);
      else await call(rig, root, 'POST', `/admin/keys/${id}/rotate`, {});
      expect([end, (await list(rig, { cookie })).status]).toEqual([end, 401]);
    }
  });

  it('is given to administrators only', async () => {
    await using rig = await locked();
    const { secret } = await make(rig, { scopes: ['infer'] });
    expect((await opened(rig, secret)).status).toBe(403);
  });

  it('is nobody else’s business: servers behind the gateway get the other cookies', () => {
    expect(withoutSession('a=b; berth_session=secret; c=d')).toBe('a=b; c=d');
    expect(withoutSession('berth_session=secret')).toBeUndefined();
  });
});

describe('a write with the cookie', () => {
  it.each([
    ['a page of this address', 'http://berth', 201],
    ['this address over TLS, which is another server', 'https://berth', 403],
    ['another site', 'https://evil.example', 403],
    ['a neighbour of the same domain', 'http://other.berth', 403],
    ['another port of this host', 'http://berth:81', 403],
    ['an opaque origin', 'null', 403],
    ['a program of the desktop', 'app://berth', 403],
    ['a page of this machine', 'http://localhost:3000', 403],
  ])('from %s', async (_where, origin, status) => {
    await using rig = await locked({ settings: { corsOrigins: ['*'] } });
    const { cookie } = await opened(rig);
    expect((await create(rig, { cookie, origin })).status).toBe(status);
    expect(rig.book.list()).toHaveLength(status === 201 ? 1 : 0);
  });

  it.each([
    ['http://berth', { 'x-forwarded-proto': 'https' }, 403],
    ['https://berth', { 'x-forwarded-proto': 'https' }, 201],
    ['http://berth', { 'x-forwarded-proto': 'http', 'x-forwarded-for': '10.0.0.1' }, 201],
    ['https://berth', { 'x-forwarded-proto': 'http', 'x-forwarded-for': '10.0.0.1' }, 403],
    ['https://berth', { 'x-forwarded-for': '10.0.0.1' }, 201],
  ])('from %s behind a proxy that says %j: %i', async (origin, said, status) => {
    await using rig = await locked();
    const { cookie } = await opened(rig);
    expect((await create(rig, { cookie, origin, ...said })).status).toBe(status);
  });

  it('without an origin is refused, and with a key beside the cookie the key counts', async () => {
    await using rig = await locked();
    const { cookie } = await opened(rig);
    expect((await create(rig, { cookie })).status).toBe(403);
    expect((await create(rig, { cookie, authorization: `Bearer ${root}` })).status).toBe(201);
    expect((await create(rig, { cookie, authorization: 'Bearer wrong' })).status).toBe(401);
  });
});
