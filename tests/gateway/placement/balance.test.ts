// Unequal GPUs by measured speed, and copies that do not pay any more.
import { describe, expect, it } from 'vitest';
import type { Announcement } from '@berth/shared/announcement.ts';
import { copiesTooMany, copyMsMin } from '../../../gateway/placement/copies.ts';
import { weightsToTell } from '../../../gateway/placement/weights.ts';
import { aCard } from '../../doubles/fake-worker.ts';

const aWorker = (worker: string, change: Partial<Announcement> = {}): Announcement => ({
  protocol: 1,
  worker,
  epoch: 'e',
  url: `http://${worker}`,
  slots: 4,
  loadedMax: 1,
  state: 'ready',
  device: 'cpu',
  models: [],
  ...change,
});

describe('a weight', () => {
  const told = (...workers: Announcement[]) =>
    weightsToTell(workers).map(({ worker, weight }) => [worker.worker, weight]);

  it('is told to whom is faster or slower than the middle, within bounds', () => {
    const workers = [1_000, 1_000, 3_000, 100, 20_000].map((speed, at) => aWorker(`w${at}`, { speed }));
    expect(told(...workers)).toEqual([
      ['w2', 3],
      ['w3', 0.13],
      ['w4', 8],
    ]);
  });

  it('is not told for what measurements differ anyway, nor twice', () => {
    expect(told(aWorker('a', { speed: 900 }), aWorker('b', { speed: 1_000 }), aWorker('c'))).toEqual([]);
    const pool = [aWorker('a', { speed: 1_000 }), aWorker('b', { speed: 1_000 })];
    expect(told(...pool, aWorker('c', { speed: 3_000, weight: 3 }))).toEqual([]);
    expect(told(...pool, aWorker('c', { speed: 1_000, weight: 3 }))).toEqual([['c', 1]]);
  });
});

describe('a copy goes', () => {
  const copy = (worker: string, heat: number, change = {}) =>
    aWorker(worker, { models: [aCard({ name: 'm', heat, ...change })] });
  const tooMany = (workers: Announcement[], agedMs = copyMsMin, waited = false) =>
    copiesTooMany(
      workers,
      () => agedMs,
      () => waited,
    ).map(({ worker, model }) => [worker.worker, model]);
  const quiet = [copy('a', 0.2), copy('b', 0.2)];

  it('when it is hardly used and the others have room: always the last by name, one at a time', () => {
    expect(tooMany(quiet)).toEqual([['b', 'm']]);
    expect(tooMany([copy('c', 0), ...quiet])).toEqual([['c', 'm']]);
  });

  it.each<[string, Announcement[], number, boolean]>([
    ['it is the only one', [copy('a', 0)], copyMsMin, false],
    ['they are used too much', [copy('a', 0.3), copy('b', 0.3)], copyMsMin, false],
    ['it is new', quiet, copyMsMin - 1, false],
    ['somebody waits for the model', quiet, copyMsMin, true],
    ['it is pinned', [copy('a', 0), copy('b', 0, { pinned: true })], copyMsMin, false],
    ['the other one rests', [aWorker('a', { ...quiet[0], state: 'drained' }), copy('b', 0)], copyMsMin, false],
  ])('not when %s', (_, workers, agedMs, waited) => {
    expect(tooMany(workers, agedMs, waited)).toEqual([]);
  });
});
