// The benchmark's report: medians, ratios and the geometric mean are what they are called.
import { expect, test } from 'vitest';
import { report } from './report.ts';
import type { Results } from './report.ts';
import type { Gap, Throughput } from './samples.ts';

const quiet = { foreignPct: 1, stealPct: 0, load1: 0.1 };
const speed = (tokensPerS: number): Throughput => ({
  tokensPerS,
  prefillPerS: 1000,
  ttftMs: 10,
  cpuUsPerToken: 500,
  ...quiet,
});
const pause = (gapMs: number, ttftMs: number): Gap => ({ gapMs, ttftMs, meanwhile: 3, ...quiet });

const results: Results = {
  date: '2026-11-22',
  commit: 'abc',
  machine: 'a machine',
  versions: 'some versions',
  throughput: [
    { model: '15M', slots: 1, ours: [speed(50), speed(400), speed(200)], peer: [speed(100), speed(100), speed(900)] },
    { model: '15M', slots: 8, ours: [speed(50)], peer: [speed(100)] },
  ],
  gaps: [{ model: '15M', peer: [pause(1000, 500)], ours: [{ chunk: 128, samples: [pause(100, 550)] }] }],
  freed: [{ model: '15M', ours: [20], peer: [900] }],
  warm: [{ model: '15M', ours: [{ coldMs: 1000, warmMs: 50 }], peer: [{ coldMs: 900, warmMs: 90 }] }],
};

test('tells the ratio of the medians, and beside the goals their geometric mean and the worst', () => {
  const text = report(results);
  expect(text).toContain('| 15M, 1 | 200 | 100 | 2.00 |');
  expect(text).toContain('| 15M | tokens/s, geometric mean over the slot counts | ≥ 1 × | 1.00 × |');
  expect(text).toContain('| 15M | tokens/s, the worst slot count | ≥ 0.9 × | 0.50 × |');
});

test('tells how much smaller the worst gap is, and what it costs the long prompt', () => {
  expect(report(results)).toContain('| 15M | ours, chunk 128 | 100 | 10.00 × | 550 | 1.10 | 3 |');
});

test('tells what a known prefix gains', () => {
  expect(report(results)).toContain('| 15M | 1000 → 50 (20.00 ×) | 900 → 90 (10.00 ×) |');
});
