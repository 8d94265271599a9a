// The ledger in memory: the default of a gateway that runs alone, and the twin of shared/ledger/lua, function by
// function under the same names and in the same order. Change both; a property test compares them step by step.
import type { Clock } from '@berth/shared/clock.ts';
import { graceMs, sessionMs, workerMs } from '@berth/shared/ledger/ledger.ts';
import type {
  Beat,
  BeatReply,
  Claim,
  Claimed,
  HandOff,
  Leave,
  Ledger,
  Left,
  RunningLease,
  Session,
  SessionReply,
  Take,
  Taken,
  TicketState,
} from '@berth/shared/ledger/ledger.ts';
import { boundBeat, boundClaim, boundLeave, boundSession, boundTake } from '@berth/shared/ledger/limits.ts';
import { createLines } from './lines.ts';
import { createOrders } from './orders.ts';
import { commandsOf, countIn, emptyPool, type LedgerRecord, type Pool, type WorkerRecord } from './pool.ts';
import { createSlots } from './slots.ts';
import { surveyOf } from './survey.ts';

/** A lease that the ledger does not know is believed in when beats have listed it for this long. */
const suspectMs = 500;

export interface MemoryLedgerOptions {
  clock: Clock;
  /** A test brings its own state, to look at it and to lose it. */
  pool?: Pool;
}

/** A ledger for one process. Its clock is the monotonic one, so a step of the wall clock does nothing to it. */
export function createMemoryLedger({ clock, pool = emptyPool() }: MemoryLedgerOptions): Ledger {
  const ears = new Map<string, Set<(grant: HandOff) => void>>();
  const redis = commandsOf(pool);
  const lines = createLines(pool);
  const orders = createOrders(pool);
  const slots = createSlots(pool, lines, orders, publish);
  const { records, workers } = pool;
  let now = 0;

  /** What every operation does first. */
  function begin(): void {
    now = Math.floor(clock.monotonic());
    if (pool.era === null) {
      pool.era = now;
      pool.birth = pool.version = now * 1_000 + 1;
    }
    lines.setTime(now);
    slots.setTime(now);
    lines.rebase();
  }

  /** Tells everybody who listens for the gateway; returns how many do. Never while the ledger is at work. */
  function publish(gateway: string, grant: HandOff): number {
    const listeners = [...(ears.get(gateway) ?? [])];
    for (const onGrant of listeners) queueMicrotask(() => onGrant(grant));
    return listeners.length;
  }

  function take(input: Take): Taken {
    const { id, model } = input;
    const known = records.get(id);
    if (known?.state === 'held') return { kind: 'held', id, worker: known.worker, epoch: known.epoch, age: known.age };
    if (known !== undefined) return waits(id, known);
    const age = Math.min(input.age ?? now, now);
    const { team, key, gateway, cost, exclude } = input;
    const ticket = { model, class: String(input.priority), team, key, gateway, cost, age, since: now, exclude };
    const r: LedgerRecord = { ...ticket, state: 'wait', worker: '', epoch: '' };
    const w = choose(model, input);
    if (w !== undefined) {
      const epoch = slots.give(id, r, w);
      slots.reindex(w);
      return { kind: 'held', id, worker: w, epoch, age };
    }
    // One may always wait for a model that nobody serves: somebody has to ask for it to be loaded.
    const first = orders.servers(model) === 0 && redis.card(`q:${model}`) === 0;
    if (!first && redis.card('t') >= input.waitingMax) return { kind: 'full', age, bound: 'all' };
    if (!first && lines.waitingOf(team, key) >= input.waitingPerKeyMax) return { kind: 'full', age, bound: 'key' };
    lines.weigh(team, input.weight);
    slots.enqueue(id, r);
    return waits(id, r);
  }

  function waits(id: string, r: LedgerRecord) {
    return { kind: 'wait', age: r.age, place: lines.place(id, r), servers: orders.servers(r.model) } as const;
  }

  /** The first of the preferred that is free and not much more loaded, else the least loaded of the free ones. */
  function choose(model: string, { exclude, prefer, slack }: Take): string | undefined {
    const index = `i:${model}`;
    // So many are looked at as could be excluded, and one.
    const least = [...exclude, '']
      .map((_, rank) => redis.at(index, rank))
      .find((e) => e && !exclude.includes(e.member));
    if (least === undefined) return undefined;
    const near = (w: string) => (redis.score(index, w) ?? Infinity) <= least.score + slack && !exclude.includes(w);
    return prefer.find(near) ?? least.member;
  }

  function leave({ id, actual, refused }: Leave): Left {
    const r = records.get(id);
    if (r === undefined) return 'gone';
    if (r.state === 'wait') {
      slots.withdraw(id);
      return 'waited';
    }
    slots.drop(id, r, actual);
    // A worker that says "busy" knows better: it gets nothing until its next beat, or its refusals would make a storm.
    const worker = workers.get(r.worker);
    if (refused && worker !== undefined) worker.parked = true;
    slots.handoff(r.worker);
    return 'held';
  }

  function session({ gateway, tickets, rosterVersion }: Session): SessionReply {
    redis.add('g', now + sessionMs, gateway);
    slots.reap();
    const states = new Map(tickets.map((id) => [id, stateOf(id)]));
    for (const id of redis.members(`gt:${gateway}`)) {
      // The grace is for a take that this session crossed on its way.
      if (!states.has(id) && now - (records.get(id)?.since ?? 0) > graceMs) {
        slots.withdraw(id);
        countIn(pool, 'tickets_unlisted', 1);
      }
    }
    const [waiting, gateways] = [redis.card('t'), redis.card('g')];
    return { tickets: states, roster: rosterSince(rosterVersion), waiting, gateways, nowMs: now };
  }

  function stateOf(id: string): TicketState {
    const r = records.get(id);
    if (r === undefined) return { kind: 'gone' };
    if (r.state === 'wait') return { kind: 'wait', place: lines.place(id, r), servers: orders.servers(r.model) };
    return { kind: 'held', worker: r.worker, epoch: r.epoch };
  }

  /** A version from before this pool's birth, or from before the oldest departure kept, says nothing. */
  function rosterSince(known: number): SessionReply['roster'] {
    const whole = known < Math.max(pool.birth, pool.kept) || known > pool.version;
    const after = whole ? -Infinity : known;
    const present = redis
      .above('ro', after)
      .map((worker) => ({ worker, announcement: workers.get(worker)?.announcement ?? '' }));
    return { version: pool.version, whole, present, gone: whole ? [] : redis.above('rg', after) };
  }

  function beat(input: Beat): BeatReply {
    const { worker: w, epoch } = input;
    let old = workers.get(w);
    if (old !== undefined && old.epoch !== epoch) {
      if (!input.boot) return { kind: 'stale', epoch: old.epoch };
      slots.bury(w, 'new_epoch');
      old = undefined;
    }
    if (input.last) {
      if (old !== undefined) slots.bury(w, 'worker_left');
      slots.reap();
      return { kind: 'ok', added: 0, dropped: 0, order: null };
    }
    // 1 Who it is now.
    const { capacity, weight, serves, announcement } = input;
    const worker: WorkerRecord & { suspects: Map<string, number> } = {
      epoch,
      capacity,
      weight,
      serves: old?.serves ?? [],
      order: old?.order ?? null,
      parked: false,
      announcement,
      suspects: new Map<string, number>(),
    };
    workers.set(w, worker);
    redis.add('s', now + workerMs, w);
    if (old?.announcement !== announcement) {
      redis.add('ro', ++pool.version, w);
      redis.remove('rg', w);
    }
    // 2 The order that it has. The victim gets nothing new while it stands, so that its streams run out.
    const order = orders.afterBeat(input, now);
    orders.serve(
      w,
      serves.filter((model) => model !== order?.victim),
    );
    // 3 Leases that it runs and the ledger does not know: at once from a worker that is new here, and when the ledger
    //   thought that they still wait, for else they would be given a slot below; else when it says so twice, for this
    //   beat may have crossed the lease's end on its way.
    const running = new Map(input.running.toReversed().map((lease) => [lease.id, lease]));
    const shrunk: string[] = [];
    let added = 0;
    for (const [id, lease] of [...running].toReversed()) {
      if (redis.score(`l:${w}`, id) !== undefined) continue;
      const first = old?.suspects.get(id);
      const doubted = old !== undefined && records.get(id)?.state !== 'wait';
      if (doubted && (first === undefined || now - first < suspectMs)) {
        worker.suspects.set(id, first ?? now);
        continue;
      }
      const other = adopt(lease, w, epoch);
      if (other !== undefined) shrunk.push(other);
      added++;
    }
    // 4 Leases that it does not run; the grace is for requests on their way to it.
    const dropped = redis.below(`l:${w}`, now - graceMs).filter((id) => !running.has(id));
    for (const id of dropped) {
      const r = records.get(id);
      if (r !== undefined) slots.drop(id, r, null);
    }
    countIn(pool, 'leases_added', added);
    countIn(pool, 'leases_dropped', dropped.length);
    // 5 The dead first, so that nothing is given to them.
    slots.reap();
    for (const other of shrunk) slots.handoff(other);
    slots.handoff(w);
    return { kind: 'ok', added, dropped: dropped.length, order: order && { model: order.model, victim: order.victim } };
  }

  function claim(input: Claim): Claimed {
    slots.reap();
    const claimed = orders.claim(input, now);
    slots.reindex(input.worker);
    return claimed;
  }

  /** Writes down a lease that a worker runs. Returns the worker that the ledger had thought it was on, if another. */
  function adopt({ id, model, team, key, gateway }: RunningLease, w: string, epoch: string): string | undefined {
    const other = records.get(id);
    if (other?.state === 'wait') slots.dequeue(id, other);
    // Charged once already, for a slot on another worker.
    const { cost, since } = other?.state === 'held' ? other : { cost: 0, since: now };
    if (other?.state === 'held') redis.remove(`l:${other.worker}`, id);
    const lease = { model, class: '1', team, key, gateway, cost, age: now, since, exclude: [] };
    records.set(id, { ...lease, state: 'held', worker: w, epoch });
    redis.add(`l:${w}`, now, id);
    return other?.state === 'held' ? other.worker : undefined;
  }

  /** One operation: as in Redis, nothing else happens meanwhile. */
  function atomic<Input, Output>(bound: (input: Input) => Input, act: (input: Input) => Output) {
    return async (input: Input): Promise<Output> => {
      const bounded = bound(input);
      begin();
      return act(bounded);
    };
  }

  return {
    take: atomic(boundTake, take),
    leave: atomic(boundLeave, leave),
    session: atomic(boundSession, session),
    beat: atomic(boundBeat, beat),
    claim: atomic(boundClaim, claim),
    survey: async () =>
      atomic(
        (nothing: undefined) => nothing,
        () => surveyOf(pool),
      )(undefined),
    async listen(gateway, onGrant) {
      const listeners = ears.get(gateway) ?? new Set();
      ears.set(gateway, listeners.add(onGrant));
      return {
        async [Symbol.asyncDispose]() {
          listeners.delete(onGrant);
          if (listeners.size === 0 && ears.get(gateway) === listeners) ears.delete(gateway);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      ears.clear();
    },
  };
}
