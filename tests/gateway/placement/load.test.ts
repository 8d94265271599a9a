// Which worker loads a model that is waited for, and which model goes for it.
import { describe, expect, test } from 'vitest';
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import {
  copyAfterMs,
  loadFailure,
  patienceMs,
  patienceMsMax,
  patienceMsMin,
  planLoad,
} from '../../../gateway/placement/load.ts';
import type { Demand } from '../../../gateway/placement/load.ts';
import { aCard } from '../../doubles/fake-worker.ts';

const idle = (name: string, expiresAt = 1): ModelCard => aCard({ name, expiresAt });
const busy = (name: string, change: Partial<ModelCard> = {}): ModelCard => aCard({ name, expiresAt: null, ...change });
const onDisk = (name: string, change: Partial<ModelCard> = {}): ModelCard =>
  aCard({ name, loaded: false, evictable: false, ...change });

const aWorker = (worker: string, models: ModelCard[], change: Partial<Announcement> = {}): Announcement => ({
  protocol: 1,
  worker,
  epoch: `life of ${worker}`,
  url: `http://${worker}`,
  slots: 4,
  loadedMax: 1,
  state: 'ready',
  device: 'cpu',
  models,
  ...change,
});

const plan = (workers: Announcement[], demand: Partial<Demand> = {}): [worker: string, victim: string] | null => {
  const load = planLoad(workers, { model: 'x', waitedMs: 0, excluded: [], cold: true, ...demand });
  return load && [load.worker, load.victim];
};

describe('a cold model is loaded', () => {
  test('where there is room, on the worker with the fewest models', () => {
    const two = aWorker('a', [idle('m'), onDisk('x')], { loadedMax: 2 });
    expect(plan([two, aWorker('b', [onDisk('x')], { loadedMax: 2 })])).toEqual(['b', '']);
    expect(plan([two, aWorker('b', [idle('m'), onDisk('x')])])).toEqual(['a', '']);
  });

  test('at once in the place of the idle model that would go first anyway', () => {
    const workers = [aWorker('a', [idle('m', 9), onDisk('x')]), aWorker('b', [idle('n', 3), onDisk('x')])];
    expect(plan(workers)).toEqual(['b', 'n']);
  });

  test('in the place of a busy one only after the patience: the one that most others have, too', () => {
    const workers = [
      aWorker('a', [busy('only'), onDisk('x')]),
      aWorker('b', [busy('m'), onDisk('x')]),
      aWorker('c', [busy('m')]),
    ];
    expect(plan(workers, { waitedMs: patienceMs - 1 })).toBeNull();
    expect(plan(workers, { waitedMs: patienceMs })).toEqual(['b', 'm']);
  });

  test('never in the place of one that has come just now', () => {
    const workers = [aWorker('a', [busy('m', { evictable: false }), onDisk('x')])];
    expect(plan(workers, { waitedMs: patienceMs })).toBeNull();
  });

  test.each<[string, Announcement, Partial<Demand>]>([
    ['does not have it', aWorker('a', [onDisk('y')]), {}],
    ['drains', aWorker('a', [onDisk('x')], { state: 'draining' }), {}],
    ['cannot serve who waits', aWorker('a', [onDisk('x')]), { excluded: ['a'] }],
    ['has failed at it', aWorker('a', [onDisk('x', { failed: { reason: 'no memory' } })]), {}],
  ])('not by a worker that %s', (_, worker, demand) => {
    expect(plan([worker], demand)).toBeNull();
  });
});

describe('a copy of a model that others serve is loaded', () => {
  const served = aWorker('a', [busy('x')]);

  test('where there is room, when somebody has waited for a while', () => {
    const workers = [served, aWorker('b', [onDisk('x')])];
    expect(plan(workers, { cold: false, waitedMs: copyAfterMs - 1 })).toBeNull();
    expect(plan(workers, { cold: false, waitedMs: copyAfterMs })).toEqual(['b', '']);
  });

  test('in the place of an idle model after the patience, and never of a busy one', () => {
    const [other, late] = [aWorker('b', [idle('m'), onDisk('x')]), { cold: false, waitedMs: patienceMs }];
    expect(plan([served, other], { cold: false, waitedMs: patienceMs - 1 })).toBeNull();
    expect(plan([served, other], late)).toEqual(['b', 'm']);
    expect(plan([served, aWorker('b', [busy('m'), onDisk('x')])], late)).toBeNull();
  });
});

describe('with measured times', () => {
  const loads = (ms: number, change: Partial<ModelCard> = {}) => onDisk('x', { loadMs: ms, ...change });

  test('a model is loaded where that is fastest, and what about equals by the number of models', () => {
    const slow = aWorker('a', [loads(20_000)]);
    expect(plan([slow, aWorker('b', [loads(4_000)])])).toEqual(['b', '']);
    expect(plan([aWorker('a', [idle('m'), loads(4_000)], { loadedMax: 2 }), aWorker('b', [loads(4_400)])])).toEqual([
      'b',
      '',
    ]);
  });

  test('the idle model goes whose going costs least, by its load, its use and its other copies', () => {
    const box = (worker: string, heat: number, loadMs: number) =>
      aWorker(worker, [aCard({ name: `m${worker}`, expiresAt: 1, heat, loadMs }), loads(1_000)]);
    const late = { waitedMs: 9_000 };
    expect(plan([box('a', 0.5, 8_000), box('b', 0.2, 8_000)], late)).toEqual(['b', 'mb']);
    expect(plan([box('a', 0.5, 1_000), box('b', 0.2, 8_000)], late)).toEqual(['a', 'ma']);
    const copied = aWorker('d', [aCard({ name: 'mb' })]);
    expect(plan([box('a', 0.2, 6_000), box('b', 0.2, 8_000), copied], late)).toEqual(['b', 'mb']);
  });

  test('what was used all the time stays for as long as both loads take, and no longer', () => {
    const workers = [aWorker('a', [aCard({ name: 'm', expiresAt: 1, heat: 3, loadMs: 2_000 }), loads(4_000)])];
    expect(plan(workers, { waitedMs: 5_999 })).toBeNull();
    expect(plan(workers, { waitedMs: 6_000 })).toEqual(['a', 'm']);
  });

  test('a busy one stays for as long as the load takes, within the bound', () => {
    const box = (ms: number) => [aWorker('a', [busy('m'), loads(ms)])];
    expect(plan(box(15_000), { waitedMs: 14_999 })).toBeNull();
    expect(plan(box(15_000), { waitedMs: 15_000 })).toEqual(['a', 'm']);
    expect(plan(box(1e9), { waitedMs: patienceMsMax })).toEqual(['a', 'm']);
  });

  test('a copy is loaded when the queue pays for the load, and in the place of an idle model when it pays twice', () => {
    const served = aWorker('a', [busy('x')]);
    const free = [served, aWorker('b', [loads(4_000)])];
    const queue = (waiting: number) => ({ cold: false, waitedMs: copyAfterMs, waiting, serviceMs: 2_000 });
    expect(plan(free, queue(7))).toBeNull();
    expect(plan(free, queue(8))).toEqual(['b', '']);
    const full = [served, aWorker('b', [idle('m'), loads(4_000)])];
    expect(plan(full, queue(15))).toBeNull();
    expect(plan(full, queue(16))).toEqual(['b', 'm']);
  });

  test('a copy is loaded, too, when somebody has waited for as long as its load takes, at least 5 s, whatever was expected', () => {
    const served = aWorker('a', [busy('x')]);
    const wait = (waitedMs: number, serviceMs: number | null) => ({ cold: false, waitedMs, waiting: 1, serviceMs });
    const free = (ms: number) => [served, aWorker('b', [loads(ms)])];
    for (const [loadMs, afterMs] of [
      [8_000, 8_000],
      [1_000, patienceMsMin],
    ] as const) {
      expect(plan(free(loadMs), wait(afterMs - 1, 500))).toBeNull();
      expect(plan(free(loadMs), wait(afterMs, 500))).toEqual(['b', '']);
    }
    const full = [served, aWorker('b', [aCard({ name: 'm', expiresAt: 1, heat: 0.5, loadMs: 2_000 }), loads(4_000)])];
    for (const serviceMs of [500, null]) {
      expect(plan(full, wait(9_999, serviceMs))).toBeNull();
      expect(plan(full, wait(10_000, serviceMs))).toEqual(['b', 'm']);
    }
  });

  test('a busy model stays for as long as both loads take, at least 5 s', () => {
    const box = (own: number, other: number) => [aWorker('a', [busy('m', { loadMs: own }), loads(other)])];
    expect(plan(box(9_000, 8_000), { waitedMs: 16_999 })).toBeNull();
    expect(plan(box(9_000, 8_000), { waitedMs: 17_000 })).toEqual(['a', 'm']);
    expect(plan(box(100, 100), { waitedMs: 4_999 })).toBeNull();
    expect(plan(box(100, 100), { waitedMs: 5_000 })).toEqual(['a', 'm']);
  });

  test('a pinned model never goes', () => {
    const box = [aWorker('a', [aCard({ name: 'm', expiresAt: 1, evictable: false, pinned: true }), loads(1)])];
    expect(plan(box, { waitedMs: Infinity })).toBeNull();
  });
});

describe('the two lanes of a worker', () => {
  const lane = (models: ModelCard[]): Announcement => aWorker('a+embeddings', models, { epoch: 'life of a' });

  test('share its room', () => {
    const workers = [aWorker('a', [busy('m')]), lane([onDisk('x')])];
    expect(plan(workers)).toBeNull();
    expect(plan(workers, { cold: false, waitedMs: copyAfterMs })).toBeNull();
    expect(plan([aWorker('a', [busy('m')], { loadedMax: 2 }), { ...lane([onDisk('x')]), loadedMax: 2 }])).toEqual([
      'a+embeddings',
      '',
    ]);
  });

  test('leave it to the worker which model of the other lane goes', () => {
    expect(plan([aWorker('a', [idle('m')]), lane([onDisk('x')])])).toEqual(['a+embeddings', '']);
    const workers = [aWorker('a', [busy('m')]), lane([onDisk('x')])];
    expect(plan(workers, { waitedMs: patienceMs })).toEqual(['a+embeddings', '']);
  });
});

describe('a model cannot be loaded', () => {
  const failed = onDisk('x', { failed: { reason: 'not a model' } });

  test('when all that have it have failed at it, for the reason that they give', () => {
    expect(loadFailure([aWorker('a', [failed]), aWorker('b', [failed, idle('m')])], 'x')).toBe('not a model');
  });

  test.each([
    ['another has not tried', onDisk('x')],
    ['another has it loaded', busy('x')],
  ])('not when %s', (_, card) => {
    expect(loadFailure([aWorker('a', [failed]), aWorker('b', [card])], 'x')).toBeNull();
  });

  test('not while its engine only waits to be started again', () => {
    expect(loadFailure([aWorker('a', [onDisk('x', { failed: { reason: null } })])], 'x')).toBeNull();
  });
});
