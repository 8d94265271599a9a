// The workers as a gateway knows them: who joined, changed, restarted, went missing, and what cannot be read.
import { beforeEach, describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { writeAnnouncement } from '@berth/shared/announcement.ts';
import type { Announcement } from '@berth/shared/announcement.ts';
import type { RosterChange } from '@berth/shared/ledger/ledger.ts';
import { createLog } from '@berth/shared/log.ts';
import { createRoster } from '../../../gateway/workers/roster.ts';
import type { Roster } from '../../../gateway/workers/roster.ts';
import { virtualClock } from '../../doubles/clock.ts';
import type { VirtualClock } from '../../doubles/clock.ts';
import { aCard } from '../../doubles/fake-worker.ts';

const anAnnouncement = (change: Partial<Announcement> = {}): Announcement => ({
  protocol: 1,
  worker: 'w1',
  epoch: 'e1',
  url: 'http://127.0.0.1:9401',
  slots: 4,
  loadedMax: 1,
  state: 'ready',
  device: 'cpu',
  models: [aCard()],
  ...change,
});
const told = (...all: Announcement[]) => all.map((it) => ({ worker: it.worker, announcement: writeAnnouncement(it) }));

let clock: VirtualClock;
let roster: Roster;
let lines: string[];
let version: number;

beforeEach(() => {
  clock = virtualClock();
  lines = [];
  version = 0;
  const log = createLog({ source: 'test', level: 'debug', clock, write: (line) => void lines.push(line) });
  roster = createRoster({ clock, log });
});

const apply = (change: Partial<RosterChange>) =>
  roster.apply({ version: (version += 1), whole: false, present: [], gone: [], ...change });
const ids = () => roster.workers().map(({ worker }) => worker);

describe('the roster', () => {
  it('keeps the version that it has heard of last', () => {
    expect(roster.version).toBe(0);
    apply({ version: 41 });
    expect(roster.version).toBe(41);
  });

  it('knows a worker, its models and where they are warm', () => {
    const cold = aCard({ name: 'cold:latest', loaded: false });
    apply({
      whole: true,
      present: told(anAnnouncement({ models: [aCard(), cold] }), anAnnouncement({ worker: 'w2', state: 'draining' })),
    });
    expect(ids()).toEqual(['w1', 'w2']);
    expect(roster.model('tiny:latest').map(({ worker }) => worker.worker)).toEqual(['w1', 'w2']);
    expect([roster.warm('tiny:latest'), roster.warm('cold:latest'), roster.warm('nobody')]).toEqual([['w1'], [], []]);
    expect(roster.cards().map(({ name }) => name)).toEqual(['tiny:latest', 'cold:latest', 'tiny:latest']);
  });

  it('adds what a delta tells, and keeps the rest', () => {
    apply({ whole: true, present: told(anAnnouncement()) });
    apply({ present: told(anAnnouncement({ worker: 'w2' })) });
    expect(ids()).toEqual(['w1', 'w2']);
    apply({ present: told(anAnnouncement({ models: [] })) });
    expect(roster.model('tiny:latest').map(({ worker }) => worker.worker)).toEqual(['w2']);
  });

  it('takes out at once who has gone', () => {
    apply({ present: told(anAnnouncement()) });
    apply({ gone: ['w1', 'never known'] });
    expect([ids(), roster.model('tiny:latest'), roster.worker('w1')]).toEqual([[], [], undefined]);
  });
});

describe('what is told again', () => {
  const shelved = aCard({ name: 'shelved:latest', loaded: false, evictable: false });
  const cardOf = (name: string) => roster.model(name)[0]?.card;

  it('is not read again while the cards of what only lies on the disk are the same', () => {
    apply({ present: told(anAnnouncement({ models: [aCard(), shelved] })) });
    const [before, loaded] = [cardOf('shelved:latest'), cardOf('tiny:latest')];
    apply({ present: told(anAnnouncement({ models: [aCard({ heat: 2 }), shelved], slots: 7 })) });
    expect(cardOf('shelved:latest')).toBe(before);
    expect([loaded?.heat, cardOf('tiny:latest')?.heat, roster.worker('w1')?.slots]).toEqual([undefined, 2, 7]);
    apply({ present: told(anAnnouncement({ models: [aCard(), { ...shelved, contextTokens: 9 }] })) });
    expect([cardOf('shelved:latest')?.contextTokens, roster.contexts('shelved:latest').most]).toEqual([9, 9]);
  });

  it('is checked all the same', () => {
    apply({ present: told(anAnnouncement({ models: [shelved] })) });
    const good = told(anAnnouncement({ models: [shelved] }))[0]?.announcement ?? '';
    for (const bad of [good.slice(0, -1), good.replace('"slots":4', '"slots":"4"'), good.replace('"w1"', '"w2"')]) {
      apply({ present: [{ worker: 'w1', announcement: bad }] });
      expect(roster.faulty()).toEqual(['w1']);
      apply({ present: told(anAnnouncement({ models: [shelved] })) });
      expect(roster.faulty()).toEqual([]);
    }
  });

  it('leaves what a look at all workers would find', () => {
    const names = ['a:1', 'b:1', 'c:1'];
    const card = fc
      .record({ name: fc.constantFrom(...names), loaded: fc.boolean(), contextTokens: fc.constantFrom(512, 4_096) })
      .map((change) => aCard(change));
    const one = fc.record({
      worker: fc.constantFrom('w1', 'w2', 'w3'),
      state: fc.constantFrom('ready' as const, 'draining' as const),
      models: fc.uniqueArray(card, { selector: ({ name }) => name, maxLength: 3 }),
    });
    const step = fc.oneof(
      one.map((change) => ({ present: told(anAnnouncement(change)) })),
      fc.constantFrom('w1', 'w2', 'w3').map((worker) => ({ gone: [worker] })),
    );
    const history = fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      roster = createRoster({ clock, log: createLog({ source: 'test', level: 'error', clock, write: () => {} }) });
      for (const change of steps) apply(change);
      for (const name of [...names, 'none']) {
        const all = roster
          .workers()
          .flatMap((worker) =>
            worker.models.filter((each) => each.name === name).map((own) => ({ worker, card: own })),
          );
        const tokens = all.map(({ card: { contextTokens } }) => contextTokens);
        const warm = all.filter(({ worker, card: own }) => own.loaded && worker.state === 'ready');
        const byId = <T extends { worker: Announcement }>(copies: readonly T[]) =>
          copies.toSorted((x, y) => (x.worker.worker < y.worker.worker ? -1 : 1));
        expect(byId(roster.model(name))).toEqual(byId(all));
        expect(roster.warm(name)).toEqual(byId(warm).map(({ worker }) => worker.worker));
        expect(roster.contexts(name)).toEqual({
          least: Math.min(...tokens),
          most: tokens.length === 0 ? Infinity : Math.max(...tokens),
        });
      }
      const there = new Set(roster.cards().map(({ name }) => name));
      if (there.size > 0) expect([...roster.names()].sort()).toEqual([...there].sort());
    });
    fc.assert(history, { numRuns: 300 });
  });
});

describe('the life of a worker', () => {
  it('goes on while it is announced, changed or not', () => {
    apply({ present: told(anAnnouncement()) });
    const life = roster.life('w1', 'e1');
    apply({ present: told(anAnnouncement({ state: 'draining' })) });
    apply({ whole: true, present: told(anAnnouncement({ models: [] })) });
    expect(life.aborted).toBe(false);
  });

  it('ends when it is announced in another life, which begins', () => {
    apply({ present: told(anAnnouncement()) });
    const old = roster.life('w1', 'e1');
    apply({ present: told(anAnnouncement({ epoch: 'e2' })) });
    expect([old.aborted, roster.life('w1', 'e2').aborted]).toEqual([true, false]);
    expect(String(old.reason)).toContain('restarted');
  });

  it('is over for who asks for one that the roster does not know', () => {
    apply({ present: told(anAnnouncement()) });
    expect([roster.life('w1', 'e0').aborted, roster.life('w9', 'e1').aborted]).toEqual([true, true]);
  });

  it.each([
    ['has gone', { gone: ['w1'] }],
    ['is not in the whole roster', { whole: true }],
  ])('goes on for less than 5 s when it %s, and ends then', async (_how, change) => {
    apply({ present: told(anAnnouncement()) });
    const life = roster.life('w1', 'e1');
    apply(change);
    await clock.advance(4_900);
    apply({});
    expect(life.aborted).toBe(false);
    await clock.advance(200);
    apply({});
    expect(life.aborted).toBe(true);
    expect(ids()).toEqual([]);
    expect(lines.filter((line) => line.includes('worker lost'))).toHaveLength(1);
  });

  it('goes on when it comes back within 5 s, and the count begins anew', async () => {
    apply({ present: told(anAnnouncement()) });
    const life = roster.life('w1', 'e1');
    for (let turn = 0; turn < 3; turn += 1) {
      apply({ whole: true });
      await clock.advance(4_000);
      apply({ present: told(anAnnouncement()) });
    }
    expect([life.aborted, ids()]).toEqual([false, ['w1']]);
  });

  it('goes on while the ledger says nothing', async () => {
    apply({ present: told(anAnnouncement()) });
    const life = roster.life('w1', 'e1');
    await clock.advance(3_600_000);
    expect(life.aborted).toBe(false);
  });
});

describe('a ledger that was emptied', () => {
  const emptied = async () => {
    apply({ whole: true, present: told(anAnnouncement()) });
    apply({ whole: true });
  };

  it('leaves the workers where they are, until they could have told it', async () => {
    await emptied();
    await clock.advance(2_400);
    apply({});
    expect([ids(), roster.model('tiny:latest').length]).toEqual([['w1'], 1]);
    await clock.advance(200);
    apply({});
    expect([ids(), roster.model('tiny:latest')]).toEqual([[], []]);
  });

  it('and went away again before they could, ends nobody: the time begins anew when it answers', async () => {
    await emptied();
    const life = roster.life('w1', 'e1');
    for (let second = 0; second < 60; second += 1) {
      await clock.advance(1_000);
      roster.pause();
    }
    expect([ids(), life.aborted]).toEqual([['w1'], false]);
    apply({ whole: true });
    await clock.advance(2_400);
    apply({});
    expect([ids(), life.aborted]).toEqual([['w1'], false]);
    await clock.advance(2_700);
    apply({});
    expect([ids(), life.aborted]).toEqual([[], true]);
  });
});

describe('an announcement that cannot be used', () => {
  const unusable: [string, string][] = [
    ['no JSON', '{'],
    ['nothing', ''],
    ['null', 'null'],
    ['a number', '7'],
    ['another worker’s', JSON.stringify(anAnnouncement({ worker: 'w2' }))],
    ['of another protocol', JSON.stringify(anAnnouncement({ protocol: 2 }))],
    ['without an address', JSON.stringify(anAnnouncement({ url: '' }))],
    ['with an address that is more than an origin', JSON.stringify(anAnnouncement({ url: 'http://127.0.0.1:1/path' }))],
    ['with an address of another scheme', JSON.stringify(anAnnouncement({ url: 'file:///etc/passwd' }))],
    ['without models', JSON.stringify({ ...anAnnouncement(), models: undefined })],
    ['with a model without a name', JSON.stringify({ ...anAnnouncement(), models: [{}] })],
    ['with a model that is null', JSON.stringify({ ...anAnnouncement(), models: [null] })],
    ['without slots', JSON.stringify({ ...anAnnouncement(), slots: 'four' })],
    ['without an epoch', JSON.stringify({ ...anAnnouncement(), epoch: null })],
  ];

  it.each(unusable)('(%s) is left out with a line in the log, and the others are heard', (_what, announcement) => {
    apply({ present: [{ worker: 'w1', announcement }, ...told(anAnnouncement({ worker: 'w3' }))] });
    expect(ids()).toEqual(['w3']);
    expect(lines.filter((line) => line.includes('"error"'))).toHaveLength(1);
    expect(roster.model('tiny:latest')).toHaveLength(1);
  });
});
