// Two hundred ways to write the same path: none of them opens a route to whoever may not use it.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { locked, make } from '../policy/calls.ts';
import { chat, raw, wire } from '../rig.ts';
import type { Rig } from '../rig.ts';

let rig: Rig;
let reader = '';
beforeAll(async () => {
  rig = await locked();
  ({ secret: reader } = await make(rig, { scopes: ['models:read'] }));
});
afterAll(() => rig[Symbol.asyncDispose]());

const hex = (character: string) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
const shut = ['/v1/chat/completions', '/api/chat', '/admin/keys', '/metrics', '/internal/beat'] as const;

/** Every way that a proxy, a cache or a framework has been known to read as `path`. */
function spellings(path: string): string[] {
  const [, first = ''] = path.split('/');
  const rest = path.slice(first.length + 1);
  const letters = Array.from(path, (character, at) => path.slice(0, at) + hex(character) + path.slice(at + 1));
  const slashes = ['%2f', '%2F', '%5c', '\\', '//', '/./', '/x/../', '/%2e/', '/x/%2e%2e/', '%252f', '/;/', '/.;/'];
  const ends = [
    '/',
    '//',
    '/.',
    '/..;/',
    '%00',
    '%20',
    '%23',
    ';',
    ';a=b',
    '.json',
    '?',
    '?x=/livez',
    '%3f',
    '/*',
    '~',
    ' ',
  ];
  const starts = [
    '/.',
    '//',
    '/x/..',
    '/./',
    '/livez/..',
    '/livez/../',
    '/v1/models/..',
    '/v1/models/%2e%2e',
    '/%2e%2e',
  ];
  return [
    path,
    ...letters,
    ...slashes.map((slash) => `/${first}${slash}${rest.slice(1)}`),
    ...ends.map((end) => path + end),
    ...starts.map((start) => start + path),
    `http://berth${path}`,
    `http://evil.example${path}`,
    path.toUpperCase(),
    path.replaceAll('a', '%c0%a1'),
    path.replaceAll('/', '／'),
  ];
}

const all = shut.flatMap((path) => spellings(path).map((spelling) => [path, spelling] as const));

it(`${all.length} spellings of ${shut.length} paths, with no key and with one of another scope`, async () => {
  const wrong: string[] = [];
  const before = [rig.takes.length, rig.worker.seen.length];
  for (const [path, spelling] of all) {
    for (const key of [null, reader]) {
      const method = path === '/metrics' ? 'GET' : 'POST';
      const headers = { connection: 'close', ...(key !== null && { authorization: `Bearer ${key}` }) };
      const { text } = await raw(rig, wire(method === 'GET' ? '' : chat(), headers, `${method} ${spelling} HTTP/1.1`));
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
      if (!(status === 0 || (status >= 400 && status < 500))) wrong.push(`${spelling} with ${key}: ${status}`);
    }
  }
  expect(wrong).toEqual([]);
  expect([rig.takes.length, rig.worker.seen.length]).toEqual(before);
  expect(rig.book.list().length).toBe(1);
  expect(all.length).toBeGreaterThan(200);
});
