// One seed: from the first request until all is quiet again.
import type { Random } from '@berth/shared/random.ts';
import { commandsOf } from '../../gateway/ledger/pool.ts';
import { chanceFrom, type Chance } from '../models/chance.ts';
import { createEvents, type Events } from './events.ts';
import type { Work } from './load.ts';
import { createNetwork } from './network.ts';
import { createOracle, type Oracle, type Story, type Waited } from './oracle.ts';
import { drawPlan, type Plan } from './plan.ts';
import { createPool, type SimPool } from './pool.ts';
import { createLedgerServer, type LedgerServer } from './server.ts';
import { createWire } from './wire.ts';

export interface Report {
  seed: number;
  events: number;
  /** Virtual milliseconds. */
  tookMs: number;
  /** Over everything that happened, in its order. */
  hash: string;
  failures: readonly string[];
  counts: ReadonlyMap<string, number>;
  stories: readonly Story[];
  waits: readonly Waited[];
}

/** Nothing may take longer than this to end, once all is calm. */
const endMs = 120_000;
/** Eight beats: longer than any bound. */
const quietMs = 8_000;
/** Until the pool has found together, and after the last fault. */
const settleMs = 1_000;
const calmMs = 2_000;
const lookEveryMs = 200;
const probes = 12;

export async function runSeed(seed: number, trace?: (line: string) => void): Promise<Report> {
  return await runPlan(seed, drawPlan(seed), trace);
}

/** @param trace is told of everything that happens */
export async function runPlan(seed: number, plan: Plan, trace?: (line: string) => void): Promise<Report> {
  const world = createWorld(seed, plan, trace);
  const { events, oracle, pool } = world;
  pool.start();
  await events.run(settleMs);
  keepLooking(world);
  await runLoad(world, plan);
  pool.heal();
  await events.run(events.nowMs + endMs, () => allEnded(world, plan));
  for (const { work } of openStories(oracle)) oracle.fail(`I3 ${work.id} never ended`);
  await events.run(events.nowMs + quietMs);
  lookAtTheEnd(world);
  await probe(world, plan);
  return {
    seed,
    events: events.count,
    tookMs: events.nowMs,
    hash: oracle.hash(),
    failures: oracle.failures,
    counts: oracle.counts,
    stories: [...oracle.stories.values()],
    waits: oracle.waits,
  };
}

interface World {
  events: Events;
  oracle: Oracle;
  server: LedgerServer;
  pool: SimPool;
}

function createWorld(seed: number, plan: Plan, trace?: (line: string) => void): World {
  const events = createEvents();
  const chance = chanceFrom(seed ^ 0x5eed);
  const random = randomFrom(chance);
  const oracle = createOracle(events, trace);
  const network = createNetwork(events, chance);
  const wire = createWire({ events, network, onSent: oracle.sent });
  const server = createLedgerServer({ events, network, chance, watch: oracle.watch });
  const pool = createPool({ plan, events, chance, random, oracle, network, wire, server });
  return { events, oracle, server, pool };
}

function keepLooking(world: World): void {
  const { events, oracle, server, pool } = world;
  oracle.look(server, pool.past.gateways, pool.past.workers);
  events.after(lookEveryMs, () => keepLooking(world));
}

async function runLoad({ events, pool }: World, { load, faults }: Plan): Promise<void> {
  for (const work of load) events.after(work.atMs, () => pool.ask(work));
  for (const fault of faults) events.after(fault.atMs, () => pool.strike(fault));
  const lastMs = [...load, ...faults].reduce((last, { atMs }) => Math.max(last, atMs), 0);
  await events.run(settleMs + lastMs + calmMs);
}

function openStories({ stories }: Oracle): Story[] {
  return [...stories.values()].filter(({ endings }) => endings.length === 0);
}

/** A worker may go on for a gateway whose host has vanished. */
function allEnded({ oracle, pool }: World, { load }: Plan): boolean {
  if (oracle.stories.size < load.length || oracle.open > 0) return false;
  return pool.workers.every(({ guard }) => guard.used() === 0);
}

/** L8, L9: nobody asks, so nobody runs, holds or waits. */
function lookAtTheEnd({ oracle, server, pool }: World): void {
  const expectNone = (what: string, names: readonly string[] | number): void => {
    if (typeof names === 'number' ? names > 0 : names.length > 0) oracle.fail(`at the end ${what}: ${String(names)}`);
  };
  const redis = commandsOf(server.pool);
  for (const { guard, settings } of pool.workers) {
    expectNone(`${settings.id} runs`, guard.used());
    expectNone(`L8 ${settings.id} holds`, redis.all(`l:${settings.id}`));
    if (!server.pool.workers.has(settings.id)) oracle.fail(`at the end ${settings.id} is not in the ledger`);
  }
  expectNone('L9 there are tickets', redis.all('t'));
  expectNone('there are records', server.pool.records.size);
  for (const gateway of pool.gateways) {
    if (gateway === null) oracle.fail('at the end a gateway is missing');
    expectNone('a gateway waits for', gateway?.room.all().map(({ id }) => id) ?? []);
    expectNone('inside a gateway are', gateway?.door.inside ?? 0);
    if (gateway?.ledger.degraded) oracle.fail(`at the end ${gateway.life.name} is degraded`);
  }
}

/** A few requests more: all end well, at once. */
async function probe({ events, oracle, pool }: World, { workers }: Plan): Promise<void> {
  const model = workers[0]?.serves[0] ?? '';
  for (let at = 0; at < probes; at++) {
    events.after(at * 100, () => pool.ask({ ...calmWork, id: `probe-${at}`, model }));
  }
  await events.run(events.nowMs + 5_000);
  const asked = [...oracle.stories.values()].filter(({ work }) => work.id.startsWith('probe-'));
  if (asked.length < probes) oracle.fail(`only ${asked.length} probes were taken`);
  for (const { work, endings } of asked) {
    if (endings.join() !== 'ok') oracle.fail(`${work.id} ended ${endings.join() || 'never'}`);
  }
}

const calmWork: Work = {
  id: '',
  atMs: 0,
  model: '',
  team: 'probe',
  key: 'probe',
  priority: 1,
  stream: true,
  bytes: 100,
  silenceMs: 10,
  pieces: 2,
  pieceMs: 10,
  patienceMs: null,
  abortMs: null,
  stallMs: null,
  poison: false,
};

/** Ids and jitter of the processes, from the seed. */
function randomFrom(chance: Chance): Random {
  const half = () =>
    Math.floor(chance.unit() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return { id: () => half() + half(), integer: (below) => Math.floor(chance.unit() * below) };
}
