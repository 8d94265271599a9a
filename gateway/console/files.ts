// The files of the console's page, as they lie beside this one: read once at the start, served with a strict policy.
import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Exchange, Route } from '../http.ts';

const folder = join(import.meta.dirname, 'page');

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/**
 * Nothing but what this gateway itself serves, no script or style inside of the page, no text that becomes markup.
 * The page holds no data: what it shows it has to ask for, with a session or through an open door.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const guarded = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  // Asked each time, answered without the file when it is the same: a new version is seen at once.
  'cache-control': 'no-cache',
};

export async function fileRoutes(): Promise<Route[]> {
  const names = (await readdir(folder)).filter((name) => extname(name) in types);
  const routes = await Promise.all(names.map(async (name) => routesOf(name, await readFile(join(folder, name)))));
  const toPage = ({ reply }: Exchange) => reply.nothing({ location: '/console' }, 308);
  return [...routes.flat(), { ...open, method: 'GET', path: '/console/', handle: toPage }];
}

const open = { scope: 'public', dialect: openai } as const;

function routesOf(name: string, bytes: Buffer): Route[] {
  const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`;
  const path = name === 'index.html' ? '/console' : `/console/${name}`;
  const head = { ...guarded, 'content-type': types[extname(name)] ?? '', 'content-length': String(bytes.length), etag };
  const handle = ({ request, reply }: Exchange) => {
    if (request.headers['if-none-match']?.includes(etag)) return reply.nothing({ ...guarded, etag }, 304);
    reply.head(head);
    if (request.method !== 'HEAD') reply.write(bytes);
    reply.end();
  };
  return (['GET', 'HEAD'] as const).map((method) => ({ ...open, method, path, handle }));
}
