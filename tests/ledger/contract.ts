// What every ledger does, as behaviour: run on the one in memory and on the one in Redis.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ledgerCounts, type LedgerCount, type PriorityClass } from '@berth/shared/ledger/ledger.ts';
import { broken } from './invariants.ts';
import { aBeat, aClaim, aLeave, anId, aSession, aTake, running } from './inputs.ts';
import { announcementBytesMax } from '@berth/shared/ledger/limits.ts';
import type { Open, Opened } from './opened.ts';

/** @param place where it keeps its state, for the title */
export function describeLedger(place: string, open: Open): void {
  describe(`the ledger in ${place}`, () => {
    let it: Opened;
    beforeEach(async () => {
      it = await open();
    });
    afterEach(async () => {
      expect(broken(await it.dump())).toEqual([]);
      await it[Symbol.asyncDispose]();
    });

    /** A worker with its leases, of which the ledger knows. */
    const beat = (some: Parameters<typeof aBeat>[0] = {}) => it.ledger.beat(aBeat(some));
    const take = (some: Parameters<typeof aTake>[0] = {}) => it.ledger.take(aTake(some));
    const pushedIds = async () => (await it.pushed()).map(({ grant }) => grant.id);
    const stateOf = async (id: string, gateway = 'g1') =>
      (await it.ledger.session(aSession({ gateway, tickets: [id] }))).tickets.get(id)?.kind;

    describe('taking a slot', () => {
      test('gives the slot of a free worker that serves the model, with its epoch', async () => {
        await beat();
        const id = anId();
        expect(await take({ id })).toEqual({ kind: 'held', id, worker: 'w1', epoch: 'e1', age: expect.any(Number) });
      });

      test('waits when nobody serves the model, and when all who do are full', async () => {
        await beat();
        expect(await take({ model: 'other' })).toMatchObject({ kind: 'wait', place: 1 });
        await take();
        expect(await take()).toMatchObject({ kind: 'wait', place: 1 });
      });

      test('answers the same when it is asked again, and takes no second slot', async () => {
        await beat({ capacity: 2 });
        const input = aTake();
        const first = await it.ledger.take(input);
        it.advance(700);
        expect(await it.ledger.take(input)).toEqual(first);
        expect((await it.ledger.survey()).workers).toEqual([{ worker: 'w1', held: 1, capacity: 2 }]);
        const waiter = aTake({ model: 'other' });
        expect(await it.ledger.take(waiter)).toEqual(await it.ledger.take(waiter));
        expect((await it.ledger.survey()).waiting).toMatchObject([{ model: 'other', priority: 1, tickets: 1 }]);
      });

      test('prefers the emptiest worker, by its weight', async () => {
        await beat({ worker: 'slow', capacity: 4, weight: 1 });
        await beat({ worker: 'fast', capacity: 4, weight: 2 });
        const workers = [];
        for (let n = 0; n < 6; n++) workers.push(await take());
        const names = workers.map((taken) => (taken.kind === 'held' ? taken.worker : taken.kind));
        expect(names.filter((name) => name === 'fast')).toHaveLength(4);
      });

      test('takes the first preferred worker that is not much more loaded than the emptiest', async () => {
        for (const worker of ['w1', 'w2', 'w3']) await beat({ worker, capacity: 2 });
        await take({ prefer: ['w2'] });
        expect(await take({ prefer: ['w2', 'w3'], slack: 0.4 })).toMatchObject({ worker: 'w3' });
        expect(await take({ prefer: ['w2'], slack: 0.5 })).toMatchObject({ worker: 'w2' });
      });

      test('never gives an excluded worker, neither as emptiest nor as preferred', async () => {
        for (const worker of ['w1', 'w2', 'w3', 'w4']) await beat({ worker });
        const exclude = ['w1', 'w2', 'w3'];
        expect(await take({ exclude, prefer: ['w2'], slack: 9 })).toMatchObject({ kind: 'held', worker: 'w4' });
        expect(await take({ exclude })).toMatchObject({ kind: 'wait' });
      });

      test('bounds the tickets of the pool and those of one key over all models', async () => {
        await beat({ worker: 'full', capacity: 0, serves: ['a', 'b', 'c', 'llama'] });
        const bounds = { waitingMax: 3, waitingPerKeyMax: 2 };
        await take({ ...bounds, model: 'a' });
        await take({ ...bounds, model: 'b' });
        expect(await take({ ...bounds, model: 'c' })).toEqual({ kind: 'full', age: expect.any(Number), bound: 'key' });
        await take({ ...bounds, key: 'bob' });
        expect(await take({ ...bounds, key: 'eve' })).toEqual({ kind: 'full', age: expect.any(Number), bound: 'all' });
        await beat();
        expect(await take({ ...bounds, key: 'eve' })).toMatchObject({ kind: 'held' });
      });

      test('lets one wait for a model that nobody serves, though the queue is full', async () => {
        const bounds = { waitingMax: 0, waitingPerKeyMax: 0 };
        expect(await take(bounds)).toMatchObject({ kind: 'wait', servers: 0 });
        expect(await take(bounds)).toMatchObject({ kind: 'full' });
        expect(await take({ ...bounds, model: 'other' })).toMatchObject({ kind: 'wait' });
        await beat({ capacity: 0, serves: ['third'] });
        expect(await take({ ...bounds, model: 'third' })).toMatchObject({ kind: 'full' });
      });

      test.each([
        ['nothing', 0],
        ['less than nothing', -5],
        ['not a number', NaN],
        ['the infinite', Infinity],
      ])('bears a cost of %s', async (_, cost) => {
        await beat();
        await it.hear('g1', true);
        const first = aTake({ cost });
        const second = aTake({ cost });
        await it.ledger.take(first);
        await it.ledger.take(second);
        expect(await it.ledger.leave(aLeave(first.id, { actual: NaN }))).toBe('held');
        expect(await it.ledger.leave(aLeave(second.id, { actual: 3 }))).toBe('held');
        const { usage } = await it.dump();
        expect(Object.values(usage).every((used) => Number.isFinite(used) && used > 0)).toBe(true);
      });

      test('refuses names, lists and announcements beyond their bounds', async () => {
        await expect(take({ model: 'm'.repeat(513) })).rejects.toThrow(RangeError);
        await expect(beat({ announcement: 'x'.repeat(announcementBytesMax + 1) })).rejects.toThrow(RangeError);
        await expect(beat({ running: Array.from({ length: 1_025 }, () => running(anId())) })).rejects.toThrow(
          RangeError,
        );
        expect(await beat({ announcement: 'x'.repeat(65_536) })).toMatchObject({ kind: 'ok' });
      });
    });

    describe('leaving', () => {
      test('frees the slot, once', async () => {
        await beat();
        const { id } = await held();
        expect(await it.ledger.leave(aLeave(id))).toBe('held');
        expect(await it.ledger.leave(aLeave(id))).toBe('gone');
        expect(await take()).toMatchObject({ kind: 'held' });
        expect(await take()).toMatchObject({ kind: 'wait' });
      });

      test('withdraws a ticket, which then gets nothing', async () => {
        await it.hear('g1', true);
        const { id } = await waiting();
        expect(await it.ledger.leave(aLeave(id))).toBe('waited');
        await beat();
        expect(await pushedIds()).toEqual([]);
        expect(await it.ledger.leave(aLeave(id))).toBe('gone');
      });

      test('hands the slot to the next in line and tells its gateway', async () => {
        await it.hear('g2', true);
        await beat();
        const { id } = await held();
        const next = aTake({ gateway: 'g2' });
        await it.ledger.take(next);
        await it.ledger.leave(aLeave(id));
        expect(await it.pushed()).toMatchObject([{ gateway: 'g2', grant: { id: next.id, worker: 'w1', epoch: 'e1' } }]);
        expect(await stateOf(next.id, 'g2')).toBe('held');
      });

      test('gives nothing to a gateway that does not listen: the one behind is served in the same step', async () => {
        await it.hear('g2', true);
        await beat();
        const { id } = await held();
        const deaf = await waiting({ gateway: 'g1' });
        it.advance(10);
        const hearing = await waiting({ gateway: 'g2' });
        await it.ledger.leave(aLeave(id));
        expect(await pushedIds()).toEqual([hearing.id]);
        expect(await stateOf(deaf.id)).toBe('gone');
      });

      test('looks at no more than 64 tickets of gateways that do not listen, and goes on at the next beat', async () => {
        await it.hear('g2', true);
        for (let n = 0; n < 70; n++) await waiting({ gateway: 'deaf' });
        it.advance(10);
        const { id } = await waiting({ gateway: 'g2' });
        await beat();
        expect(await pushedIds()).toEqual([]);
        await beat();
        expect(await pushedIds()).toEqual([id]);
      });

      test('parks a worker that refused until its next beat', async () => {
        await it.hear('g1', true);
        await beat({ capacity: 2 });
        const { id } = await held();
        await it.ledger.leave(aLeave(id, { actual: 0, refused: true }));
        const { id: next } = await waiting();
        await beat({ capacity: 2 });
        expect(await pushedIds()).toEqual([next]);
      });

      test('passes over up to eight tickets that exclude the worker, then leaves the slot', async () => {
        await it.hear('g1', true);
        const shunning = [];
        for (let n = 0; n < 8; n++) shunning.push((await waiting({ exclude: ['w1'] })).id);
        it.advance(10);
        const ninth = await waiting();
        await beat();
        expect(await pushedIds()).toEqual([ninth.id]);
        shunning.push((await waiting({ exclude: ['w1'], age: 0 })).id);
        await waiting();
        await it.ledger.leave(aLeave(ninth.id));
        expect(await pushedIds()).toEqual([ninth.id]);
        await beat({ worker: 'w2' });
        expect((await pushedIds()).slice(1)).toEqual([shunning[8]]);
        await it.ledger.leave(aLeave(shunning[0] ?? ''));
        await beat();
      });
    });

    describe('the line', () => {
      test('serves one key in the order of age, and a job that comes back keeps its age', async () => {
        await it.hear('g1', true);
        const first = await waiting();
        it.advance(1_000);
        const second = await waiting();
        expect(await it.ledger.leave(aLeave(first.id))).toBe('waited');
        it.advance(1_000);
        const again = await waiting({ age: first.age });
        expect(again).toMatchObject({ age: first.age, place: 1 });
        await beat();
        await it.ledger.leave(aLeave(again.id));
        expect(await pushedIds()).toEqual([again.id, second.id]);
      });

      test('does not believe in an age from the future', async () => {
        const now = await waiting();
        expect((await waiting({ age: now.age + 60_000 })).age).toBe(now.age);
      });

      test('serves the team that used less, and inside it the key that used less', async () => {
        await it.hear('g1', true);
        await beat();
        await spend({ team: 'red', key: 'ann' }, 50);
        await spend({ team: 'red', key: 'abe' }, 20);
        await spend({ team: 'blue', key: 'bob' }, 60);
        const { id } = await held({ team: 'grey', cost: 0 });
        const ids = new Map<string, string>();
        for (const [team, key] of [
          ['blue', 'bob'],
          ['red', 'ann'],
          ['red', 'abe'],
          ['new', 'nat'],
        ] as const)
          ids.set((await waiting({ team, key, cost: 0 })).id, key);
        const order = await served(id, ids.size);
        expect(order.map((it) => ids.get(it))).toEqual(['nat', 'bob', 'abe', 'ann']);
      });

      test('forgets usage by half in a minute', async () => {
        await it.hear('g1', true);
        await beat();
        await spend({ team: 'old' }, 100);
        for (let n = 0; n < 180; n++) {
          it.advance(1_000);
          await beat();
        }
        await spend({ team: 'new' }, 20);
        const { id } = await held({ team: 'grey', cost: 0 });
        const owing = await waiting({ team: 'new', cost: 0 });
        const forgiven = await waiting({ team: 'old', cost: 0 });
        expect(await served(id, 2)).toEqual([forgiven.id, owing.id]);
      });

      test('gives a team of weight 3 three times as much as one of weight 1', async () => {
        await it.hear('g1', true);
        await beat();
        let { id } = await held({ team: 'grey', cost: 0 });
        const teams = new Map<string, string>();
        for (let n = 0; n < 30; n++)
          for (const [team, weight] of [
            ['heavy', 3],
            ['light', 1],
          ] as const)
            teams.set((await waiting({ team, weight, cost: 10 })).id, team);
        const order = await served(id, 24);
        expect(order.filter((it) => teams.get(it) === 'heavy')).toHaveLength(18);
        id = order.at(-1) ?? '';
        for (const ticket of [...teams.keys(), id]) await it.ledger.leave(aLeave(ticket));
      });

      test('believes the last weight that a team came with, for all that waits of it', async () => {
        await it.hear('g1', true);
        await beat({ serves: ['llama', 'other'] });
        await spend({ team: 'heavy' }, 20);
        await spend({ team: 'light' }, 10);
        const { id } = await held({ team: 'grey', cost: 0 });
        const light = await waiting({ team: 'light', cost: 0 });
        const heavy = await waiting({ team: 'heavy', model: 'other', cost: 0 });
        const told = await waiting({ team: 'heavy', cost: 0, weight: 3 });
        expect(await served(id, 3)).toEqual([told.id, heavy.id, light.id]);
      });

      test.each([
        ['below nothing', -1, 1],
        ['not a number', NaN, 1],
        ['tiny', 1e-9, 0.01],
        ['infinite', Infinity, 100],
      ])('bears a weight that is %s', async (_, weight, taken) => {
        await waiting({ team: 'odd', weight });
        expect((await it.dump()).weights).toEqual(taken === 1 ? {} : { odd: taken });
      });

      test.each<[string, PriorityClass, string[]]>([
        ['ahead of one with twice its usage in the next class', 0, ['urgent', 'plain']],
        ['no further ahead than a factor of four', 1, ['plain', 'urgent']],
      ])('a class is a head start: %s', async (_, priority, order) => {
        await it.hear('g1', true);
        await beat();
        await spend({ team: 'urgent', key: 'u' }, 60);
        await spend({ team: 'plain', key: 'p' }, 30);
        const { id } = await held({ team: 'grey', cost: 0 });
        const ids = new Map([
          [(await waiting({ team: 'plain', key: 'p', cost: 0 })).id, 'plain'],
          [(await waiting({ team: 'urgent', key: 'u', cost: 0, priority })).id, 'urgent'],
        ]);
        expect((await served(id, 2)).map((ticket) => ids.get(ticket))).toEqual(order);
      });

      test('a waiter of a lower class is served before newcomers of a higher one once it has waited long', async () => {
        await it.hear('g1', true);
        await it.ledger.session(aSession());
        const old = await waiting({ team: 'patient', priority: 2 });
        for (let n = 0; n < 150; n++) {
          it.advance(2_000);
          await it.ledger.session(aSession({ tickets: [old.id] }));
        }
        await waiting({ team: 'eager', priority: 1 });
        await beat();
        expect(await pushedIds()).toEqual([old.id]);
      });

      test('settles what a job really cost, at the inflation of its charge', async () => {
        await beat({ capacity: 2 });
        const exact = aTake({ team: 'exact', cost: 8 });
        const wrong = aTake({ team: 'wrong', cost: 30 });
        await it.ledger.take(exact);
        await it.ledger.take(wrong);
        it.advance(90_000);
        await it.ledger.leave(aLeave(exact.id, { actual: 8 }));
        await it.ledger.leave(aLeave(wrong.id, { actual: 8 }));
        const { usage } = await it.dump();
        expect(usage['twrong']).toBe(usage['texact']);
      });

      test('serves the oldest head across the models of a worker when nobody has used anything', async () => {
        await it.hear('g1', true);
        const first = await waiting({ model: 'mistral' });
        it.advance(5_000);
        await it.ledger.session(aSession({ tickets: [first.id] }));
        await waiting({ model: 'llama' });
        await beat({ serves: ['llama', 'mistral'] });
        expect(await pushedIds()).toEqual([first.id]);
      });

      test('serves the key of a team that has used least, across the models of a worker', async () => {
        await it.hear('g1', true);
        await beat({ serves: ['llama', 'mistral'] });
        await spend({ key: 'flood' }, 50);
        const { id } = await held({ team: 'grey', cost: 0 });
        const flooding = await waiting({ model: 'llama', key: 'flood', cost: 0 });
        it.advance(1_000);
        const modest = await waiting({ model: 'mistral', key: 'modest', cost: 0 });
        expect(await served(id, 2)).toEqual([modest.id, flooding.id]);
      });

      test('gives a tie between two models to the older ticket', async () => {
        await it.hear('g1', true);
        const older = await waiting({ model: 'mistral' });
        it.advance(5_000);
        const newer = await waiting({ model: 'llama' });
        for (const { id } of [older, newer]) await it.ledger.leave(aLeave(id));
        it.advance(45 * 60_000);
        await beat();
        await spend({}, 1_000); // so much that the ages no longer show in the score
        await beat({ last: true });
        for (const { age, id } of [newer, older])
          await waiting({ id, age, model: id === newer.id ? 'llama' : 'mistral' });
        await beat({ serves: ['llama', 'mistral'] });
        expect(await pushedIds()).toEqual([older.id]);
      });

      test('takes among equals the model that the worker names first, and then the team by its name', async () => {
        await it.hear('g1', true);
        const b = await waiting({ team: 'b', model: 'llama' });
        const other = await waiting({ team: 'a', model: 'mistral' });
        const a = await waiting({ team: 'a', model: 'llama' });
        await beat({ serves: ['llama', 'mistral'], capacity: 3 });
        expect(await pushedIds()).toEqual([a.id, b.id, other.id]);
      });

      test.each([
        ['before and after', 499 * 60_000, 120_000],
        ['long before', 30 * 3_600_000, 120_000],
        ['across a silence of weeks before', 500 * 3_600_000, 120_000],
      ])('keeps its order when the era of the inflation moves: usage %s', async (_, firstMs, thenMs) => {
        await it.hear('g1', true);
        await beat();
        await spend({ team: 'red' }, 1); // begins the era
        it.advance(firstMs);
        await beat({ boot: true, epoch: 'e2' });
        await spend({ team: 'red' }, 40);
        const { age } = await waiting({ team: 'sleepy', model: 'other' });
        it.advance(thenMs);
        await beat({ boot: true, epoch: 'e3' });
        await spend({ team: 'blue' }, 5);
        await spend({ team: 'grey' }, 20);
        const { id } = await held({ team: 'last', cost: 0 });
        const ids = new Map<string, string>();
        for (const team of ['grey', 'red', 'blue', 'sleepy']) ids.set((await waiting({ team, age })).id, team);
        expect((await served(id, 4)).map((ticket) => ids.get(ticket))).toEqual(['sleepy', 'blue', 'red', 'grey']);
      });

      test('begins anew when the clock went back by more than an hour', async () => {
        await beat();
        await spend({ team: 'red' }, 40);
        it.advance(-3_700_000);
        await it.ledger.session(aSession());
        const { usage, meta } = await it.dump();
        expect(usage).toEqual({});
        await spend({ team: 'blue' }, 5);
        expect((await it.dump()).usage['tblue']).toBeGreaterThan(1);
        expect(meta?.era).toBeLessThan(1_700_000_000_000);
      });

      test('tells a place that counts the teams which wait as well', async () => {
        await waiting({ team: 'red' });
        await waiting({ team: 'blue' });
        expect(await waiting({ team: 'blue' })).toMatchObject({ place: 4 });
      });

      test('remembers the usage of at most ten thousand teams and keys, the latest', async () => {
        await beat({ capacity: 1_024 });
        await spend({ team: 'first' }, 1);
        for (let n = 0; n < 5_100; n += 100) {
          it.advance(1);
          const jobs = Array.from({ length: 100 }, (_, k) => aTake({ team: `team ${n + k}` }));
          await Promise.all(jobs.map((job) => it.ledger.take(job)));
          await Promise.all(jobs.map((job) => it.ledger.leave(aLeave(job.id))));
        }
        const { usage } = await it.dump();
        expect(Object.keys(usage)).toHaveLength(10_000);
        expect(usage).toHaveProperty('tteam 5099');
        expect(usage).not.toHaveProperty('tfirst');
      });

      test('forgets usage that was not charged for twenty half-lives', async () => {
        await beat();
        await spend({ team: 'red' }, 40);
        it.advance(20 * 60_000 + 1);
        await it.ledger.session(aSession());
        expect((await it.dump()).usage).toEqual({});
      });
    });

    describe('a session', () => {
      test('says of each ticket whether it waits, is held or is gone', async () => {
        await beat();
        const { id } = await held();
        const waiter = await waiting();
        const {
          tickets,
          waiting: total,
          gateways,
        } = await it.ledger.session(aSession({ tickets: [id, waiter.id, 'never-seen'] }));
        expect([...tickets.values()]).toEqual([
          { kind: 'held', worker: 'w1', epoch: 'e1' },
          { kind: 'wait', place: 1, servers: 1 },
          { kind: 'gone' },
        ]);
        expect([total, gateways]).toEqual([1, 1]);
      });

      test('drops a ticket that its gateway does not list, after the grace', async () => {
        const { id } = await waiting();
        it.advance(2_000);
        await it.ledger.session(aSession());
        expect(await stateOf(id)).toBe('wait');
        it.advance(2_001);
        await it.ledger.session(aSession());
        expect(await stateOf(id)).toBe('gone');
      });

      test('gives the grace to a ticket that came back with an old age', async () => {
        const first = await waiting();
        for (let s = 0; s < 10; s++) {
          it.advance(1_000);
          await it.ledger.session(aSession({ tickets: [first.id] }));
        }
        await it.ledger.leave(aLeave(first.id));
        const again = await waiting({ age: first.age });
        await it.ledger.session(aSession());
        expect(await stateOf(again.id)).toBe('wait');
      });

      test('of a silent gateway ends after three seconds, and its tickets with it', async () => {
        await it.ledger.session(aSession({ gateway: 'g1' }));
        const { id } = await waiting({ gateway: 'g1' });
        it.advance(3_001);
        expect((await it.ledger.session(aSession({ gateway: 'g2' }))).waiting).toBe(0);
        expect(await stateOf(id)).toBe('gone');
      });

      test('is opened by the first ticket: a gateway that dies before its first call leaves nothing behind', async () => {
        await waiting({ gateway: 'short-lived' });
        it.advance(3_001);
        expect((await it.ledger.session(aSession({ gateway: 'g2' }))).waiting).toBe(0);
      });

      test('keeps tickets of gateways that say so, through any number of seconds', async () => {
        const { id } = await waiting();
        for (let s = 0; s < 20; s++) {
          it.advance(1_000);
          expect((await it.ledger.session(aSession({ tickets: [id] }))).tickets.get(id)).toEqual({
            kind: 'wait',
            place: 1,
            servers: 0,
          });
        }
      });
    });

    describe('a beat', () => {
      test('hands its free slots to those who wait, one push for each grant', async () => {
        await it.hear('g1', true);
        const ids = [];
        for (let n = 0; n < 5; n++) {
          ids.push((await waiting()).id);
          it.advance(1);
        }
        await beat({ capacity: 3 });
        expect(await pushedIds()).toEqual(ids.slice(0, 3));
      });

      test('adds what a worker that is new here runs at once', async () => {
        expect(await beat({ capacity: 2, running: [running('x')] })).toEqual({
          kind: 'ok',
          added: 1,
          dropped: 0,
          order: null,
        });
        expect(await take()).toMatchObject({ kind: 'held' });
        expect(await take()).toMatchObject({ kind: 'wait' });
      });

      test('of a known worker adds what it runs only when it says so twice', async () => {
        await beat();
        const { id } = await held();
        await it.ledger.leave(aLeave(id));
        expect(await beat({ running: [running(id)] })).toMatchObject({ added: 0 });
        // The time counts from the first beat that said so.
        it.advance(300);
        expect(await beat({ running: [running(id)] })).toMatchObject({ added: 0 });
        it.advance(300);
        expect(await beat({ running: [running(id)] })).toMatchObject({ added: 1 });
        expect(await take()).toMatchObject({ kind: 'wait' });
      });

      test('that runs what the ledger thinks still waits adds it at once, and is given it no second time', async () => {
        await it.hear('g1', true);
        await beat({ capacity: 0 });
        const { id } = await waiting();
        expect(await beat({ capacity: 2, running: [running(id)] })).toEqual({
          kind: 'ok',
          added: 1,
          dropped: 0,
          order: null,
        });
        expect(await pushedIds()).toEqual([]);
        expect((await it.ledger.survey()).workers).toMatchObject([{ held: 1 }]);
      });

      test('that does not list a lease again forgets the suspicion', async () => {
        await beat();
        await beat({ running: [running('x')] });
        it.advance(1_000);
        await beat();
        it.advance(1_000);
        expect(await beat({ running: [running('x')] })).toMatchObject({ added: 0 });
      });

      test('drops a lease that the worker does not run, after the grace, and hands the slot on', async () => {
        await it.hear('g1', true);
        await beat();
        await held();
        const { id } = await waiting();
        it.advance(2_000);
        await it.ledger.session(aSession({ tickets: [id] }));
        expect(await beat()).toMatchObject({ dropped: 0 });
        it.advance(1);
        expect(await beat()).toMatchObject({ dropped: 1 });
        expect(await pushedIds()).toEqual([id]);
      });

      test('keeps a lease that the worker runs, however long', async () => {
        await beat();
        const { id } = await held();
        for (let s = 0; s < 20; s++) {
          it.advance(1_000);
          expect(await beat({ running: [running(id)] })).toMatchObject({ dropped: 0 });
        }
        expect(await take()).toMatchObject({ kind: 'wait' });
      });

      test('of another life is stale, unless it is the first of its life: then the old leases are void', async () => {
        await beat();
        await held();
        expect(await beat({ epoch: 'e2' })).toEqual({ kind: 'stale', epoch: 'e1' });
        expect(await beat({ epoch: 'e2', boot: true })).toMatchObject({ kind: 'ok' });
        expect(await take()).toMatchObject({ kind: 'held', epoch: 'e2' });
        expect(await beat({ epoch: 'e1' })).toEqual({ kind: 'stale', epoch: 'e2' });
      });

      test('that is the last takes the worker out of the roster, and its leases with it', async () => {
        await beat();
        const { id } = await held();
        const { version } = (await it.ledger.session(aSession())).roster;
        await beat({ last: true });
        expect((await it.ledger.session(aSession({ rosterVersion: version }))).roster.gone).toEqual(['w1']);
        expect(await it.ledger.leave(aLeave(id))).toBe('gone');
        expect(await take()).toMatchObject({ kind: 'wait' });
      });

      test('of a life that is over does not take the next life out', async () => {
        await beat();
        await beat({ epoch: 'e2', boot: true });
        expect(await beat({ epoch: 'e1', last: true })).toMatchObject({ kind: 'stale' });
        expect(await take()).toMatchObject({ kind: 'held', epoch: 'e2' });
      });

      test('with a smaller capacity or fewer models gives less from then on', async () => {
        await beat({ capacity: 4, serves: ['llama', 'mistral'] });
        await held();
        await beat({ capacity: 2, serves: ['mistral'] });
        expect(await take()).toMatchObject({ kind: 'wait' });
        expect(await take({ model: 'mistral' })).toMatchObject({ kind: 'held' });
        expect(await take({ model: 'mistral' })).toMatchObject({ kind: 'wait' });
      });

      test('moves a lease that another worker turns out to run', async () => {
        await it.hear('g1', true);
        await beat({ worker: 'w1' });
        const { id } = await held();
        const next = await waiting();
        expect(await beat({ worker: 'w2', running: [running(id)] })).toMatchObject({ added: 1 });
        expect(await it.pushed()).toMatchObject([{ gateway: 'g1', grant: { id: next.id, worker: 'w1', epoch: 'e1' } }]);
      });

      test('gives nothing to a gateway that has been silent for three seconds, though it seems to listen', async () => {
        await it.hear('g1', true);
        await waiting();
        it.advance(3_001);
        await beat();
        expect(await pushedIds()).toEqual([]);
      });

      test('of one worker buries another that is silent', async () => {
        await beat({ worker: 'w1' });
        it.advance(5_001);
        await beat({ worker: 'w2' });
        expect((await it.ledger.survey()).workers).toEqual([{ worker: 'w2', held: 0, capacity: 1 }]);
      });

      test('missing for five seconds buries the worker', async () => {
        await beat();
        const { id } = await held();
        it.advance(5_001);
        await it.ledger.session(aSession());
        expect((await it.ledger.survey()).workers).toEqual([]);
        expect(await it.ledger.leave(aLeave(id))).toBe('gone');
        expect(await take()).toMatchObject({ kind: 'wait' });
      });
    });

    describe('a claim', () => {
      const claim = (some: Parameters<typeof aClaim>[0] = {}) => it.ledger.claim(aClaim(some));
      const orderOf = async (some: Parameters<typeof aBeat>[0] = {}) => {
        const reply = await beat(some);
        return reply.kind === 'ok' ? reply.order : reply;
      };

      test('orders the load of a cold model once, however many gateways propose it, and where', async () => {
        await beat({ worker: 'w1' });
        await beat({ worker: 'w2' });
        const claims = [];
        for (let n = 0; n < 10; n++) claims.push(await claim({ gateway: `g${n}`, worker: n % 3 === 0 ? 'w1' : 'w2' }));
        expect(claims).toEqual(['ordered', ...Array.from({ length: 9 }, () => 'loading')]);
        expect(await orderOf({ worker: 'w1' })).toEqual({ model: 'cold', victim: '' });
        expect(await orderOf({ worker: 'w2' })).toBeNull();
      });

      test('answers its author the same when it is asked again, heard of or not', async () => {
        await beat();
        expect([await claim(), await claim()]).toEqual(['ordered', 'ordered']);
        await beat({ loading: { model: 'cold', victim: '' } });
        expect(await claim()).toBe('ordered');
        expect(await claim({ gateway: 'g2' })).toBe('loading');
      });

      test.each<[string, Parameters<typeof aClaim>[0]]>([
        ['the life of the worker is another', { epoch: 'e0' }],
        ['there is no such worker', { worker: 'w9' }],
        ['the worker has announced something since', { rosterVersion: 1 }],
        ['another worker serves the model by now', { servers: 1 }],
        ['the worker serves the model', { model: 'llama', servers: 1 }],
        ['the worker does not serve the victim', { victim: 'mistral' }],
      ])('is not ordered when %s', async (_, some) => {
        await beat();
        expect(await claim(some)).toBe('moved');
        expect(await orderOf()).toBeNull();
      });

      test('is not ordered of a worker that is to load another model', async () => {
        await beat();
        await claim();
        expect(await claim({ model: 'other' })).toBe('moved');
      });

      test('withdraws the victim while the order stands: nothing new there, other models go on', async () => {
        await it.hear('g1', true);
        await beat({ capacity: 3, serves: ['llama', 'mistral'] });
        const { id } = await held();
        expect(await claim({ victim: 'llama' })).toBe('ordered');
        expect(await take()).toMatchObject({ kind: 'wait', servers: 0 });
        expect(await take({ model: 'mistral' })).toMatchObject({ kind: 'held' });
        const order = { model: 'cold', victim: 'llama' };
        const heard = { capacity: 3, serves: ['llama', 'mistral'], running: [running(id)], loading: order };
        expect(await orderOf(heard)).toEqual(order);
        it.advance(1_000);
        await beat(heard);
        await it.ledger.leave(aLeave(id));
        expect(await pushedIds()).toEqual([]);
      });

      test('ends with the beat that serves the model, which fills the free slots', async () => {
        await it.hear('g1', true);
        await beat({ capacity: 2 });
        const first = await waiting({ model: 'cold' });
        expect(first).toMatchObject({ servers: 0 });
        await claim({ victim: 'llama' });
        await beat({ capacity: 2, loading: { model: 'cold', victim: 'llama' } });
        expect(await pushedIds()).toEqual([]);
        expect(await orderOf({ capacity: 2, serves: ['cold'] })).toBeNull();
        expect(await pushedIds()).toEqual([first.id]);
        expect((await it.dump()).loads).toEqual({});
      });

      test('is void, and the victim served again, when the worker has heard of it and loads no more', async () => {
        await beat();
        await claim({ victim: 'llama' });
        await beat({ loading: { model: 'cold', victim: 'llama' } });
        expect(await take()).toMatchObject({ kind: 'wait' });
        await it.hear('g1', true);
        expect(await orderOf()).toBeNull();
        expect(await pushedIds()).toHaveLength(1);
        expect(await claim({ gateway: 'g2' })).toBe('ordered');
      });

      test('is void when the worker says nothing of it for ten seconds', async () => {
        await beat();
        await claim({ victim: 'llama' });
        for (let second = 0; second < 10; second++) {
          expect(await orderOf()).toEqual({ model: 'cold', victim: 'llama' });
          it.advance(1_001);
        }
        expect(await orderOf()).toBeNull();
        expect(await take()).toMatchObject({ kind: 'held' });
      });

      test('is void for the others, too, when the worker has gone silent', async () => {
        await beat();
        await beat({ worker: 'w2' });
        await claim();
        it.advance(5_001);
        await beat({ worker: 'w2' });
        expect(await claim({ worker: 'w2', gateway: 'g2' })).toBe('ordered');
      });

      test('is void ten minutes after the worker has heard of it, even when it still says that it loads', async () => {
        await beat();
        await claim({ victim: 'llama' });
        const loading = { model: 'cold', victim: 'llama' };
        await beat({ loading });
        for (let second = 0; second < 600; second += 4) {
          it.advance(4_000);
          expect(await orderOf({ loading })).toEqual(loading);
        }
        it.advance(1);
        expect(await orderOf({ loading })).toBeNull();
      });

      test('is void when the worker begins another life, or leaves', async () => {
        await beat();
        await claim({ victim: 'llama' });
        expect(await orderOf({ epoch: 'e2', boot: true })).toBeNull();
        expect(await take()).toMatchObject({ kind: 'held', epoch: 'e2' });
        expect(await claim({ epoch: 'e2' })).toBe('ordered');
        await beat({ epoch: 'e2', last: true });
        expect((await it.dump()).loads).toEqual({});
      });

      test('that was lost with the ledger goes on when its worker says that it loads', async () => {
        await beat();
        await claim({ victim: 'llama' });
        const loading = { model: 'cold', victim: 'llama' };
        await beat({ loading });
        await it.flush();
        await beat({ worker: 'w2' });
        expect(await orderOf({ loading })).toEqual(loading);
        expect(await claim({ worker: 'w2', gateway: 'g2' })).toBe('loading');
        expect(await take()).toMatchObject({ worker: 'w2' });
      });

      test('of one worker stands though another says that it loads the model, too', async () => {
        await beat();
        await beat({ worker: 'w2' });
        await claim();
        const loading = { model: 'cold', victim: '' };
        expect(await orderOf({ worker: 'w2', loading })).toBeNull();
        expect(await orderOf({ loading })).toEqual(loading);
      });

      test('may ask for a copy of a model that others serve, when it knows how many', async () => {
        await beat({ serves: ['other'] });
        await beat({ worker: 'w2' });
        expect(await claim({ model: 'llama' })).toBe('moved');
        expect(await claim({ model: 'llama', servers: 1 })).toBe('ordered');
      });
    });

    describe('the roster', () => {
      const roster = async (rosterVersion = 0) => (await it.ledger.session(aSession({ rosterVersion }))).roster;

      test('is whole for a gateway that knows nothing, then only what changed', async () => {
        await beat({ announcement: 'one' });
        const first = await roster();
        expect(first).toMatchObject({ whole: true, present: [{ worker: 'w1', announcement: 'one' }] });
        await beat({ announcement: 'one' });
        expect(await roster(first.version)).toEqual({ version: first.version, whole: false, present: [], gone: [] });
        await beat({ worker: 'w2', announcement: 'two' });
        await beat({ announcement: 'changed' });
        const next = await roster(first.version);
        expect(next.present).toEqual([
          { worker: 'w2', announcement: 'two' },
          { worker: 'w1', announcement: 'changed' },
        ]);
        expect(next.version).toBeGreaterThan(first.version);
      });

      test('names who went, and who came back is no longer among them', async () => {
        await beat();
        const { version } = await roster();
        await beat({ last: true });
        expect(await roster(version)).toMatchObject({ present: [], gone: ['w1'] });
        await beat({ boot: true, epoch: 'e2' });
        expect(await roster(version)).toMatchObject({ present: [{ worker: 'w1' }], gone: [] });
      });

      test('is whole again when more have gone than are remembered', async () => {
        await beat({ worker: 'stays' });
        const { version } = await roster();
        for (let n = 0; n < 257; n++) {
          await beat({ worker: `w${n}` });
          await beat({ worker: `w${n}`, last: true });
        }
        const next = await roster(version);
        expect(next).toMatchObject({ whole: true, present: [{ worker: 'stays' }], gone: [] });
        expect((await it.dump()).sorted['rg']).toHaveLength(256);
      });

      test('of a pool that lost everything is not mistaken for the one before', async () => {
        await beat({ announcement: 'before' });
        const { version } = await roster();
        await it.flush();
        it.advance(20);
        await beat({ announcement: 'after' });
        expect(await roster(version)).toMatchObject({ whole: true, present: [{ announcement: 'after' }] });
      });

      test('is whole for a version that never was', async () => {
        await beat();
        expect(await roster((await roster()).version + 1_000)).toMatchObject({ whole: true });
      });
    });

    describe('after everything was lost', () => {
      test('beats and sessions bring leases and tickets back, with their ages', async () => {
        await it.hear('g1', true);
        await beat();
        const lease = await held();
        const ticket = await waiting();
        it.advance(1_000);
        await it.flush();
        const { tickets } = await it.ledger.session(aSession({ tickets: [ticket.id] }));
        expect(tickets.get(ticket.id)).toEqual({ kind: 'gone' });
        expect(await take({ id: ticket.id, age: ticket.age })).toMatchObject({ kind: 'wait', age: ticket.age });
        expect(await beat({ running: [running(lease.id)] })).toEqual({ kind: 'ok', added: 1, dropped: 0, order: null });
        expect(await pushedIds()).toEqual([]);
        await it.ledger.leave(aLeave(lease.id));
        expect(await pushedIds()).toEqual([ticket.id]);
      });

      test('a beat of the life before is stale only if the new one is known already', async () => {
        await beat();
        await it.flush();
        expect(await beat()).toMatchObject({ kind: 'ok' });
      });
    });

    describe('an operation that runs late', () => {
      test('a take after its leave leaves a ticket that the next session drops within the grace', async () => {
        const input = aTake();
        expect(await it.ledger.leave(aLeave(input.id))).toBe('gone');
        await it.ledger.take(input);
        it.advance(2_001);
        await it.ledger.session(aSession());
        expect((await it.ledger.survey()).waiting).toEqual([]);
      });

      test('a take after its leave takes a slot that the next beat frees within the grace', async () => {
        await beat();
        const input = aTake();
        await it.ledger.leave(aLeave(input.id));
        await it.ledger.take(input);
        it.advance(2_001);
        expect(await beat()).toMatchObject({ dropped: 1 });
        expect(await take()).toMatchObject({ kind: 'held' });
      });
    });

    test('keeps apart names with any characters in them', async () => {
      await it.hear('g|1 {x}', true);
      const names = ['a', 'a|1', '1:a', '{a}', 'a b', 'é,"\\', '\u{1F600}', '\uFFFD'];
      await beat({ worker: 'w,1|{y}', epoch: 'e 1', capacity: 1, serves: names });
      const { id } = await held({ model: 'a', gateway: 'g|1 {x}', cost: 0 });
      const ids = [];
      for (const team of names)
        for (const key of names) ids.push((await waiting({ team, key, model: key, gateway: 'g|1 {x}', cost: 1 })).id);
      expect((await served(id, ids.length)).toSorted()).toEqual(ids.toSorted());
      expect((await it.pushed())[0]).toMatchObject({ gateway: 'g|1 {x}', grant: { worker: 'w,1|{y}', epoch: 'e 1' } });
    });

    test('survey tells who waits for what, how full the workers are and with what', async () => {
      await beat({ worker: 'w2', capacity: 3, serves: ['llama', 'b'] });
      await beat({ worker: 'w1', capacity: 0 });
      await held();
      await held({ model: 'b' });
      await held();
      await waiting({ model: 'z' });
      await waiting({ model: 'a', priority: 2 });
      it.advance(700);
      await waiting({ model: 'z' });
      await waiting({ model: 'z', priority: 0 });
      const seen = await it.ledger.survey();
      const age = Math.min(...seen.waiting.map((line) => line.age));
      expect(seen).toEqual({
        waiting: [
          { model: 'a', priority: 2, tickets: 1, age: expect.closeTo(age, -2) },
          { model: 'z', priority: 0, tickets: 1, age: expect.closeTo(age + 700, -2) },
          { model: 'z', priority: 1, tickets: 2, age: expect.closeTo(age, -2) },
        ],
        workers: [
          { worker: 'w1', held: 0, capacity: 0 },
          { worker: 'w2', held: 3, capacity: 3 },
        ],
        leases: [
          { worker: 'w2', model: 'b', held: 1 },
          { worker: 'w2', model: 'llama', held: 2 },
        ],
        counts: counts({}),
      });
    });

    describe('counts', () => {
      test('leases that end with their worker: silent, in another life, departed', async () => {
        await beat({ worker: 'silent', capacity: 2 });
        await held();
        await held();
        it.advance(5_001);
        await beat({ worker: 'again', epoch: 'a1', boot: true });
        await held();
        await beat({ worker: 'again', epoch: 'a2', boot: true });
        await held();
        await beat({ worker: 'again', epoch: 'a2', last: true });
        expect((await it.ledger.survey()).counts).toEqual(
          counts({ leases_dead_worker: 2, leases_new_epoch: 1, leases_worker_left: 1 }),
        );
      });

      test('leases on which ledger and worker disagreed', async () => {
        await beat({ running: [running(anId()), running(anId())] });
        it.advance(2_001);
        await beat();
        expect((await it.ledger.survey()).counts).toEqual(counts({ leases_added: 2, leases_dropped: 2 }));
      });

      test('tickets that their gateway forgot, could not hear or took along', async () => {
        for (const gateway of ['forgetful', 'dead', 'dead']) await waiting({ gateway });
        it.advance(2_001);
        await it.ledger.session(aSession({ gateway: 'forgetful' }));
        it.advance(1_000);
        await it.ledger.session(aSession({ gateway: 'forgetful' }));
        await waiting({ gateway: 'deaf' });
        await beat();
        expect((await it.ledger.survey()).counts).toEqual(
          counts({ tickets_unlisted: 1, tickets_dead_session: 2, tickets_unheard: 1 }),
        );
      });
    });

    async function held(some: Parameters<typeof aTake>[0] = {}) {
      const taken = await take(some);
      if (taken.kind !== 'held') throw new Error(`expected a slot, got ${taken.kind}`);
      return taken;
    }

    async function waiting(some: Parameters<typeof aTake>[0] = {}) {
      const input = aTake(some);
      const taken = await it.ledger.take(input);
      if (taken.kind !== 'wait') throw new Error(`expected a place in the line, got ${taken.kind}`);
      return { ...taken, id: input.id };
    }

    /** Lets somebody use a slot for so long. */
    async function spend(some: Parameters<typeof aTake>[0], slotSeconds: number): Promise<void> {
      const { id } = await held({ ...some, cost: slotSeconds });
      await it.ledger.leave(aLeave(id));
    }

    /** Ends the lease and each one that follows from it: the ids in the order in which they were served. */
    async function served(lease: string, count: number): Promise<string[]> {
      const before = (await it.pushed()).length;
      await it.ledger.leave(aLeave(lease));
      for (let n = 1; n < count; n++) {
        const last = (await it.pushed()).at(-1)?.grant.id ?? '';
        await it.ledger.leave(aLeave(last));
      }
      return (await pushedIds()).slice(before);
    }
  });
}

/** Every count: nothing but what is named. */
function counts(some: Partial<Record<LedgerCount, number>>): Record<string, number> {
  return { ...Object.fromEntries(ledgerCounts.map((name) => [name, 0])), ...some };
}
