// After any history, honest beats and sessions bring the ledger back to the truth within seconds (L8, L9).
import { array, assert, asyncProperty } from 'fast-check';
import { expect, test } from 'vitest';
import type { Grant, Take } from '@berth/shared/ledger/ledger.ts';
import { broken } from './invariants.ts';
import { act, concrete, event, newWorld, remember, type Event } from './histories.ts';
import { aBeat, aLeave, anId, aSession, aTake, running } from './inputs.ts';
import { openMemory, type Opened } from './opened.ts';

const runs = Number(process.env['RUNS'] ?? 300);
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
/** Grace and two beats, and one for a job that was refused and asked again. */
const seconds = 5;
const capacity = 2;
const names = { workers: ['w1', 'w2', 'w 3'], gateways: ['g1', 'g2', 'g|{3}'] };

test(
  `the ledger equals the truth ${seconds} s after any history (${runs} histories, SEED=${seed})`,
  { timeout: 120_000 },
  async () => {
    const history = asyncProperty(array(event, { minLength: 5, maxLength: 80, size: 'max' }), async (events) => {
      await using it = await openMemory();
      await disturb(events, it);
      const truth = await theTruth(it);
      for (let second = 0; second < seconds; second++) await truth.second();
      const dump = await it.dump();
      expect(broken(dump)).toEqual([]);
      expect(leasesOf(dump)).toEqual(truth.runs());
      expect(ticketsOf(dump)).toEqual(truth.waits());
    });
    await assert(history, { numRuns: runs, seed });
  },
);

/** A random history; without a clock that goes back, which stretches every bound by its step. */
async function disturb(events: readonly Event[], it: Opened): Promise<void> {
  const world = newWorld();
  for (const { step, times } of events) {
    if (step.do === 'advance' && step.ms < 0) continue;
    const input = concrete(step, world, await it.dump());
    for (let time = 0; time < times; time++) remember(input, await act(input, it), world);
  }
}

interface Life {
  epoch: string;
  boot: boolean;
  /** Lease and its gateway. */
  runs: Map<string, string>;
}

/** Workers and gateways that know what they do, and do as they should. They begin with some of what the ledger has. */
async function theTruth(it: Opened) {
  const { records, workers } = await it.dump();
  const lives = new Map<string, Life>();
  const waits = new Map<string, Map<string, Take>>(names.gateways.map((gateway) => [gateway, new Map()]));
  let lifeNumber = 0;
  let heard = (await it.pushed()).length;
  for (const name of names.workers)
    lives.set(name, { epoch: workers[name]?.epoch ?? 'first', boot: false, runs: new Map() });
  for (const [at, [id, r]] of Object.entries(records).entries()) {
    if (at % 3 === 0) continue; // this one is gone, and the ledger does not know
    const runs = lives.get(r.worker)?.runs;
    if (r.state === 'wait')
      waits.get(r.gateway)?.set(id, aTake({ id, gateway: r.gateway, model: 'llama', age: r.age }));
    else if (runs !== undefined && runs.size < capacity) runs.set(id, r.gateway);
  }
  // And some that the ledger has never heard of.
  lives.get('w1')?.runs.set(anId(), 'g1');
  const unheard = aTake({ gateway: 'g2' });
  waits.get('g2')?.set(unheard.id, unheard);

  async function beat(worker: string, life: Life): Promise<void> {
    const runs = Array.from(life.runs, ([id, gateway]) => running(id, { gateway }));
    const { epoch, boot } = life;
    const size = Math.max(capacity, life.runs.size);
    const reply = await it.ledger.beat(aBeat({ worker, epoch, boot, capacity: size, running: runs }));
    lives.set(worker, { ...life, boot: false });
    if (reply.kind !== 'stale') return;
    // Another life of this worker is known: this one exits and is started again.
    lives.set(worker, { epoch: `restarted-${++lifeNumber}`, boot: true, runs: new Map() });
  }

  async function session(gateway: string): Promise<void> {
    const own = waits.get(gateway) ?? new Map<string, Take>();
    const { tickets } = await it.ledger.session(aSession({ gateway, tickets: [...own.keys()] }));
    for (const [id, state] of tickets) {
      const input = own.get(id);
      if (input === undefined) continue;
      if (state.kind === 'held') await start(gateway, { id, worker: state.worker, epoch: state.epoch });
      if (state.kind === 'gone') await ask(input);
    }
  }

  async function ask(input: Take): Promise<void> {
    waits.get(input.gateway)?.set(input.id, input);
    const taken = await it.ledger.take(input);
    if (taken.kind === 'held') await start(input.gateway, taken);
    if (taken.kind === 'full') throw new Error('nothing is full here');
  }

  /** The gateway has a slot: it sends the request, and the worker has the last word. */
  async function start(gateway: string, { id, worker, epoch }: Grant): Promise<void> {
    const input = waits.get(gateway)?.get(id);
    waits.get(gateway)?.delete(id);
    const life = lives.get(worker);
    if (input === undefined) {
      if (life?.runs.has(id) !== true) await it.ledger.leave(aLeave(id));
    } else if (life?.epoch === epoch && life.runs.size < capacity) {
      life.runs.set(id, gateway);
    } else {
      await it.ledger.leave(aLeave(id, { actual: 0, refused: true }));
      await ask({ ...input, id: anId() });
    }
  }

  async function hear(): Promise<void> {
    for (const pushed = await it.pushed(); heard < pushed.length; heard++) {
      const push = pushed[heard];
      if (push !== undefined) await start(push.gateway, push.grant);
    }
  }

  return {
    async second(): Promise<void> {
      it.advance(1_000);
      for (const gateway of names.gateways) await it.hear(gateway, true);
      for (const [worker, life] of lives) {
        await beat(worker, life);
        await hear();
      }
      for (const gateway of names.gateways) {
        await session(gateway);
        await hear();
      }
    },
    runs: () =>
      sorted(Array.from(lives, ([worker, { runs }]) => [...runs.keys()].map((id) => `${worker} runs ${id}`)).flat()),
    waits: () =>
      sorted(Array.from(waits, ([gateway, own]) => [...own.keys()].map((id) => `${gateway} waits ${id}`)).flat()),
  };
}

type Dump = Awaited<ReturnType<Opened['dump']>>;

function leasesOf({ records }: Dump): string[] {
  const held = Object.entries(records).filter(([, r]) => r.state === 'held');
  return sorted(held.map(([id, r]) => `${r.worker} runs ${id}`));
}

function ticketsOf({ records }: Dump): string[] {
  const wait = Object.entries(records).filter(([, r]) => r.state === 'wait');
  return sorted(wait.map(([id, r]) => `${r.gateway} waits ${id}`));
}

function sorted(lines: string[]): string[] {
  return lines.toSorted();
}
