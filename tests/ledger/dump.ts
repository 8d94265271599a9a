// Everything that a pool holds, in one form for both implementations, with names and scores sorted.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareBytes } from '@berth/shared/ledger/order.ts';
import type { Redis } from '@berth/shared/redis.ts';
import type { LedgerRecord, Pool, WorkerRecord } from '../../gateway/ledger/pool.ts';

export interface Dump {
  meta: { era: number; birth: number; kept: number; version: number } | null;
  records: Record<string, LedgerRecord>;
  workers: Record<string, Omit<WorkerRecord, 'suspects'> & { suspects: Record<string, number> }>;
  /** In their order, with scores. */
  sorted: Record<string, [member: string, score: number][]>;
  sets: Record<string, string[]>;
  loads: Record<string, string>;
  waiting: Record<string, number>;
  usage: Record<string, number>;
  weights: Record<string, number>;
  counts: Record<string, number>;
}

export function dumpPool(pool: Pool): Dump {
  const { era, birth, kept, version } = pool;
  return canonical({
    meta: era === null ? null : { era, birth, kept, version },
    records: Object.fromEntries(pool.records),
    workers: Object.fromEntries(
      Array.from(pool.workers, ([w, worker]) => [w, { ...worker, suspects: Object.fromEntries(worker.suspects) }]),
    ),
    sorted: Object.fromEntries(
      Array.from(pool.sorted, ([name, set]) => [name, set.entries().map(({ member, score }) => [member, score])]),
    ),
    sets: Object.fromEntries(Array.from(pool.sets, ([name, set]) => [name, [...set]])),
    loads: Object.fromEntries(pool.loads),
    waiting: Object.fromEntries(pool.waiting),
    usage: Object.fromEntries(pool.usage),
    weights: Object.fromEntries(pool.weights),
    counts: Object.fromEntries(pool.counts),
  });
}

const lua = readFileSync(join(import.meta.dirname, 'dump.lua'), 'utf8');

export async function dumpRedis(redis: Redis, prefix: string): Promise<Dump> {
  const empty = {
    records: {},
    workers: {},
    sorted: {},
    sets: {},
    loads: {},
    waiting: {},
    usage: {},
    weights: {},
    counts: {},
  };
  const dump: Dump = { meta: null, ...empty };
  for (const row of rows(await redis.command('EVAL', lua, 1, prefix))) read(row, dump);
  return canonical(dump);
}

function read([kind = '', name = '', ...rest]: string[], dump: Dump): void {
  const fields = new Map(Array.from({ length: rest.length / 2 }, (_, i) => [rest[2 * i] ?? '', rest[2 * i + 1] ?? '']));
  const text = (field: string): string => fields.get(field) ?? '';
  const number = (field: string): number => Number(fields.get(field) ?? 0);
  const numbers = (): Record<string, number> => Object.fromEntries(Array.from(fields, ([k, v]) => [k, Number(v)]));
  if (kind === 'zset') dump.sorted[name] = Array.from(fields, ([member, score]) => [member, toScore(score)]);
  else if (kind === 'set') dump.sets[name] = rest;
  else if (kind === 'record') {
    dump.records[name] = {
      state: text('state') === 'held' ? 'held' : 'wait',
      model: text('model'),
      class: text('class'),
      team: text('team'),
      key: text('key'),
      gateway: text('gateway'),
      cost: number('cost'),
      age: number('age'),
      since: number('since'),
      exclude: names(text('exclude')),
      worker: text('worker'),
      epoch: text('epoch'),
    };
  } else if (kind === 'worker') {
    const suspects: unknown = JSON.parse(text('suspects') || '{}');
    dump.workers[name] = {
      epoch: text('epoch'),
      capacity: number('capacity'),
      weight: number('weight'),
      serves: names(text('serves')),
      order: JSON.parse(text('order') || 'null') as WorkerRecord['order'],
      parked: fields.has('parked'),
      announcement: text('announcement'),
      suspects: Object.fromEntries(Object.entries(suspects ?? {}).map(([id, since]) => [id, Number(since)])),
    };
  } else if (kind === 'hash' && name === 'm') {
    dump.meta = { era: number('era'), birth: number('birth'), kept: number('kept'), version: number('version') };
  } else if (kind === 'hash' && name === 'n') dump.waiting = numbers();
  else if (kind === 'hash' && name === 'ld') dump.loads = Object.fromEntries(fields);
  else if (kind === 'hash' && name === 'u') dump.usage = numbers();
  else if (kind === 'hash' && name === 'wt') dump.weights = numbers();
  else if (kind === 'hash' && name === 'ct') dump.counts = numbers();
  else throw new Error(`a key that nobody knows: ${kind} ${name}`);
}

/** Redis writes the infinite as `inf`. */
function toScore(text: string): number {
  return text === 'inf' ? Infinity : Number(text);
}

function names(json: string): string[] {
  const parsed: unknown = JSON.parse(json || 'null');
  return Array.isArray(parsed) ? parsed.map(String) : [];
}

function rows(reply: unknown): string[][] {
  if (!Array.isArray(reply)) throw new TypeError('no rows');
  return reply.map((row: unknown) => (Array.isArray(row) ? row.map(String) : []));
}

/** The same content always looks the same. */
function canonical(dump: Dump): Dump {
  return {
    ...dump,
    records: byKey(dump.records),
    workers: byKey(dump.workers),
    sorted: byKey(dump.sorted),
    sets: byKey(Object.fromEntries(Object.entries(dump.sets).map(([name, set]) => [name, set.toSorted(compareBytes)]))),
    loads: byKey(dump.loads),
    waiting: byKey(dump.waiting),
    usage: byKey(dump.usage),
    weights: byKey(dump.weights),
    counts: byKey(dump.counts),
  };
}

function byKey<Value>(record: Record<string, Value>): Record<string, Value> {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => compareBytes(a, b)));
}
