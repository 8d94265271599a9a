// Web pages: nothing for browsers unless origins are named, and then what clients in a browser need.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAuthenticate } from '../../gateway/keys.ts';
import { createCors, parseOrigins } from '../../gateway/cors.ts';
import { ask, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

const page = 'https://chat.example.org';
const asking = {
  origin: page,
  'access-control-request-method': 'POST',
  'access-control-request-headers': 'authorization,content-type,x-stainless-os,anthropic-version,x-evil',
};

let closed: Rig;
let open: Rig;
beforeAll(async () => {
  closed = await startRig();
  const authenticate = createAuthenticate(['a-key-of-sixteen-and-more']);
  open = await startRig({ settings: { corsOrigins: [page] }, options: { authenticate } });
});
afterAll(async () => {
  await closed[Symbol.asyncDispose]();
  await open[Symbol.asyncDispose]();
});

const corsOf = (headers: object) => Object.keys(headers).filter((name) => name.startsWith('access-control'));

describe('without CORS_ORIGINS', () => {
  it('a preflight is a method that is not allowed, and no reply says anything to browsers', async () => {
    const preflight = await ask(closed, { method: 'OPTIONS', headers: asking }).answer;
    expect([preflight.status, corsOf(preflight.headers)]).toEqual([405, []]);
    const read = await ask(closed, { method: 'GET', path: '/v1/models', headers: { origin: page } }).answer;
    expect([read.status, corsOf(read.headers)]).toEqual([200, []]);
    // A page may send what needs no preflight; without a key that alone would run a model.
    const written = await ask(closed, { headers: { origin: page } }).answer;
    expect([written.status, corsOf(written.headers)]).toEqual([403, []]);
  });
});

describe('with an origin named', () => {
  it.each(['/v1/chat/completions', '/v1/models', '/v1/models/a/b:c', '/api/chat'])(
    'a preflight of %s is answered with 204 before any key is asked for',
    async (path) => {
      const { status, headers, text } = await ask(open, { method: 'OPTIONS', path, headers: asking }).answer;
      expect([status, text]).toEqual([204, '']);
      expect(headers).toMatchObject({
        'access-control-allow-origin': page,
        'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
        'access-control-allow-headers': 'authorization, content-type, x-stainless-os, anthropic-version',
        vary: 'origin',
      });
      expect(headers['x-request-id']).toBeDefined();
    },
  );

  it('a page may read errors too, and which request they belong to', async () => {
    const { status, headers } = await ask(open, { headers: { origin: page } }).answer;
    expect([status, headers['access-control-allow-origin']]).toEqual([401, page]);
    expect(headers['access-control-expose-headers']).toContain('x-request-id');
  });

  it('another page gets nothing', async () => {
    const preflight = await ask(open, { method: 'OPTIONS', headers: { ...asking, origin: 'https://evil.org' } }).answer;
    expect([preflight.status, corsOf(preflight.headers)]).toEqual([405, []]);
  });
});

describe('with every page named, and no key needed', () => {
  it('a page asks, and reads the answer', async () => {
    await using every = await startRig({ settings: { corsOrigins: ['*'] } });
    const { status, headers } = await ask(every, { headers: { origin: page } }).answer;
    expect([status, headers['access-control-allow-origin']]).toEqual([200, '*']);
  });
});

it.each([
  ['http://localhost:3000', true],
  ['http://LOCALHOST:5173', true],
  ['https://localhost:3000', false],
  ['http://localhost.evil.org:80', false],
  ['app://obsidian.md', true],
  ['app://other.md', false],
  ['vscode-webview://1a2b3c', true],
  ['vscode-webview-x://1a2b3c', false],
  ['null', false],
])('a program at %s is one of those named: %s', (origin, isOne) => {
  const cors = createCors(parseOrigins('http://localhost:*,app://obsidian.md,vscode-webview://*'));
  const granted = cors.headers({ origin })['access-control-allow-origin'];
  expect(granted).toBe(isOne ? origin : undefined);
  expect(cors.preflight({ origin, 'access-control-request-method': 'POST' }) !== null).toBe(isOne);
});

describe('the setting', () => {
  it('takes origins and *', () => {
    expect(parseOrigins('https://a.org, http://localhost:3000,*')).toEqual([
      'https://a.org',
      'http://localhost:3000',
      '*',
    ]);
    expect(parseOrigins('')).toEqual([]);
    const open = 'http://localhost:*,http://[::1]:*,app://obsidian.md,vscode-webview://*';
    expect(parseOrigins(open)).toEqual(open.split(','));
  });

  it.each([
    'a.org',
    'https://a.org/',
    'https://a.org/path',
    'null',
    'https://*.org',
    'https://*',
    'http://a.org:*',
    'app://',
    'app://a/b',
    'app://*.b',
  ])('refuses %s', (value) => {
    expect(() => parseOrigins(value)).toThrow('must be an origin');
  });
});
