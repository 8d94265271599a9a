// A user whom the proxy in front names is believed from that proxy, and from nobody else.
import { describe, expect, it } from 'vitest';
import { parseIdentity } from '../../../gateway/policy/identity.ts';
import { parseNetworks } from '../../../gateway/policy/networks.ts';
import { ask, chat, raw, wire } from '../rig.ts';
import type { Rig } from '../rig.ts';
import { locked, root } from './calls.ts';

const identityHeaders = parseIdentity('X-Forwarded-User, x-forwarded-team');
const behind = (proxies: string): Promise<Rig> =>
  locked({ settings: { identityHeaders, trustedProxies: parseNetworks(proxies) } });
const ada = { 'x-forwarded-for': '10.9.8.7', 'x-forwarded-user': 'ada@example.org' };

describe('from a trusted proxy', () => {
  it('a user may infer without a key, in the team that is named, and is never named himself', async () => {
    await using rig = await behind('127.0.0.0/8');
    expect((await ask(rig, { headers: { ...ada, 'x-forwarded-team': 'research' } }).answer).status).toBe(200);
    expect((await ask(rig, { headers: { ...ada, 'x-forwarded-user': 'bob' } }).answer).status).toBe(200);
    const [first, second] = rig.takes;
    expect([first?.team, second?.team]).toEqual(['research', 'default']);
    expect(first?.key).toMatch(/^proxy\/[0-9a-f]{12}$/);
    expect(second?.key).not.toBe(first?.key);
    expect(JSON.stringify([rig.takes, rig.lines])).not.toMatch(/ada|bob/);
  });

  it('he may administer nothing, and without a name nobody comes in', async () => {
    await using rig = await behind('127.0.0.0/8');
    expect((await ask(rig, { method: 'GET', path: '/admin/keys', headers: ada }).answer).status).toBe(403);
    expect((await ask(rig, { headers: { ...ada, 'x-forwarded-user': '' } }).answer).status).toBe(401);
    expect((await ask(rig, { headers: { 'x-forwarded-for': '10.9.8.7' } }).answer).status).toBe(401);
    expect((await ask(rig, { headers: { ...ada, 'x-forwarded-team': 'a team, "or" so' } }).answer).status).toBe(400);
  });

  it.each(['x-forwarded-user', 'X-Forwarded-Team'])('%s twice is refused', async (name) => {
    await using rig = await behind('127.0.0.0/8');
    const head = wire(chat(), { connection: 'close', ...ada }).replace('\r\n', `\r\n${name}: a\r\n${name}: b\r\n`);
    expect((await raw(rig, head)).text).toMatch(/^HTTP\/1.1 400 /);
    expect(rig.takes).toEqual([]);
  });

  it('a key says who its holder is, whatever the header says', async () => {
    await using rig = await behind('127.0.0.0/8');
    expect((await ask(rig, { headers: { ...ada, authorization: `Bearer ${root}` } }).answer).status).toBe(200);
    expect(rig.takes[0]?.key).toMatch(/^[0-9a-f]{8}$/);
  });
});

it.each([{}, { authorization: `Bearer ${root}` }])('from anybody else the header is refused, with %j', async (more) => {
  await using rig = await behind('10.0.0.0/8');
  const { status, text } = await ask(rig, { headers: { 'x-forwarded-user': 'ada', ...more } }).answer;
  expect([status, text]).toEqual([403, expect.stringContaining('TRUSTED_PROXIES')]);
});

it.each(['', 'a b', 'authorization', 'x,y,z', 'x,x', 'x,cookie'])('"%s" names no such headers', (text) => {
  expect(() => parseIdentity(text)).toThrow('must be the name of a header');
});
