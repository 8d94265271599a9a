// The processes of a simulated pool: started, asked, struck by faults, and healed.
import type { Random } from '@berth/shared/random.ts';
import type { Chance } from '../models/chance.ts';
import type { Events } from './events.ts';
import type { TimedFault } from './faults.ts';
import { createSimGateway, type SimGateway } from './gateway.ts';
import type { Work } from './load.ts';
import { sharedMarks } from './marks.ts';
import type { Network } from './network.ts';
import type { Oracle } from './oracle.ts';
import type { Plan } from './plan.ts';
import { latestMs, type LedgerServer } from './server.ts';
import type { Wire } from './wire.ts';
import { createSimWorker, type SimWorker } from './worker.ts';

export interface SimPool {
  /** One at each place; `null` while a gateway is away. */
  readonly gateways: readonly (SimGateway | null)[];
  readonly workers: readonly SimWorker[];
  /** All that ever lived. */
  readonly past: { readonly gateways: readonly SimGateway[]; readonly workers: readonly SimWorker[] };
  start(): void;
  /** A client asks one of the gateways that are alive, as behind a load balancer. */
  ask(work: Work): void;
  strike(fault: TimedFault): void;
  /** From now on there are no faults, and who is away comes back. */
  heal(): void;
}

export interface PoolParts {
  plan: Plan;
  events: Events;
  chance: Chance;
  random: Random;
  oracle: Oracle;
  network: Network;
  wire: Wire;
  server: LedgerServer;
}

export function createPool(parts: PoolParts): SimPool {
  const { plan, events, chance, random, oracle, network, wire, server } = parts;
  const works = new Map<string, Work>();
  const gateways: (SimGateway | null)[] = [];
  const workers: SimWorker[] = [];
  const past: { gateways: SimGateway[]; workers: SimWorker[] } = { gateways: [], workers: [] };
  const marks = sharedMarks();
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
      const parts = { events, wire, server, oracle, random, limits: plan.limits, marks };
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
    works.set(work.id, work);
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

  return {
    gateways,
    workers,
    past,
    start() {
      for (let at = 0; at < plan.workers.length; at++) startWorker(at);
      for (let at = 0; at < plan.gateways; at++) void startGateway(at);
    },
    ask,
    strike,
    heal,
  };
}
