// What must hold of a pool after every operation, recomputed from its dump (L1 to L7 of the ledger's design).
import { halfLifeMs } from '@berth/shared/ledger/ledger.ts';
import type { Dump } from './dump.ts';

/** So many waiters that exclude a worker are passed over before its slot is left idle. */
const passedOverMax = 8;

/** The invariants that do not hold, in words; empty when all is well. */
export function broken(dump: Dump): string[] {
  return [leases, tickets, served, orders, index, idle, lines, scores, roster].flatMap((check) => check(dump));
}

const pair = (first: string, second: string): string => `${Buffer.byteLength(first)}:${first}${second}`;

/** The same text for the same items, whatever their order. */
function anyOrder(items: Iterable<unknown>): string {
  return Array.from(items, (item) => JSON.stringify(item))
    .toSorted()
    .join();
}

function say(holds: boolean, what: string): string[] {
  return holds ? [] : [what];
}

/** L1: every held record is one lease of a living worker, and there are no other leases. */
function leases({ records, sorted, workers }: Dump): string[] {
  const held = Object.entries(records).filter(([, r]) => r.state === 'held');
  const listed = Object.entries(sorted).filter(([name]) => name.startsWith('l:'));
  const wrong = held.flatMap(([id, r]) => [
    ...say(
      sorted[`l:${r.worker}`]?.some(([lease]) => lease === id) ?? false,
      `L1 ${id} is not among its worker's leases`,
    ),
    ...say(workers[r.worker]?.epoch === r.epoch, `L1 ${id} is of another life of ${r.worker}`),
  ]);
  const total = listed.reduce((sum, [, entries]) => sum + entries.length, 0);
  return [...wrong, ...say(total === held.length, `L1 ${total} leases for ${held.length} records`)];
}

/** L1 and L4: every waiting record is in each list of tickets once, and the counts agree. */
function tickets({ records, sorted, sets, waiting }: Dump): string[] {
  const waits = Object.entries(records).filter(([, r]) => r.state === 'wait');
  const perKey = new Map<string, number>();
  for (const [, r] of waits) perKey.set(pair(r.team, r.key), (perKey.get(pair(r.team, r.key)) ?? 0) + 1);
  const wrong = waits.flatMap(([id, r]) => [
    ...say(sorted['t']?.some(([ticket, age]) => ticket === id && age === r.age) ?? false, `L1 ${id} is no ticket`),
    ...say(sets[`gt:${r.gateway}`]?.includes(id) ?? false, `L1 ${id} is not its gateway's`),
    ...say(sorted['g']?.some(([gateway]) => gateway === r.gateway) ?? false, `L1 ${id} waits for no session`),
    ...say(
      sorted[`f:${r.class}${pair(r.model, pair(r.team, r.key))}`]?.some(([ticket]) => ticket === id) ?? false,
      `L4 ${id} stands in no line`,
    ),
  ]);
  const count = (begin: string): number =>
    [...Object.entries(sorted), ...Object.entries(sets)]
      .filter(([name]) => name.startsWith(begin))
      .reduce((sum, [, entries]) => sum + entries.length, 0);
  const counts = [sorted['t']?.length ?? 0, count('gt:'), count('f:')];
  return [
    ...wrong,
    ...say(
      counts.every((it) => it === waits.length),
      `L1 ${counts.join(', ')} tickets for ${waits.length} records`,
    ),
    ...say(anyOrder(Object.entries(waiting)) === anyOrder(perKey), `L4 counts per key ${JSON.stringify(waiting)}`),
  ];
}

/** Worker and load of those that a model's index should hold. */
function freeFor(model: string, { workers, sorted }: Dump): [string, number][] {
  return Object.entries(workers).flatMap(([name, worker]): [string, number][] => {
    const used = sorted[`l:${name}`]?.length ?? 0;
    const free = !worker.parked && used < worker.capacity && worker.serves.includes(model);
    return free ? [[name, used / (worker.capacity * worker.weight)]] : [];
  });
}

/** L2: who serves a model is listed under it. */
function served({ workers, sets }: Dump): string[] {
  const should = Object.entries(workers).flatMap(([w, { serves }]) => serves.map((model) => `sv:${model} ${w}`));
  const is = Object.entries(sets).flatMap(([name, all]) =>
    name.startsWith('sv:') ? all.map((w) => `${name} ${w}`) : [],
  );
  return say(anyOrder(is) === anyOrder(should), `L2 served are ${is.join()}, should be ${should.join()}`);
}

/** L15: one order per model and per worker; it ends some time; its model is not there, and its victim gets nothing. */
function orders({ workers, loads, sorted }: Dump): string[] {
  const standing = Object.entries(workers).flatMap(([w, { order, serves }]) => (order ? [{ w, order, serves }] : []));
  const should = standing.map(({ w, order }) => `${order.model} ${w}`);
  const is = Object.entries(loads).map(([model, w]) => `${model} ${w}`);
  return [
    ...say(anyOrder(is) === anyOrder(should), `L15 loads are ${is.join()}, orders ${should.join()}`),
    ...say(
      anyOrder((sorted['o'] ?? []).map(([w]) => w)) === anyOrder(standing.map(({ w }) => w)),
      'L15 an order has no end',
    ),
    ...standing.flatMap(({ w, order, serves }) => [
      ...say(!serves.includes(order.model), `L15 ${w} is to load ${order.model}, which it serves`),
      ...say(!serves.includes(order.victim), `L15 ${w} serves ${order.victim}, which is to go`),
    ]),
  ];
}

/** L2: the index of a model holds exactly the workers that serve it, have a free slot and are not parked. */
function index(dump: Dump): string[] {
  const named = Object.keys(dump.sorted).flatMap((name) => (name.startsWith('i:') ? [name.slice(2)] : []));
  const models = new Set([...named, ...Object.values(dump.workers).flatMap(({ serves }) => serves)]);
  return [...models].flatMap((model) => {
    const is = anyOrder(dump.sorted[`i:${model}`] ?? []);
    const should = anyOrder(freeFor(model, dump));
    return say(is === should, `L2 index of ${model} is ${is}, should be ${should}`);
  });
}

/** L3: no free slot beside a waiter whom it could serve. */
function idle(dump: Dump): string[] {
  const waits = Object.entries(dump.records).filter(([, r]) => r.state === 'wait');
  return waits.flatMap(([id, r]) => {
    const free = freeFor(r.model, dump).map(([worker]) => worker);
    const shunned = (worker: string) => waits.filter(([, other]) => other.exclude.includes(worker)).length;
    const idle = free.filter((worker) => !r.exclude.includes(worker) && shunned(worker) <= passedOverMax);
    return say(idle.length === 0, `L3 ${id} waits for ${r.model} beside free ${idle.join(', ')}`);
  });
}

/** L4: the lists of lines, of keys in them and of teams are those of the tickets. */
function lines({ records, sorted, sets }: Dump): string[] {
  const should = new Map<string, Set<string>>();
  const add = (name: string, member: string) => should.set(name, (should.get(name) ?? new Set()).add(member));
  for (const r of Object.values(records)) {
    if (r.state !== 'wait') continue;
    add(`q:${r.model}`, r.class + r.team);
    add(`k:${r.class}${pair(r.model, r.team)}`, r.key);
    add(`tw:${r.team}`, r.class + r.model);
  }
  const is = [
    ...Object.entries(sorted).map(([name, entries]) => [name, entries.map(([member]) => member)] as const),
    ...Object.entries(sets),
  ].filter(([name]) => /^(q|k|tw):/.test(name));
  const text = (all: Iterable<readonly [string, Iterable<string>]>) =>
    anyOrder(Array.from(all, ([name, members]) => [name, [...members].toSorted()]));
  return say(text(is) === text(should), `L4 lines are ${text(is)}, should be ${text(should)}`);
}

/** L7: the scores are those that usage, age and era give; usage is never below nothing. */
function scores({ meta, records, sorted, usage, weights }: Dump): string[] {
  const inflated = (time: number): number => {
    const x = Math.max(-1000, Math.min(1000, (time - (meta?.era ?? 0)) / halfLifeMs));
    return 2 ** Math.floor(x) * (1 + x - Math.floor(x));
  };
  const wrong = Object.values(records).flatMap((r) => {
    if (r.state !== 'wait') return [];
    const headAge = (key: string) => sorted[`f:${r.class}${pair(r.model, pair(r.team, key))}`]?.[0]?.[1] ?? NaN;
    const keys = sorted[`k:${r.class}${pair(r.model, r.team)}`] ?? [];
    const keyScore = (usage[`k${pair(r.team, r.key)}`] ?? 0) + inflated(headAge(r.key));
    const used = (usage[`t${r.team}`] ?? 0) + inflated(headAge(keys[0]?.[0] ?? ''));
    const teamScore = (used / (weights[r.team] ?? 1)) * 4 ** Number(r.class);
    const isKey = keys.find(([key]) => key === r.key)?.[1];
    const isTeam = sorted[`q:${r.model}`]?.find(([team]) => team === r.class + r.team)?.[1];
    return [
      ...say(isKey === keyScore, `L7 score of ${r.team}'s key ${r.key} is ${isKey}, should be ${keyScore}`),
      ...say(isTeam === teamScore, `L7 score of team ${r.team} is ${isTeam}, should be ${teamScore}`),
    ];
  });
  const charged = (sorted['ua'] ?? []).map(([entry]) => entry).toSorted();
  return [
    ...wrong,
    ...Object.entries(usage).flatMap(([entry, used]) => say(used > 0, `L7 usage of ${entry} is ${used}`)),
    ...say(
      JSON.stringify(charged) === JSON.stringify(Object.keys(usage).toSorted()),
      `L7 charged are ${charged.join()}`,
    ),
  ];
}

/** Every worker has a deadline and a place in the roster; whoever is gone has neither. */
function roster({ workers, sorted, meta }: Dump): string[] {
  const names = JSON.stringify(Object.keys(workers).toSorted());
  const of = (name: string) => JSON.stringify((sorted[name] ?? []).map(([worker]) => worker).toSorted());
  const versions = [...(sorted['ro'] ?? []), ...(sorted['rg'] ?? [])].map(([, version]) => version);
  return [
    ...say(of('s') === names, `workers ${names} have deadlines ${of('s')}`),
    ...say(of('ro') === names, `workers ${names} are ${of('ro')} in the roster`),
    ...(sorted['rg'] ?? []).flatMap(([worker]) => say(!(worker in workers), `${worker} is gone and here`)),
    ...say(
      versions.every((version) => version <= (meta?.version ?? 0)),
      'a change is newer than the roster',
    ),
    ...say(new Set(versions).size === versions.length, 'two changes have one version'),
  ];
}
