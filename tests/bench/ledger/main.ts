// `npm run bench:ledger`: what the ledger costs in Redis as the pool grows, and how fast a freed slot is handed on.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import type { Grant, Ledger } from '@berth/shared/ledger/ledger.ts';
import { connectRedis } from '@berth/shared/redis.ts';
import type { Redis } from '@berth/shared/redis.ts';
import { aBeat, aClaim, aLeave, anId, aSession, aTake, running } from '../../ledger/inputs.ts';
import { startRedis } from '../../tools/redis.ts';
import { insert } from '../gateway/report.ts';
import { lookAround } from '../gateway/machine.ts';

const poolSizes = [10, 100, 1_000, 10_000];
const models = 20;
const servedByEach = 3;
const slotsOfEach = 4;
const pairs = 2_000;
const rounds = 3;
/** Releases per second while the hand-off is timed, and for how long. */
const handoff = { perS: 200, seconds: 10, waiting: 64 };

interface Cost {
  workers: number;
  takeUs: number;
  leaveUs: number;
  beatUs: number;
  sessionUs: number;
  claimUs: number;
  pairsPerS: number;
}

/** Microseconds of Redis's own time per script call since the last reset. */
async function usPerScript(redis: Redis): Promise<number> {
  const text = String(await redis.command('INFO', 'commandstats'));
  return Number(/cmdstat_evalsha:.*usec_per_call=([\d.]+)/.exec(text)?.[1] ?? Number.NaN);
}

const resetStats = (redis: Redis) => redis.command('CONFIG', 'RESETSTAT');
const modelOf = (index: number) => `model-${index % models}`;

async function each<T>(items: readonly T[], act: (item: T) => Promise<unknown>, atOnce = 16): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const item of queue) await act(item);
    }),
  );
}

/** Half of all slots are taken before anything is measured; time stands still, so that no worker dies meanwhile. */
async function costAt(workers: number, redis: Redis): Promise<Cost> {
  const ledger = await createRedisLedger({ redis, pool: `cost-${workers}`, now: () => 1_000_000 });
  const ids = Array.from({ length: workers }, (_, index) => index);
  const beat = (index: number) =>
    ledger.beat(
      aBeat({
        worker: `w${index}`,
        boot: false,
        capacity: slotsOfEach,
        serves: Array.from({ length: servedByEach }, (_, k) => modelOf(index + k)),
      }),
    );
  await each(ids, beat);
  await each(
    Array.from({ length: workers * 2 }, (_, index) => index),
    (index) => ledger.take(aTake({ model: modelOf(index), waitingMax: 0 })),
  );
  const leases = Array.from({ length: Math.min(pairs, workers) }, () => anId());
  const startedMs = performance.now();
  await resetStats(redis);
  await each(leases, (id) => ledger.take(aTake({ id, model: modelOf(Number(id.slice(3))), waitingMax: 0 })));
  const takeUs = await usPerScript(redis);
  await resetStats(redis);
  await each(leases, (id) => ledger.leave(aLeave(id, { actual: 1 })));
  const leaveUs = await usPerScript(redis);
  const pairsPerS = leases.length / ((performance.now() - startedMs) / 1_000);
  await resetStats(redis);
  await each(ids.slice(0, 200), beat);
  const beatUs = await usPerScript(redis);
  // Of a gateway that is up to date, with ten tickets.
  const tickets = Array.from({ length: 10 }, () => anId());
  await each(tickets, (id) => ledger.take(aTake({ id, model: 'nobody serves it' })));
  const { version } = (await ledger.session(aSession({ tickets }))).roster;
  await resetStats(redis);
  for (let turn = 0; turn < 200; turn += 1) await ledger.session(aSession({ tickets, rosterVersion: version }));
  const sessionUs = await usPerScript(redis);
  // Each worker is told to load a model that nobody has, in the place of one that it serves.
  const claims = ids
    .slice(0, 200)
    .map((index) => aClaim({ worker: `w${index}`, model: `cold-${index}`, victim: modelOf(index) }));
  await resetStats(redis);
  const claimed = await Promise.all(claims.map((claim) => ledger.claim(claim)));
  if (claimed.some((answer) => answer !== 'ordered')) throw new Error(`a claim was answered ${claimed.join()}`);
  const claimUs = await usPerScript(redis);
  await redis.command('FLUSHALL');
  return { workers, takeUs, leaveUs, beatUs, sessionUs, claimUs, pairsPerS };
}

interface Handoff {
  p50Ms: number;
  p99Ms: number;
  handedOn: number;
  redisShare: number;
}

/** A full worker, a line of waiters of another gateway, and releases at a steady rate: from the call to the push. */
async function timeHandoff(releasing: Ledger, waiting: Ledger, redisPid: number): Promise<Handoff> {
  const tookMs: number[] = [];
  let next: { atMs: number; lease: string } | null = null;
  const held: string[] = [];
  const tickets = new Set<string>();
  await waiting.listen('g2', (grant: Grant) => {
    if (next) tookMs.push(performance.now() - next.atMs);
    held.push(grant.id);
    tickets.delete(grant.id);
  });
  await releasing.beat(aBeat({ capacity: slotsOfEach }));
  for (let taken = 0; taken < slotsOfEach; taken += 1) {
    const id = anId();
    await releasing.take(aTake({ id }));
    held.push(id);
  }
  const enqueue = () => {
    const ticket = aTake({ gateway: 'g2' });
    tickets.add(ticket.id);
    return waiting.take(ticket);
  };
  for (let tickets = 0; tickets < handoff.waiting; tickets += 1) await enqueue();

  const startedTicks = await cpuTicks(redisPid);
  const startedMs = performance.now();
  for (let turn = 0; turn < handoff.perS * handoff.seconds; turn += 1) {
    await sleep(Math.max(0, startedMs + (turn * 1_000) / handoff.perS - performance.now()));
    const lease = held.shift();
    if (lease === undefined) continue;
    next = { atMs: performance.now(), lease };
    await releasing.leave(aLeave(lease, { actual: 1 }));
    await enqueue();
    if (turn % handoff.perS !== 0) continue;
    // A gateway that is silent for 3 s loses its tickets.
    await waiting.session(aSession({ gateway: 'g2', tickets: [...tickets] }));

    await releasing.beat(aBeat({ capacity: slotsOfEach, running: held.map((id) => running(id)) }));
  }
  const cpuS = ((await cpuTicks(redisPid)) - startedTicks) / ticksPerS;
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
  const seconds = (performance.now() - startedMs) / 1_000;
  return { p50Ms: at(0.5), p99Ms: at(0.99), handedOn: sorted.length, redisShare: cpuS / seconds };
}

/** `getconf CLK_TCK` on Linux. */
const ticksPerS = 100;

async function cpuTicks(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function medianCost(costs: readonly Cost[]): Cost {
  const of = (key: keyof Cost) => median(costs.map((cost) => cost[key]));
  return {
    workers: of('workers'),
    takeUs: of('takeUs'),
    leaveUs: of('leaveUs'),
    beatUs: of('beatUs'),
    sessionUs: of('sessionUs'),
    claimUs: of('claimUs'),
    pairsPerS: of('pairsPerS'),
  };
}

function render(costs: readonly Cost[], times: Handoff, about: string): string {
  const rows = costs.map(
    ({ workers, takeUs, leaveUs, beatUs, sessionUs, claimUs, pairsPerS }) =>
      `| ${[workers, takeUs, leaveUs, beatUs, sessionUs, claimUs, pairsPerS].map((value) => value.toFixed(0)).join(' | ')} |`,
  );
  return [
    `\`npm run bench:ledger\`, ${about}. Medians of ${rounds} interleaved rounds; ${models} models, ${servedByEach} on each worker, half of the slots taken, 16 calls at once from one process.`,
    '',
    'µs in Redis of each of the five operations; a `session` asks for ten tickets, a `claim` is ordered and has a victim.',
    '',
    '| workers | `take` | `leave` | `beat` | `session` | `claim` | take + leave pairs/s |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
    `Hand-off, from the call of \`leave\` to the push at the next waiter's gateway, at ${handoff.perS} releases/s with ${handoff.waiting} waiting: ` +
      `p50 ${times.p50Ms.toFixed(2)} ms, p99 ${times.p99Ms.toFixed(2)} ms over ${times.handedOn} hand-offs, Redis at ${(times.redisShare * 100).toFixed(0)} % of a core.`,
  ].join('\n');
}

async function main(): Promise<void> {
  await using server = await startRedis();
  await using redis = await connectRedis({ url: server.url, commandMs: 5_000 });
  await using other = await connectRedis({ url: server.url, commandMs: 5_000 });
  const measured = new Map<number, Cost[]>();
  for (let round = 0; round < rounds; round += 1) {
    for (const workers of poolSizes) {
      measured.set(workers, [...(measured.get(workers) ?? []), await costAt(workers, redis)]);
    }
  }
  const pool = 'handoff';
  const times = await timeHandoff(
    await createRedisLedger({ redis, pool }),
    await createRedisLedger({ redis: other, pool }),
    server.pid,
  );
  const costs = [...measured.values()].map(medianCost);
  const report = render(costs, times, await about());
  console.log(report);
  const path = join(import.meta.dirname, '../../../BENCHMARKS.md');
  await writeFile(path, insert(await readFile(path, 'utf8'), report, 'bench:ledger'));
}

async function about(): Promise<string> {
  const { date, commit, processor, processors, versions, loadAtStart } = await lookAround();
  const when = date.slice(0, 16).replace('T', ' ');
  const load = `load average ${loadAtStart.toFixed(1)} at the start`;
  return `${when} UTC at commit \`${commit}\` on ${processors} × ${processor}, ioredis ${versions['ioredis'] ?? ''}, ${load}`;
}

await main();
