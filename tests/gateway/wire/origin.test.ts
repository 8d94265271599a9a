// The name a request was sent to and the page it comes from: rebinding and foreign pages get nothing done.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseNetworks } from '../../../gateway/policy/networks.ts';
import { allowNetworks, createAuthenticate } from '../../../gateway/keys.ts';
import { createWire, parseHosts } from '../../../gateway/wire.ts';
import { locked, root } from '../policy/calls.ts';
import { ask, chat, raw, startRig, wire } from '../rig.ts';
import type { Rig } from '../rig.ts';

let open: Rig;
let shut: Rig;
beforeAll(async () => {
  open = await startRig({
    settings: { allowedHosts: ['berth.example.org'], corsOrigins: ['https://chat.example.org'] },
  });
  shut = await locked();
});
afterAll(() => Promise.all([open[Symbol.asyncDispose](), shut[Symbol.asyncDispose]()]));

async function status(rig: Rig, headers: Record<string, string>, line?: string): Promise<number> {
  const body = line?.startsWith('GET') ? '' : chat();
  const { text } = await raw(rig, wire(body, { connection: 'close', ...headers }, line));
  return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
}

describe('where anybody may come in', () => {
  it.each([
    '127.0.0.1',
    'localhost:8080',
    '[::1]:8080',
    '10.0.0.7:8080',
    'gpu-box',
    'gpu-box.local',
    'BERTH.example.org:80',
  ])('the name %s is ours', async (host) => expect(await status(open, { host })).toBe(200));

  it.each([
    'evil.example',
    'evil.example:8080',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    'x@127.0.0.1',
    'a/b',
  ])('the name %s is not: a page that was led here gets nothing, not even the list of models', async (host) => {
    expect([400, 421]).toContain(await status(open, { host }));
    expect([400, 421]).toContain(await status(open, { host }, 'GET /v1/models HTTP/1.1'));
  });

  it.each([
    ['https://evil.example', 403],
    ['null', 403],
    ['http://127.0.0.1.evil.example', 403],
    ['http://berth', 200],
    ['https://berth', 403],
    ['https://chat.example.org', 200],
    ['app://obsidian.md', 200],
    ['vscode-webview://abc', 200],
    ['http://[', 403],
  ])('a page of %s that writes gets a %i', async (origin, expected) => {
    expect(await status(open, { origin, 'content-type': 'text/plain' })).toBe(expected);
    expect(await status(open, { origin }, 'GET /v1/models HTTP/1.1')).toBe(200);
  });

  it('a page of this machine may write to a gateway on it', async () => {
    expect(await status(open, { host: 'localhost:8080', origin: 'http://127.0.0.1:3000' })).toBe(200);
    expect(await status(open, { host: 'localhost:8080', origin: 'http://[::1]:3000' })).toBe(200);
    expect(await status(open, { host: 'localhost:8080', origin: 'http://127.evil.example' })).toBe(403);
    expect(await status(open, { host: '10.0.0.7:8080', origin: 'http://127.0.0.1:3000' })).toBe(403);
  });

  it('a page of plain HTTP may not write to the same name behind TLS', async () => {
    const behindTls = { 'x-forwarded-proto': 'https' };
    expect(await status(open, { origin: 'http://berth', ...behindTls })).toBe(403);
    expect(await status(open, { origin: 'https://berth', ...behindTls })).toBe(200);
  });

  it('whoever sends no origin may write, also as a form: that is what curl -d does', async () => {
    expect(await status(open, { 'content-type': 'application/x-www-form-urlencoded' })).toBe(200);
  });
});

describe('where every request needs a key', () => {
  it('any name is ours, and a key is proof that no page was tricked', async () => {
    const authorization = `Bearer ${root}`;
    expect(await status(shut, { host: 'llm.example.org', authorization })).toBe(200);
    expect(await status(shut, { host: 'llm.example.org', authorization, origin: 'https://evil.example' })).toBe(200);
    expect(await status(shut, { host: 'llm.example.org', origin: 'https://evil.example' })).toBe(403);
  });
});

describe('an address', () => {
  const proxies = parseNetworks('10.0.0.0/24');
  const { address } = createWire({ hosts: null, keyless: false, origins: [], proxies });
  const of = (remoteAddress: string, forwarded?: string) =>
    address({
      socket: { remoteAddress },
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    } as never);

  it.each([
    ['192.168.1.5', undefined, '192.168.1.5'],
    ['192.168.1.5', '10.1.1.1', null],
    ['10.0.0.9', '192.168.1.5', '192.168.1.5'],
    ['10.0.0.9', '1.1.1.1, 192.168.1.5', '192.168.1.5'],
    ['::ffff:10.0.0.9', '1.1.1.1, 192.168.1.5, 10.0.0.8', '192.168.1.5'],
    ['10.0.0.9', undefined, '10.0.0.9'],
  ])('of %s that was told %s is %s', (peer, forwarded, expected) => {
    expect(of(peer, forwarded)).toBe(expected);
  });

  it('in an allowed network needs no key to infer, and gets no further', async () => {
    const networks = parseNetworks('127.0.0.0/8=workshop');
    await using rig = await startRig();
    const authenticate = createAuthenticate([root], {
      book: rig.book,
      now: () => 0,
      network: allowNetworks(networks),
    });
    await using near = await startRig({ options: { authenticate } });
    expect((await ask(near).answer).status).toBe(200);
    expect(near.takes[0]).toMatchObject({ team: 'workshop', key: 'net/127.0.0.1' });
    for (const path of ['/metrics', '/admin/keys'])
      expect((await ask(near, { method: 'GET', path }).answer).status).toBe(403);
    const through = { 'x-forwarded-for': '203.0.113.9' };
    expect((await ask(near, { headers: through }).answer).status).toBe(401);
    expect((await ask(near, { headers: { authorization: 'Bearer wrong' } }).answer).status).toBe(401);
  });

  it.each(['10.0.0.0/33', '10.0.0/8', 'everyone', '10.0.0.0/8=a b', '::/129', ''])('%j is no network', (text) => {
    expect(() => parseNetworks(text)).toThrow(/must/);
  });

  it.each(['https://a', 'a:80', 'a,,b', '*'])('%j is no list of hosts', (text) => {
    expect(() => parseHosts(text)).toThrow(/names/);
  });
});
