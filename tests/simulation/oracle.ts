// What must hold in the simulation, looked at whenever something happens; and the record of what happened.
import { createHash } from 'node:crypto';
import { graceMs, workerMs } from '@berth/shared/ledger/ledger.ts';
import type { Beat, Grant, Ledger } from '@berth/shared/ledger/ledger.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { PoisonEvent } from '../../gateway/poison.ts';
import { commandsOf, type Pool } from '../../gateway/ledger/pool.ts';
import { dumpPool } from '../ledger/dump.ts';
import { broken } from '../ledger/invariants.ts';
import type { Ending, Reading } from './client.ts';
import type { Events } from './events.ts';
import type { SimGateway } from './gateway.ts';
import type { Work } from './load.ts';
import type { LedgerServer } from './server.ts';
import type { SimWorker } from './worker.ts';

/** What became of one request. */
export interface Story {
  work: Work;
  gateway: string;
  askedMs: number;
  endings: Ending[];
  endedMs: number | null;
  reading: Reading;
  starts: { worker: SimWorker; atMs: number; lease: string }[];
  /** When it first had a slot; the wait ends here. */
  servedMs: number;
  /** How often the engine died under it by itself, and by another request. */
  accidents: number;
  takenAlong: number;
}

/** What was promised to a request that waited, and how long it did, ms. */
export interface Waited {
  leastMs: number;
  p50Ms: number;
  p90Ms: number;
  waitedMs: number;
}

export interface Oracle {
  readonly waits: readonly Waited[];
  readonly failures: readonly string[];
  readonly stories: ReadonlyMap<string, Story>;
  /** How many have not ended yet. */
  readonly open: number;
  /** How often each thing happened. */
  readonly counts: ReadonlyMap<string, number>;
  fail(what: string): void;
  /** Writes down what happens; the hash at the end is over all of it. */
  note(what: string): void;
  hash(): string;
  asked(work: Work, gateway: string, reading: Reading): void;
  ended(work: Work, ending: Ending): void;
  /** A gateway sends it to a worker. */
  sent(jobId: string): void;
  outcome(outcome: Outcome): void;
  started(worker: SimWorker, jobId: string, lease: string): void;
  stopped(worker: SimWorker, lease: string): void;
  served(jobId: string, ms: number): void;
  refused(worker: string, why: string): void;
  died(worker: SimWorker): void;
  /** An engine died under these requests, because of one of them or (`null`) by itself. */
  engineDied(jobIds: readonly string[], poison: string | null): void;
  poison(event: PoisonEvent): void;
  /** A gateway lets it go to a worker. */
  tried(jobId: string): void;
  /** This fingerprint is quarantined, as of the end of this request's try. */
  quarantined(print: string, jobId: string): void;
  waited(wait: Waited): void;
  /** A fault begins or ends: whatever takes time may take it anew from here, or from a while later. */
  disturbed(what: string, forMs?: number): void;
  watch(ledger: Ledger, pool: Pool): Ledger;
  /** Looks at everything that may last for a while, but not for long. */
  look(server: LedgerServer, gateways: readonly SimGateway[], workers: readonly SimWorker[]): void;
}

/** Room for latencies and late events in a bound that is made of beats. */
const slackMs = 300;
/** One beat after the grace, or the second beat that lists an unknown lease. */
const driftMs = graceMs + 1_000 + slackMs;
/** A grant may be lost with its gateway, which is dead for the ledger only then: grace, beat, session. */
const wakeUpMs = 6_000 + slackMs;
/** A dead worker's leases go when the next beat or session has come; each buries two. */
const burialMs = workerMs + 2_000 + slackMs;
/** A ticket that the ledger has lost is asked for again by the next session. */
const lostTicketMs = 1_000 + 500 + 500 + slackMs;
const failuresMax = 50;
/** How many operations of the ledger pass between two looks at the whole of it. */
const dumpEvery = 97;

export function createOracle(events: Events, trace: (line: string) => void = () => {}): Oracle {
  const lines: string[] = [];
  const failures: string[] = [];
  const waits: Waited[] = [];
  const stories = new Map<string, Story>();
  const counts = new Map<string, number>();
  const since = new Map<string, number>();
  const quarantine = new Set<string>();
  const prints = new Set<string>();
  let disturbedMs = 0;
  let open = 0;
  let operations = 0;

  const note = (what: string): void => {
    const line = `${events.nowMs.toFixed(3)} ${what}`;
    lines.push(line);
    trace(line);
  };
  const count = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1);
  const fail = (what: string): void => {
    note(`FAILED ${what}`);
    if (failures.length < failuresMax) failures.push(`${(events.nowMs / 1_000).toFixed(3)} s: ${what}`);
  };
  const storyOf = (id: string): Story => {
    const story = stories.get(id);
    if (story === undefined) throw new Error(`nobody asked for ${id}`);
    return story;
  };
  /** Fails when the state of this name has lasted for longer than the bound, undisturbed. */
  const lasts = (seen: Set<string>, name: string, boundMs: number): void => {
    seen.add(name);
    const fromMs = Math.max(since.get(name) ?? events.nowMs, disturbedMs);
    if (!since.has(name)) since.set(name, events.nowMs);
    if (events.nowMs - fromMs <= boundMs) return;
    fail(`${name} for ${Math.round(events.nowMs - fromMs)} ms`);
    since.set(name, Infinity);
  };

  return {
    waits,
    failures,
    stories,
    get open() {
      return open;
    },
    counts,
    fail,
    note,
    hash: () => createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16),
    asked(work, gateway, reading) {
      note(`${work.id} asks ${gateway}`);
      const story = {
        work,
        gateway,
        askedMs: events.nowMs,
        endings: [],
        endedMs: null,
        reading,
        starts: [],
        servedMs: 0,
        accidents: 0,
        takenAlong: 0,
      };
      stories.set(work.id, story);
      open += 1;
    },
    ended(work, ending) {
      const story = storyOf(work.id);
      const { status, text } = story.reading;
      note(`${work.id} ends: ${ending} ${status}`);
      count(`ended ${ending}`);
      if (story.endings.length === 0) open -= 1;
      story.endings.push(ending);
      story.endedMs = events.nowMs;
      // I3
      if (story.endings.length > 1) fail(`I3 ${work.id} ended ${story.endings.join(', then ')}`);
      // I3, I4: what ended well has all its pieces, and nobody else's.
      const whole = Array.from({ length: work.pieces }, (_, at) => `${work.id}:${at};`).join('');
      const answer = text.replaceAll(/^: .*\n\n/gm, '');
      if (ending === 'ok' && answer !== whole) fail(`I3 ${work.id} ended well with ${answer}, not ${whole}`);
    },
    outcome(outcome) {
      note(`outcome ${outcome}`);
      count(`outcome ${outcome}`);
      if (outcome === 'internal') fail('an internal error');
    },
    sent(jobId) {
      const { reading, endings } = storyOf(jobId);
      // I5: a frozen worker may start late what was sent to it in time; but nothing is sent too late.
      if (reading.text.includes(`${jobId}:`)) fail(`I5 ${jobId} is sent again after its first byte`);
      const [first] = endings;
      if (first === 'ok' || first === 'refused' || first === 'cut')
        fail(`I5 ${jobId} is sent after its end: ${endings.join()}`);
    },
    started(worker, jobId, lease) {
      note(`${worker.settings.id} starts ${jobId} ${lease}`);
      count('starts');
      const { starts, work } = storyOf(jobId);
      const { guard, settings } = worker;
      // I1
      if (guard.used() > settings.slots) fail(`I1 ${settings.id} runs ${guard.used()} of ${settings.slots}`);
      // I5
      if (starts.length >= 2) fail(`I5 ${jobId} starts for the ${starts.length + 1}. time`);
      if (starts.some((start) => start.lease === lease)) fail(`I5 ${jobId} starts twice under one lease`);
      if (!settings.serves.includes(work.model)) fail(`${jobId} runs on ${settings.id}, which lacks ${work.model}`);
      starts.push({ worker, atMs: events.nowMs, lease });
    },
    stopped(worker, lease) {
      note(`${worker.settings.id} stops ${lease}`);
    },
    served(jobId, ms) {
      storyOf(jobId).servedMs += ms;
    },
    refused(worker, why) {
      note(`${worker} refuses: ${why}`);
      count(`refused ${why}`);
    },
    died(worker) {
      note(`${worker.settings.id} dies`);
      disturbedMs = Math.max(disturbedMs, events.nowMs);
    },
    engineDied(jobIds, poison) {
      note(`an engine dies under ${jobIds.join()} of ${poison ?? 'itself'}`);
      for (const id of jobIds) {
        const story = storyOf(id);
        if (poison === null) story.accidents += 1;
        // P2: who was there once is alone from then on, so that nobody takes it along a second time.
        else if (id !== poison && (story.takenAlong += 1) > 1) fail(`P2 ${id} died with others' poison twice`);
      }
    },
    poison: (event) => count(`poison ${event}`),
    tried(jobId) {
      // P1
      const { says = jobId } = storyOf(jobId).work;
      if (quarantine.has(says)) fail(`P1 ${jobId} runs though it is quarantined`);
    },
    quarantined(print, jobId) {
      if (prints.has(print)) return;
      prints.add(print);
      const { work, accidents } = storyOf(jobId);
      note(`${jobId} is quarantined`);
      quarantine.add(work.says ?? jobId);
      // P3: only the guilty, and who was alone when an engine died by itself.
      if (!work.poison && accidents === 0) fail(`P3 ${jobId} is quarantined, and did nothing`);
    },
    waited: (wait) => void waits.push(wait),
    disturbed(what, forMs = 0) {
      note(what);
      disturbedMs = Math.max(disturbedMs, events.nowMs + forMs);
    },
    watch,
    look,
  };

  /** The same ledger; after each operation the pool is looked at. */
  function watch(ledger: Ledger, pool: Pool): Ledger {
    const redis = commandsOf(pool);
    let held = new Set<string>();
    /** Leases of the workers that have too many. */
    const crowded = new Map<string, number>();
    let pushed: Grant[] = [];
    const heldNow = (): Set<string> => {
      const now = new Set<string>();
      for (const [id, { state }] of pool.records) if (state === 'held') now.add(id);
      return now;
    };

    async function look<Output>(name: string, given: readonly string[], run: () => Promise<Output>): Promise<Output> {
      // Between operations nothing happens, but for a FLUSHALL.
      if (pool.records.size === 0) held = new Set();
      pushed = [];
      const output = await run();
      count(name);
      operations += 1;
      const now = heldNow();
      // L10: whoever holds a slot now and did not before was told so: by the answer, by its worker, or by one push.
      const before = held;
      held = now;
      const grants = [...now].filter((id) => !before.has(id) && !given.includes(id)).toSorted();
      const pushes = pushed.map(({ id }) => id).toSorted();
      if (grants.join() !== pushes.join()) fail(`L10 ${name} granted ${grants.join()} and pushed ${pushes.join()}`);
      for (const { id, worker, epoch } of pushed) {
        note(`push ${id} ${worker}`);
        const record = pool.records.get(id);
        if (record?.worker !== worker || record.epoch !== epoch) fail(`L10 ${id} was pushed with a slot of another`);
      }
      // L6: only a beat may know of more.
      for (const [worker, { capacity }] of pool.workers) {
        const leases = redis.card(`l:${worker}`);
        const [was, is] = [crowded.get(worker) ?? 0, leases > capacity ? leases : 0];
        if (name !== 'beat' && is > was) fail(`L6 ${worker} has ${leases} leases for ${capacity} slots after ${name}`);
        crowded.set(worker, is);
      }
      if (operations % dumpEvery === 0) for (const what of broken(dumpPool(pool))) fail(what);
      return output;
    }

    return {
      ...ledger,
      async take(input) {
        const taken = await look('take', [input.id], () => ledger.take(input));
        note(`take ${input.id} ${JSON.stringify(taken)}`);
        // I6
        const waiting = redis.card('t');
        const cold = [...pool.sorted.keys()].filter((name) => name.startsWith('q:')).length;
        if (waiting > input.waitingMax + cold) fail(`I6 ${waiting} wait where ${input.waitingMax} may`);
        return taken;
      },
      async leave(input) {
        const left = await look('leave', [], () => ledger.leave(input));
        note(`leave ${input.id} ${left}`);
        return left;
      },
      async session(input) {
        const reply = await look('session', [], () => ledger.session(input));
        const gone = [...reply.tickets].filter(([, { kind }]) => kind === 'gone').map(([id]) => id);
        note(
          `session ${input.gateway} ${input.tickets.length} tickets${gone.length > 0 ? `, gone ${gone.join()}` : ''}`,
        );
        return reply;
      },
      async beat(input: Beat) {
        const reply = await look(
          'beat',
          input.running.map(({ id }) => id),
          () => ledger.beat(input),
        );
        if (reply.kind === 'ok' && reply.added + reply.dropped > 0) {
          note(`beat ${input.worker} ${JSON.stringify(reply)}`);
          for (let at = 0; at < reply.added; at++) count('leases added');
          for (let at = 0; at < reply.dropped; at++) count('leases dropped');
        }
        return reply;
      },
      listen: (gateway, onGrant) =>
        ledger.listen(gateway, (grant) => {
          pushed.push(grant);
          count('pushes');
          onGrant(grant);
        }),
    };
  }

  function look(server: LedgerServer, gateways: readonly SimGateway[], workers: readonly SimWorker[]): void {
    const seen = new Set<string>();
    // Who cannot hear the ledger is not asked for the truth; the time begins anew when he can.
    const fair = server.up && server.weather.late + server.weather.replyLost === 0;
    if (fair) {
      for (const worker of workers) if (!server.isCut(worker.life)) lookAtWorker(seen, server, worker);
      for (const gateway of gateways) if (!server.isCut(gateway.life)) lookAtTickets(seen, server, gateway);
    }
    for (const gateway of gateways) if (gateway.life.alive && gateway.ledger.degraded) void lookAtShare(gateway);
    for (const name of since.keys()) if (!seen.has(name)) since.delete(name);
  }

  /** I2: ledger and worker agree on what runs, but for a while; a dead one holds nothing. */
  function lookAtWorker(
    seen: Set<string>,
    { pool }: LedgerServer,
    { settings, life, epoch, guard, serving }: SimWorker,
  ): void {
    const { id } = settings;
    const redis = commandsOf(pool);
    const leases = redis.all(`l:${id}`).filter((lease) => pool.records.get(lease)?.epoch === epoch);
    if (!life.alive) {
      for (const lease of leases) lasts(seen, `I2 ${lease} is held on dead ${id}`, burialMs);
      return;
    }
    if (life.frozen) return;
    // I6: no lost wake-up.
    if (guard.capacity() > guard.used() && isWaitedFor(pool, id, serving()))
      lasts(seen, `I6 ${id} has a free slot beside somebody who waits for it`, wakeUpMs);
    const running = new Set(guard.running().map((lease) => lease.id));
    for (const lease of leases)
      if (!running.has(lease)) lasts(seen, `I2 ${lease} is held on ${id}, which does not run it`, driftMs);
    const known = new Set(leases);
    for (const lease of running)
      if (!known.has(lease)) lasts(seen, `I2 ${id} runs ${lease}, of which the ledger does not know`, driftMs);
  }

  /** I6: alone, a gateway lets its share of the queue wait. Its ledger is its own memory, which answers at once. */
  async function lookAtShare({ life, ledger, ownWaitingMax }: SimGateway): Promise<void> {
    const most = ownWaitingMax();
    const { waiting } = await ledger.survey();
    const tickets = waiting.reduce((sum, { tickets }) => sum + tickets, 0);
    count('looks at a gateway alone');
    if (tickets > most) fail(`I6 ${tickets} wait at ${life.name} alone, where ${most} may`);
  }

  function isWaitedFor(pool: Pool, worker: string, serves: readonly string[]): boolean {
    for (const { state, model, exclude } of pool.records.values()) {
      if (state === 'wait' && serves.includes(model) && !exclude.includes(worker)) return true;
    }
    return false;
  }

  /** I6: the ledger knows of everybody who waits, and of nobody else. */
  function lookAtTickets(seen: Set<string>, { pool }: LedgerServer, { life, room, id, ledger }: SimGateway): void {
    const listed = commandsOf(pool).members(`gt:${id}`);
    if (!life.alive) {
      for (const ticket of listed) lasts(seen, `I6 ${ticket} waits for nobody`, driftMs + 2_000);
      return;
    }
    if (life.frozen || ledger.degraded) return;
    const waiting = room.all().filter(({ place }) => place !== null);
    for (const ticket of waiting) {
      if (!pool.records.has(ticket.id)) lasts(seen, `I6 ${ticket.id} waits unknown to the ledger`, lostTicketMs);
    }
    const own = new Set(room.all().map((ticket) => ticket.id));
    for (const ticket of listed) if (!own.has(ticket)) lasts(seen, `I6 ${ticket} of ${id} waits for nobody`, driftMs);
  }
}
