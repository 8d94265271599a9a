// Keys for administrators: make, list, replace, revoke, take out and bring back.
import { goDurationMs } from '@berth/shared/config.ts';
import { fieldsOf, refuse, text } from '@berth/shared/dialects/check.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { readBody } from '../http.ts';
import type { Exchange, Route } from '../http.ts';
import { keysMax } from '../policy/book.ts';
import type { KeyBook } from '../policy/book.ts';
import { showKey, writeKey } from '../policy/key.ts';
import type { Caller } from '../policy/key.ts';

interface Options {
  book: KeyBook;
  log: Log;
}

const keyBytesMax = 64 * 1_024;
const exportBytesMax = 16 * 1024 ** 2;
const overlapMsMax = 30 * 24 * 3_600_000;

export function keyRoutes({ book, log }: Options): Route[] {
  const admin = { scope: 'admin', dialect: openai } as const;
  const say = (what: string, key: string, by: Caller) => log.warn(`a key was ${what}`, { key, by: by.id });

  const create = async (exchange: Exchange) => {
    const { key, secret } = await book.create(parseJson(await readBody(exchange, keyBytesMax)), exchange.owner);
    say('made', key.id, exchange.owner);
    // Shown once: only its digest is kept.
    exchange.reply.json(201, JSON.stringify({ ...showKey(key), secret }), noStore);
  };
  const list = ({ reply }: Exchange) => reply.json(200, JSON.stringify({ keys: book.list().map(showKey) }), noStore);
  const revoke = async ({ reply, rest, owner }: Exchange) => {
    const key = await book.revoke(rest, owner);
    say('revoked', key.id, owner);
    reply.json(200, JSON.stringify(showKey(key)), noStore);
  };
  const rotate = async (exchange: Exchange) => {
    const [, id = ''] = /^([^/]*)\/rotate$/.exec(exchange.rest) ?? [];
    if (id === '') throw new Refusal('route_not_found', 'a key can only be rotated: POST /admin/keys/ID/rotate');
    const overlapMs = overlapOf(await readBody(exchange, keyBytesMax));
    const { key, secret } = await book.rotate(id, overlapMs, exchange.owner);
    say('rotated', key.id, exchange.owner);
    exchange.reply.json(200, JSON.stringify({ ...showKey(key), secret }), noStore);
  };
  const exported = ({ reply, owner }: Exchange) => {
    say('exported', 'all', owner);
    reply.json(200, JSON.stringify({ berthKeys: 1, keys: book.list().map(writeKey) }), noStore);
  };
  const imported = async (exchange: Exchange) => {
    const body = fieldsOf(parseJson(await readBody(exchange, exportBytesMax)), '');
    const keys = body.required('keys', (value, path) =>
      Array.isArray(value) && value.length <= keysMax ? (value as unknown[]) : refuse(path, 'must be a list of keys'),
    );
    const changed = await book.import(keys, exchange.owner);
    say('imported', `${changed} keys`, exchange.owner);
    exchange.reply.json(200, JSON.stringify({ changed }), noStore);
  };

  return [
    { ...admin, method: 'GET', path: '/admin/keys', handle: list },
    { ...admin, method: 'POST', path: '/admin/keys', handle: create },
    { ...admin, method: 'GET', path: '/admin/export', handle: exported },
    { ...admin, method: 'POST', path: '/admin/import', handle: imported },
    { ...admin, method: 'DELETE', path: '/admin/keys/*', handle: revoke },
    { ...admin, method: 'POST', path: '/admin/keys/*', handle: rotate },
  ];
}

const noStore = { 'cache-control': 'no-store' };

/** How long the old secret is still taken: `{"overlap":"1h"}`; no body or none = not at all. */
function overlapOf(body: Buffer): number {
  if (body.length === 0) return 0;
  const asked = fieldsOf(parseJson(body), '').optional('overlap', text);
  const ms = asked === null ? 0 : goDurationMs(asked);
  return ms >= 0 && ms <= overlapMsMax ? ms : refuse('overlap', 'must be a duration such as 1h, at most 720h');
}
