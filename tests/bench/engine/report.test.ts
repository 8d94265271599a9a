// The benchmark's report: medians, ratios and the geometric mean are what they are called.
import { expect, test } from 'vitest';
import { cpuTuning } from '../../../worker/engine/llama/tuning.ts';
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
const begun = (ttftMs: number): Throughput => ({ ...speed(1), ttftMs });
const pause = (gapMs: number, ttftMs: number): Gap => ({ gapMs, ttftMs, meanwhile: 3, ...quiet });

const starts = { ours: [begun(20), begun(10), begun(30)], peer: [begun(30), begun(20), begun(30)] };

const chunk = cpuTuning.prefillTokensBusy;

const results: Results = {
  date: '2026-11-22T10:00:00.000Z',
  commit: 'abc',
  machine: 'a machine',
  versions: 'some versions',
  loadAtStart: 0.1,
  throughput: [
    {
      model: '15M',
      slots: 1,
      ours: [speed(50), speed(800), speed(240)],
      peer: [speed(100), speed(400), speed(60)],
      starts,
    },
    { model: '15M', slots: 8, ours: [speed(50)], peer: [speed(100)], starts },
  ],
  gaps: [{ model: '15M', peer: [pause(1000, 500)], ours: [{ chunk, samples: [pause(100, 550)] }] }],
  freed: [{ model: '15M', ours: [20], peer: [900] }],
  warm: [{ model: '15M', ours: [{ coldMs: 1000, warmMs: 50 }], peer: [{ coldMs: 900, warmMs: 90 }] }],
  loop: [{ model: '15M', stepUs: 4000, ownUs: 100, steps: 200, stepsToFree: { prefill: 1, decode: 0 } }],
  failures: [],
};

test('tells medians, the median of the rounds’ ratios, and their geometric mean with the worst', () => {
  const text = report(results, 'raw.json');
  expect(text).toContain('| 15M, 1 | 240 | 100 | 2.00 |');
  expect(text).toContain('| 15M: tokens/s, geometric mean over the slot counts | ≥ 1.00 × | 1.00 × |');
  expect(text).toContain('| 15M: tokens/s, worst slot count | ≥ 0.90 × | 0.50 × |');
});

test('takes the first tokens from the short answers', () => {
  const text = report(results, 'raw.json');
  expect(text).toContain('| 2.00 | 1.00 | 20 / 30 |');
  expect(text).toContain('| 15M: 1 / TTFT, worst slot count | ≥ 0.95 × | 1.50 × |');
});

test('tells how much smaller the worst gap is, and what it costs the long prompt', () => {
  expect(report(results, 'raw.json')).toContain(`| 15M | ours, chunk ${chunk} | 100 | 10.00 × | 550 | 1.10 | 3 |`);
});

test('tells what a known prefix gains', () => {
  expect(report(results, 'raw.json')).toContain('| 15M | 1000 → 50 (20.00 ×) | 900 → 90 (10.00 ×) |');
});

test('puts the goals of gap and cancellation beside what was measured', () => {
  const text = report(results, 'raw.json');
  expect(text).toContain(`| 15M: worst gap while 2,048 tokens are read, chunk ${chunk} | ≤ 0.20 × | 0.10 × |`);
  expect(text).toContain('| 15M: TTFT of these 2,048 tokens | ≤ 1.15 × | 1.10 × |');
  expect(text).toContain('in prefill and in decode | ≤ 1 | 1, 0 |');
});

test('says so when the machine was not quiet, and leaves out what was not measured', () => {
  const text = report({ ...results, loadAtStart: 3, gaps: [] }, 'raw.json');
  expect(text).toContain('**The machine was not quiet when this began.**');
  expect(text).not.toContain('A long prompt beside');
});

test('tells the share of a step that is our own', () => {
  expect(report(results, 'raw.json')).toContain('| 15M | 4000 | 100 | 2.5 % | 200 |');
});

test('what was not measured is no figure, and is named', () => {
  const starts = { ours: [begun(NaN), begun(10)], peer: [begun(5), begun(10)] };
  const throughput = [{ model: '15M', slots: 1, ours: [speed(50)], peer: [speed(50)], starts }];
  const text = report({ ...results, throughput, failures: ['150M, gaps: nothing came for 60 s'] }, 'raw.json');
  expect(text).toContain('| 15M: 1 / TTFT, worst slot count | ≥ 0.95 × | 1.00 × |');
  expect(text).toContain('Not measured: 150M, gaps: nothing came for 60 s.');
});
