// One seed: a pool of gateways and workers, its load and its faults, from the first request until all is quiet again.
import type { Random } from '@berth/shared/random.ts';
import { commandsOf } from '../../gateway/ledger/pool.ts';
import { chanceFrom, type Chance } from '../models/chance.ts';
import { createEvents } from './events.ts';
import { drawFaults, type TimedFault } from './faults.ts';
import { createSimGateway, type GatewayLimits, type SimGateway } from './gateway.ts';
import { drawLoad, type Work } from './load.ts';
import { createNetwork } from './network.ts';
import { createOracle, type Story, type Waited } from './oracle.ts';
import { createLedgerServer, latestMs } from './server.ts';
import { createSimWorker, type SimWorker, type WorkerSettings } from './worker.ts';
import { createWire } from './wire.ts';

export interface Plan {
  gateways: number;
  workers: WorkerSettings[];
  limits: GatewayLimits;
  load: Work[];
  faults: TimedFault[];
  /** Of teams, as an operator would set them in the ledger. */
  weights?: Record<string, number>;
}

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
const lookEveryMs = 200;
/** A client whose gateway is away tries the next, as behind a load balancer. */
const probes = 12;

/** A pool, a load and at least three faults, all from the seed. */
function drawPlan(seed: number): Plan {
  const chance = chanceFrom(seed);
  const overMs = chance.between(8_000, 16_000);
  const models = ['small', 'large', 'rare'].slice(0, chance.between(1, 3));
  const gateways = chance.between(3, 4);
  const workers = Array.from({ length: chance.between(2, 5) }, (_, at) => ({
    id: `w${at + 1}`,
    slots: chance.between(1, 4),
    // The first serves everything, so that no model is nobody's.
    serves: at === 0 ? models : chance.some(models, chance.between(1, models.length)),
    slowness: chance.happens(0.2) ? 3 : 1,
  }));
  const slots = workers.reduce((sum, worker) => sum + worker.slots, 0);
  const jobs = chance.between(200, 240);
  const load = chance.pick([0.4, 0.8, 1.2, 2]);
  const limits = {
    waitingMax: chance.pick([4, 16, 512]),
    waitingPerKeyMax: chance.pick([8, 128]),
    queueTimeoutMs: chance.pick([2_000, 20_000]),
  };
  const meanMs = (load * slots * overMs) / jobs;
  const faults = chance.between(3, 7);
  return {
    gateways,
    workers,
    limits,
    load: drawLoad(chance, { jobs, overMs, models, meanMs, teams: chance.between(1, 4) }),
    faults: drawFaults(chance, { faults, gateways, workers: workers.length, overMs }),
  };
}

export async function runSeed(seed: number, trace?: (line: string) => void): Promise<Report> {
  return await runPlan(seed, drawPlan(seed), trace);
}

export async function runPlan(seed: number, plan: Plan, trace?: (line: string) => void): Promise<Report> {
  const events = createEvents();
  const chance = chanceFrom(seed ^ 0x5eed);
  const random = randomFrom(chance);
  const oracle = createOracle(events, trace);
  const network = createNetwork(events, chance);
  const wire = createWire({ events, network, onSent: oracle.sent });
  const server = createLedgerServer({ events, network, chance, watch: oracle.watch });
  const works = new Map(plan.load.map((work) => [work.id, work]));
  /** Now alive at each place; the dead are kept for the oracle. */
  const gateways: (SimGateway | null)[] = [];
  const workers: SimWorker[] = [];
  const past: { gateways: SimGateway[]; workers: SimWorker[] } = { gateways: [], workers: [] };
  const ends = new Set<() => void>();
  let healed = false;

  function startWorker(at: number): void {
    const settings = plan.workers[at];
    if (settings === undefined) return;
    const worker = createSimWorker({ events, wire, server, oracle, random, work, onDeath }, settings);
    oracle.note(`${settings.id} starts as ${worker.epoch}`);
    workers[at] = worker;
    past.workers.push(worker);
  }

  function work(jobId: string): Work {
    const found = works.get(jobId);
    if (found === undefined) throw new Error(`no work for ${jobId}`);
    return found;
  }

  function killWorker(at: number, heard: boolean, backAfterMs: number): void {
    const worker = workers[at];
    if (!worker?.life.alive) return;
    worker.kill(heard);
    revive(() => startWorker(at), backAfterMs);
  }

  function onDeath(worker: SimWorker): void {
    killWorker(workers.indexOf(worker), true, 1_000);
  }

  /** Later, or as soon as the faults are over. */
  function revive(action: () => void, afterMs: number): void {
    const now = (): void => {
      ends.delete(now);
      planned[Symbol.dispose]();
      action();
    };
    const planned = events.after(healed ? 0 : afterMs, now);
    ends.add(now);
  }

  /** As a supervisor: again and again, until its ledger is there. */
  async function startGateway(at: number): Promise<void> {
    gateways[at] = null;
    const name = `g${at + 1}.${past.gateways.length}`;
    try {
      const parts = { events, wire, server, oracle, random, limits: plan.limits };
      const gateway = await createSimGateway(parts, name);
      oracle.note(`${name} starts as ${gateway.id}`);
      gateways[at] = gateway;
      past.gateways.push(gateway);
    } catch (error) {
      oracle.note(`${name} does not start: ${String(error)}`);
      events.after(500, () => void startGateway(at));
    }
  }

  function killGateway(at: number, heard: boolean, backAfterMs: number): void {
    const gateway = gateways[at];
    if (!gateway?.life.alive) return;
    gateway.kill(heard);
    revive(() => void startGateway(at), backAfterMs);
  }

  function ask(work: Work): void {
    const alive = gateways.filter((gateway) => gateway?.life.alive);
    const gateway = alive.length > 0 ? chance.pick(alive) : null;
    if (!gateway) return void events.after(200, () => ask(work));
    const client = gateway.ask(work, (ending) => oracle.ended(work, ending));
    oracle.asked(work, gateway.life.name, client.reading);
    if (work.abortMs !== null) events.after(work.abortMs, client.abort);
    if (work.stallMs !== null) events.after(work.stallMs, client.stall);
  }

  /** @param wakeMs so long after it has ended something of it may still come to light */
  function during(forMs: number, begin: () => void, end: () => void, wakeMs = 0): void {
    begin();
    revive(() => {
      end();
      oracle.disturbed('healed', wakeMs);
    }, forMs);
  }

  const doings: { [Kind in TimedFault['kind']]: (fault: Extract<TimedFault, { kind: Kind }>) => void } = {
    'gateway killed': ({ gateway, heard, backAfterMs }) => killGateway(gateway, heard, backAfterMs),
    'gateway frozen': ({ gateway, forMs }) => freeze(gateways[gateway], forMs),
    'gateway cut from ledger': ({ gateway, forMs }) => cut(gateways[gateway]?.life.name, 'ledger', forMs),
    'worker killed': ({ worker, heard, backAfterMs }) => killWorker(worker, heard, backAfterMs),
    'worker frozen': ({ worker, forMs }) => freeze(workers[worker], forMs),
    'worker cut from ledger': ({ worker, forMs }) => cut(workers[worker]?.life.name, 'ledger', forMs),
    'worker drained': ({ worker: at, backAfterMs }) => {
      const worker = workers[at];
      void worker?.drain().then(() => killWorker(at, true, backAfterMs));
    },
    'engine slow': ({ worker: at, factor, forMs }) => {
      const worker = workers[at];
      during(
        forMs,
        () => worker?.slow(factor),
        () => worker?.slow(1),
      );
    },
    'engine crashed': ({ worker }) => workers[worker]?.crashEngine(),
    'gateway cut from worker': ({ gateway, worker, forMs }) =>
      cut(gateways[gateway]?.life.name, workers[worker]?.life.name ?? '*', forMs),
    'replies lost': ({ probability, forMs }) =>
      during(
        forMs,
        () => (server.weather.replyLost = probability),
        () => (server.weather.replyLost = 0),
      ),
    'commands late': ({ probability, forMs }) =>
      during(
        forMs,
        () => (server.weather.late = probability),
        () => (server.weather.late = 0),
        latestMs,
      ),
    'ledger emptied': () => server.flush(),
    'ledger away': ({ forMs, loses, refuses }) =>
      during(forMs, () => server.away(forMs, { loses, refuses }), server.back),
    'ledger clock stepped': ({ ms }) => server.stepClock(ms),
  };

  function freeze(who: SimGateway | SimWorker | null | undefined, forMs: number): void {
    if (who?.life.alive) during(forMs, who.life.freeze, who.life.thaw);
  }

  function cut(one: string | undefined, other: string, forMs: number): void {
    if (one !== undefined)
      during(
        forMs,
        () => network.cut(one, other, forMs),
        () => {},
      );
  }

  function strike(fault: TimedFault): void {
    // A clock that went back makes every grace so much longer, once.
    oracle.disturbed(JSON.stringify(fault), fault.kind === 'ledger clock stepped' ? Math.abs(fault.ms) : 0);
    // Each kind is a key of its own doing.
    (doings[fault.kind] as (fault: TimedFault) => void)(fault);
  }

  function heal(): void {
    healed = true;
    network.healAll();
    for (const end of ends) end();
    oracle.disturbed('all is healed');
  }

  function look(): void {
    oracle.look(server, past.gateways, past.workers);
    events.after(lookEveryMs, look);
  }

  /** A worker may go on for a gateway whose host has vanished. */
  function allEnded(): boolean {
    if (oracle.stories.size < plan.load.length) return false;
    return open().length === 0 && workers.every(({ guard }) => guard.used() === 0);
  }

  const open = () => [...oracle.stories.values()].filter(({ endings }) => endings.length === 0);

  for (const [team, weight] of Object.entries(plan.weights ?? {})) server.pool.weights.set(team, weight);
  for (let at = 0; at < plan.workers.length; at++) startWorker(at);
  for (let at = 0; at < plan.gateways; at++) void startGateway(at);
  await events.run(1_000);
  look();
  for (const work of plan.load) events.after(work.atMs, () => ask(work));
  for (const fault of plan.faults) events.after(fault.atMs, () => strike(fault));
  const lastMs = Math.max(0, ...plan.load.map(({ atMs }) => atMs), ...plan.faults.map(({ atMs }) => atMs));
  await events.run(1_000 + lastMs + 2_000);
  heal();
  await events.run(events.nowMs + endMs, allEnded);
  for (const { work } of open()) oracle.fail(`I3 ${work.id} never ended`);
  await events.run(events.nowMs + quietMs);
  lookAtTheEnd();
  await probe();

  /** L8, L9: nobody asks, so nobody runs, holds or waits. */
  function lookAtTheEnd(): void {
    const redis = commandsOf(server.pool);
    for (const worker of workers) {
      const { guard, settings } = worker;
      if (guard.used() > 0) oracle.fail(`at the end ${settings.id} runs ${guard.used()}`);
      const leases = redis.all(`l:${settings.id}`);
      if (leases.length > 0) oracle.fail(`L8 at the end ${settings.id} holds ${leases.join()}`);
      if (!server.pool.workers.has(settings.id)) oracle.fail(`at the end ${settings.id} is not in the ledger`);
    }
    const waiting = redis.all('t');
    if (waiting.length > 0) oracle.fail(`L9 at the end ${waiting.join()} wait`);
    if (server.pool.records.size > 0) oracle.fail(`at the end there are ${server.pool.records.size} records`);
    for (const gateway of gateways) {
      if (gateway === null) oracle.fail('at the end a gateway is missing');
      else if (gateway.room.all().length > 0) oracle.fail(`at the end ${gateway.life.name} waits`);
      else if (gateway.door.inside > 0)
        oracle.fail(`at the end ${gateway.door.inside} are inside ${gateway.life.name}`);
      else if (gateway.ledger.degraded) oracle.fail(`at the end ${gateway.life.name} is degraded`);
    }
  }

  /** A few requests more: all end well, at once. */
  async function probe(): Promise<void> {
    const model = plan.workers[0]?.serves[0] ?? '';
    const begin = events.nowMs;
    for (let at = 0; at < probes; at++) {
      const work = { ...calmWork, id: `probe-${at}`, model };
      works.set(work.id, work);
      events.after(at * 100, () => ask(work));
    }
    await events.run(begin + 5_000);
    for (const { work, endings } of oracle.stories.values()) {
      if (work.id.startsWith('probe') && endings.join() !== 'ok')
        oracle.fail(`${work.id} ended ${endings.join() || 'never'}`);
    }
  }

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
