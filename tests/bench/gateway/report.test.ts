// The tables say what the samples say.
import { describe, expect, test } from 'vitest';
import type { Facts } from './machine.ts';
import { insert, median, render } from './report.ts';
import type { Kept, Results } from './report.ts';
import type { ChunkSample } from './samples.ts';

const facts: Facts = {
  date: '2026-11-22T10:08:50.475Z',
  commit: 'abc',
  changed: false,
  processor: 'P',
  processors: 2,
  memoryGiB: 24,
  kernel: '6',
  filesMax: 20_000,
  versions: { node: '24.0.0' },
  loadAtStart: 0.1,
};
const aSample = (more: Partial<Kept<ChunkSample>>): Kept<ChunkSample> => ({
  target: 'berth',
  streams: 500,
  offeredPerS: 10_000,
  perS: 10_000,
  gatewayUs: 30,
  redisUs: 0,
  workerUs: 10,
  p50Us: 200,
  p99Us: 900,
  failed: 0,
  foreignPct: 0,
  stealPct: 0,
  load1: 0,
  round: 1,
  repeats: 0,
  quiet: true,
  ...more,
});
const results = (more: Partial<Results>): Results => ({
  facts,
  settings: { rounds: 3, seconds: 5, quick: false },
  requests: [],
  chunks: [],
  memory: [],
  outcomes: {},
  ...more,
});

describe('the report', () => {
  test('replaces what lies between its markers and nothing else', () => {
    const once = insert('# Benchmarks\n\nText.\n', 'first');
    expect(insert(`${once}\n## More\n`, 'second')).toBe(`${once.replace('first', 'second')}\n## More\n`);
    expect(once).toContain('Text.');
  });

  test('takes the median of an even number of rounds between the two in the middle', () => {
    expect(median([9, 1, 3, 2])).toBe(2.5);
    expect(median([5, 1, 9])).toBe(5);
  });

  test('sets a goal beside the ratio of the medians, met or not', () => {
    const nginx = [10, 20, 60].map((gatewayUs) => aSample({ target: 'nginx', gatewayUs }));
    const berth = [30, 40, 90].map((gatewayUs) => aSample({ gatewayUs }));
    expect(render(results({ chunks: [...nginx, ...berth] }), 'raw.json')).toContain('| ≤ 1.6 × | 2.00 × |');
  });

  test('says when the machine was not quiet', () => {
    expect(render(results({}), 'raw.json')).not.toContain('not quiet');
    expect(render(results({ facts: { ...facts, loadAtStart: 0.6 } }), 'raw.json')).toContain('was not quiet');
    expect(render(results({ chunks: [aSample({ quiet: false })] }), 'raw.json')).toContain(
      '1 samples were taken while others',
    );
  });
});
