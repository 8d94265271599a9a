// A gateway whose ledger is away goes on with its share of the slots, and gives everything back when it returns.
import { beforeEach, describe, expect, it } from 'vitest';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { Beat, Grant, Ledger, Take, TicketState } from '@berth/shared/ledger/ledger.ts';
import { silentLog } from '@berth/shared/log.ts';
import { createFallbackLedger } from '../../../gateway/ledger/fallback.ts';
import type { FallbackLedger } from '../../../gateway/ledger/fallback.ts';
import { createMemoryLedger } from '../../../gateway/ledger/memory.ts';
import { virtualClock } from '../../doubles/clock.ts';
import type { VirtualClock } from '../../doubles/clock.ts';
import { aCard } from '../../doubles/fake-worker.ts';

let clock: VirtualClock;
let memory: Ledger;
let ledger: FallbackLedger;
let grants: Grant[];
let down: boolean;

beforeEach(async () => {
  clock = virtualClock();
  memory = createMemoryLedger({ clock });
  grants = [];
  down = false;
  ledger = createFallbackLedger({ shared: faulty(() => memory), clock, log: silentLog });
  await ledger.listen('g', (grant) => void grants.push(grant));
});

/** The same ledger, whose operations find nobody while `down`. */
function faulty(inner: () => Ledger): Ledger {
  const reach =
    <Input, Output>(act: (input: Input) => Promise<Output>) =>
    async (input: Input) => {
      if (down) throw new LedgerUnavailable('nobody there');
      return act(input);
    };
  return {
    ...inner(),
    take: reach((input) => inner().take(input)),
    leave: reach((input) => inner().leave(input)),
    session: reach((input) => inner().session(input)),
    survey: async () => inner().survey(),
  };
}

const announcement = (worker: string, slots: number, change: object = {}) =>
  JSON.stringify({
    protocol: 1,
    worker,
    epoch: 'e',
    url: 'http://h:1',
    slots,
    state: 'ready',
    device: 'cpu',
    models: [aCard()],
    ...change,
  });

async function join(worker: string, slots: number, change: Partial<Beat> = {}): Promise<void> {
  const told = announcement(worker, slots);
  const beat = {
    worker,
    epoch: 'e',
    boot: true,
    last: false,
    capacity: slots,
    weight: 1,
    serves: ['tiny:latest'],
    running: [],
  };
  await memory.beat({ ...beat, announcement: told, ...change });
}

const aTake = (id: string, change: Partial<Take> = {}): Take => ({
  id,
  gateway: 'g',
  model: 'tiny:latest',
  priority: 1,
  team: 't',
  key: 'k',
  weight: 1,
  cost: 1,
  age: null,
  waitingMax: 100,
  waitingPerKeyMax: 100,
  slack: 1,
  prefer: [],
  exclude: [],
  ...change,
});
const take = async (id: string, change: Partial<Take> = {}) => (await ledger.take(aTake(id, change))).kind;
const session = (tickets: string[] = []) => ledger.session({ gateway: 'g', tickets, rosterVersion: 0 });
const leave = (id: string) => ledger.leave({ id, actual: 0, refused: false });

/** From here on the gateway is alone: one operation has failed. */
async function loseLedger(): Promise<void> {
  down = true;
  await expect(ledger.take(aTake('lost'))).rejects.toThrow(LedgerUnavailable);
  expect(ledger.degraded).toBe(true);
}

describe('while the shared ledger answers', () => {
  it('it is the ledger', async () => {
    await join('w', 1);
    expect([await take('a'), await take('b'), ledger.degraded]).toEqual(['held', 'wait', false]);
    expect(await memory.survey()).toMatchObject({
      waiting: [{ model: 'tiny:latest', priority: 1, tickets: 1 }],
      workers: [{ worker: 'w', held: 1, capacity: 1 }],
    });
    expect(await leave('a')).toBe('held');
    await clock.advance(0);
    expect(grants).toEqual([{ id: 'b', worker: 'w', epoch: 'e', atMs: expect.any(Number) }]);
  });

  it('an announcement that cannot be read breaks nothing', async () => {
    await join('w', 1);
    for (const [at, words] of ['{', 'null', '7', announcement('bad', 1, { models: null })].entries()) {
      await join(`bad${at}`, 1, { announcement: words });
    }
    expect((await session()).roster.present).toHaveLength(5);
    await loseLedger();
    expect(await take('a')).toBe('held');
  });
});

describe('alone', () => {
  it('it has max(1, slots / gateways) slots of each worker that was there', async () => {
    await join('big', 5);
    await join('small', 1);
    await memory.session({ gateway: 'another', tickets: [], rosterVersion: 0 });
    await session();
    await loseLedger();
    const kinds = await Promise.all(['a', 'b', 'c', 'd'].map((id) => take(id)));
    expect(kinds).toEqual(['held', 'held', 'held', 'wait']);
    expect((await ledger.survey()).workers).toEqual([
      { worker: 'big', held: 2, capacity: 2 },
      { worker: 'small', held: 1, capacity: 1 },
    ]);
  });

  it('keeps the lanes of a worker apart: embeddings take no slot for chat', async () => {
    const embedder = aCard({ name: 'embedder:latest', capabilities: ['embedding'] });
    const lane = 'w+embeddings';
    await join('w', 1);
    await join(lane, 1, { serves: [embedder.name], announcement: announcement(lane, 1, { models: [embedder] }) });
    await session();
    await loseLedger();
    const embed = { model: embedder.name };
    expect([await take('e', embed), await take('f', embed), await take('c')]).toEqual(['held', 'wait', 'held']);
    expect((await ledger.survey()).workers).toMatchObject([
      { worker: 'w', held: 1 },
      { worker: lane, held: 1 },
    ]);
  });

  it('counts what runs already', async () => {
    await join('w', 2);
    await session();
    await take('a');
    await loseLedger();
    expect([await take('b'), await take('c')]).toEqual(['held', 'wait']);
    expect(await leave('a')).toBe('held');
    await clock.advance(0);
    expect(grants.map(({ id }) => id)).toEqual(['c']);
  });

  it('does not count what was left to its worker', async () => {
    await join('w', 2);
    await session();
    for (const id of ['a', 'b']) {
      await take(id);
      ledger.entrust?.(id);
    }
    await loseLedger();
    expect([await take('c'), await take('d'), await take('e')]).toEqual(['held', 'held', 'wait']);
    // And not for long what was left to its worker in the meantime.
    ledger.entrust?.('c');
    for (let second = 0; second < 4; second += 1) {
      await clock.advance(1_000);
      await session(['e']);
    }
    expect(grants.map(({ id }) => id)).toEqual(['e']);
  });

  it('has its share of the queue', async () => {
    await join('w', 1);
    await memory.session({ gateway: 'another', tickets: [], rosterVersion: 0 });
    await session();
    await loseLedger();
    const kinds = await Promise.all(['a', 'b', 'c', 'd'].map((id) => take(id, { waitingMax: 3 })));
    expect(kinds).toEqual(['held', 'wait', 'wait', 'full']);
  });

  it('keeps the order of those who come again with their age', async () => {
    await join('w', 1);
    await session();
    const first = await ledger.take(aTake('a'));
    await clock.advance(5_000);
    await join('w', 1, {
      boot: false,
      running: [{ id: 'a', model: 'tiny:latest', team: 't', key: 'k', gateway: 'g' }],
    });
    await loseLedger();
    await take('young');
    await take('old', { age: first.kind === 'full' ? null : first.age });
    await leave('a');
    await clock.advance(0);
    expect(grants.map(({ id }) => id)).toEqual(['old']);
  });

  it('tells the tickets of the interim where they stand, and says nothing of the roster', async () => {
    await join('w', 1);
    const { roster } = await session();
    await loseLedger();
    await take('a');
    await take('b');
    const reply = await ledger.session({ gateway: 'g', tickets: ['a', 'b', 'c'], rosterVersion: roster.version });
    const kinds = [...reply.tickets].map(([id, { kind }]: [string, TicketState]) => [id, kind]);
    expect(kinds).toEqual([
      ['a', 'held'],
      ['b', 'wait'],
      ['c', 'gone'],
    ]);
    expect(reply.roster).toEqual({ version: roster.version, whole: false, present: [], gone: [] });
    expect(reply.alone).toBe(true);
  });

  it('uses the workers of a ledger that came back empty and went away before they could tell it', async () => {
    await join('w', 2);
    await session();
    memory = createMemoryLedger({ clock });
    await session();
    await loseLedger();
    expect([await take('a'), await take('b'), await take('c')]).toEqual(['held', 'held', 'wait']);
  });

  it('uses no worker that has gone', async () => {
    await join('w', 2);
    const { roster } = await session();
    await join('w', 2, { boot: false, last: true });
    await ledger.session({ gateway: 'g', tickets: [], rosterVersion: roster.version });
    await loseLedger();
    expect(await take('a')).toBe('wait');
  });

  it('takes a worker that was busy again with the next session', async () => {
    await join('w', 1);
    await session();
    await loseLedger();
    await take('a');
    await ledger.leave({ id: 'a', actual: 0, refused: true });
    expect(await take('b')).toBe('wait');
    await session(['b']);
    await clock.advance(0);
    expect(grants.map(({ id }) => id)).toEqual(['b']);
  });
});

describe('when the shared ledger is back', () => {
  it('it is the ledger again, and the tickets of the interim are asked for anew', async () => {
    await join('w', 1);
    await session();
    await loseLedger();
    await take('a');
    await take('b');
    down = false;
    const reply = await session(['b']);
    expect([ledger.degraded, reply.tickets.get('b'), reply.roster.present.length]).toEqual([
      false,
      { kind: 'gone' },
      1,
    ]);
    expect(await memory.survey()).toMatchObject({ workers: [{ worker: 'w', held: 0 }] });
  });

  it('it learns from the workers what was given in the interim', async () => {
    await join('w', 1);
    await session();
    await loseLedger();
    await take('a');
    down = false;
    await session();
    await join('w', 1, {
      boot: false,
      running: [{ id: 'a', model: 'tiny:latest', team: 't', key: 'k', gateway: 'g' }],
    });
    await clock.advance(600);
    await join('w', 1, {
      boot: false,
      running: [{ id: 'a', model: 'tiny:latest', team: 't', key: 'k', gateway: 'g' }],
    });
    expect(await memory.survey()).toMatchObject({ workers: [{ worker: 'w', held: 1 }] });
    expect(await leave('a')).toBe('held');
  });
});
