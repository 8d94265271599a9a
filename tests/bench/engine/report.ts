// From samples to tables: medians and ratios, goals beside them. Pure.
import { cpuTuning } from '../../../worker/engine/llama/tuning.ts';
import type { LoopFigures } from './loop.ts';
import { median } from './samples.ts';
import type { Gap, Throughput } from './samples.ts';

export interface Results {
  date: string;
  commit: string;
  machine: string;
  versions: string;
  loadAtStart: number;
  throughput: Speed[];
  gaps: { model: string; peer: Gap[]; ours: { chunk: number; samples: Gap[] }[] }[];
  freed: { model: string; ours: number[]; peer: number[] }[];
  warm: { model: string; ours: Warm[]; peer: Warm[] }[];
  loop: ({ model: string } & LoopFigures)[];
  /** What could not be measured, and why. */
  failures: string[];
}

/** Whole answers, and short ones of which only the beginning counts. */
interface Speed extends Pair {
  model: string;
  slots: number;
  starts: Pair;
}

interface Pair {
  ours: Throughput[];
  peer: Throughput[];
}

interface Warm {
  coldMs: number;
  warmMs: number;
}

const medianOf = <T>(samples: readonly T[], value: (sample: T) => number): number => median(samples.map(value));
const digits = (value: number, count: number): string => (Number.isFinite(value) ? value.toFixed(count) : '–');
const whole = (value: number): string => digits(value, 0);
const ratio = (value: number): string => digits(value, 2);
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly string[][]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

/** A machine with more load than this at the start was not quiet. */
const quietLoadMax = 0.5;

/** @param rawPath where the samples are */
export function report(results: Results, rawPath: string): string {
  const { date, commit, machine, versions, loadAtStart } = results;
  const measured = `Measured ${date.slice(0, 16).replace('T', ' ')} UTC at commit \`${commit}\` on ${machine}; ${versions}.`;
  return [
    `${measured}\nBoth engines up at once, one thread each, asked in turn; medians, and of the ratios within a round. Raw data: [${rawPath}](${rawPath}).`,
    `Load average at the start: ${loadAtStart.toFixed(2)}; others used ${noise(results)} of a processor meanwhile.`,
    loadAtStart > quietLoadMax ? '**The machine was not quiet when this began.**' : '',
    goalTable(results),
    results.throughput.length > 0 ? `### Speed\n\n${throughputTable(results)}` : '',
    results.gaps.length > 0 ? `### A long prompt beside a running stream\n\n${gapTable(results)}` : '',
    results.freed.length > 0 ? `### Cancellation\n\n${freedTable(results)}` : '',
    results.warm.length > 0 ? `### A known prefix\n\n${warmTable(results)}` : '',
    results.loop.length > 0 ? `### The loop by itself, eight answers\n\n${loopTable(results)}` : '',
    results.failures.length > 0 ? `Not measured: ${results.failures.join('; ')}.` : '',
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** The chunk that the product takes on a CPU. */
const chunkDefault = cpuTuning.prefillTokensBusy;

function goalTable(results: Results): string {
  const rows = [
    ...modelsOf(results.throughput).flatMap((model) => speedGoals(model, results)),
    ...results.gaps.flatMap(({ model, peer, ours }) => {
      const samples = ours.find(({ chunk }) => chunk === chunkDefault)?.samples ?? [];
      const [gapRatio, ttftRatio] = [
        ratioOf(samples, peer, (it) => it.gapMs),
        ratioOf(samples, peer, (it) => it.ttftMs),
      ];
      return [
        [`${model}: worst gap while 2,048 tokens are read, chunk ${chunkDefault}`, '≤ 0.20 ×', `${ratio(gapRatio)} ×`],
        [`${model}: TTFT of these 2,048 tokens`, '≤ 1.15 ×', `${ratio(ttftRatio)} ×`],
      ];
    }),
    ...results.loop.map(({ model, stepsToFree: { prefill, decode } }) => [
      `${model}: steps that end before an abandoned sequence is free, in prefill and in decode`,
      '≤ 1',
      `${prefill}, ${decode}`,
    ]),
    ...results.warm.map(({ model, ours }) => [
      `${model}: TTFT gained by 1,900 of 2,000 tokens known to the slot`,
      '≥ 10 ×',
      `${ratio(medianOf(ours, gained))} ×`,
    ]),
  ];
  return table(['goal, beside llama-server', 'asked', 'measured'], rows);
}

function speedGoals(model: string, { throughput }: Results): string[][] {
  const own = throughput.filter((it) => it.model === model);
  const ratios = (value: (sample: Throughput) => number) => own.map(({ ours, peer }) => ratioOf(ours, peer, value));
  const [speed, cpu] = [ratios((it) => it.tokensPerS), ratios((it) => it.cpuUsPerToken)];
  const startRatios = (value: (sample: Throughput) => number) =>
    own.map(({ starts: { ours, peer } }) => ratioOf(ours, peer, value));
  const [prefill, ttft] = [startRatios((it) => it.prefillPerS), startRatios((it) => 1 / it.ttftMs)];
  return [
    [`${model}: tokens/s, geometric mean over the slot counts`, '≥ 1.00 ×', `${ratio(geometricMean(speed))} ×`],
    [`${model}: tokens/s, worst slot count`, '≥ 0.90 ×', `${ratio(Math.min(...speed))} ×`],
    [`${model}: processor time per token, geometric mean`, '≤ 1.00 ×', `${ratio(geometricMean(cpu))} ×`],
    [`${model}: prefill speed, worst slot count`, '≥ 0.95 ×', `${ratio(Math.min(...prefill))} ×`],
    [`${model}: 1 / TTFT, worst slot count`, '≥ 0.95 ×', `${ratio(Math.min(...ttft))} ×`],
  ];
}

/** The median over the rounds: what a round's samples share, such as a slow minute of the machine, falls out. */
function ratioOf<T>(ours: readonly T[], peer: readonly T[], value: (sample: T) => number): number {
  return median(ours.flatMap((sample, round) => peer.slice(round, round + 1).map((it) => value(sample) / value(it))));
}

function gained({ coldMs, warmMs }: Warm): number {
  return coldMs / warmMs;
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

function modelsOf(rows: readonly { model: string }[]): string[] {
  return [...new Set(rows.map(({ model }) => model))];
}

function noise({ throughput, gaps }: Results): string {
  const samples = [
    ...throughput.flatMap(({ ours, peer, starts }) => [...ours, ...peer, ...starts.ours, ...starts.peer]),
    ...gaps.flatMap(({ ours, peer }) => [...peer, ...ours.flatMap((it) => it.samples)]),
  ];
  if (samples.length === 0) return 'an unknown share';
  const sorted = samples.map(({ foreignPct }) => foreignPct).sort((a, b) => a - b);
  return `${whole(median(sorted))} % (median) to ${whole(sorted.at(-1) ?? 0)} % (worst)`;
}

function throughputTable({ throughput }: Results): string {
  const head =
    'model, slots|tokens/s ours|llama-server|ratio|prefill ratio|TTFT ms ours / theirs|CPU µs/token ours / theirs';
  const rows = throughput.map(({ model, slots, ours, peer, starts }) => {
    const of = (value: (sample: Throughput) => number) => [medianOf(ours, value), medianOf(peer, value)] as const;
    const [speed, speedPeer] = of((it) => it.tokensPerS);
    const ttft = (samples: readonly Throughput[]) => whole(medianOf(samples, ({ ttftMs }) => ttftMs));
    const [cpu, cpuPeer] = of((it) => it.cpuUsPerToken);
    const ratios = [
      ratioOf(ours, peer, (it) => it.tokensPerS),
      ratioOf(starts.ours, starts.peer, (it) => it.prefillPerS),
    ];
    const rates = [whole(speed), whole(speedPeer), ...ratios.map(ratio)];
    return [
      `${model}, ${slots}`,
      ...rates,
      `${ttft(starts.ours)} / ${ttft(starts.peer)}`,
      `${whole(cpu)} / ${whole(cpuPeer)}`,
    ];
  });
  return table(head.split('|'), rows);
}

function gapTable({ gaps }: Results): string {
  const head = ['model', 'engine', 'worst gap ms', 'smaller by', 'long prompt TTFT ms', 'ratio', 'tokens meanwhile'];
  const rows = gaps.flatMap(({ model, peer, ours }) => {
    const line = (name: string, samples: Gap[]) => {
      const [gapMs, ttftMs] = [medianOf(samples, (it) => it.gapMs), medianOf(samples, (it) => it.ttftMs)];
      const tokens = whole(medianOf(samples, (it) => it.meanwhile));
      return [
        model,
        name,
        whole(gapMs),
        `${ratio(1 / ratioOf(samples, peer, (it) => it.gapMs))} ×`,
        whole(ttftMs),
        ratio(ratioOf(samples, peer, (it) => it.ttftMs)),
        tokens,
      ];
    };
    return [
      line('llama-server, its default', peer),
      ...ours.map(({ chunk, samples }) => line(`ours, chunk ${chunk}`, samples)),
    ];
  });
  return table(head, rows);
}

function freedTable({ freed }: Results): string {
  const rows = freed.map(({ model, ours, peer }) => [model, whole(median(ours)), whole(median(peer))]);
  return table(['model', 'first token after an abandoned prompt, ms: ours', 'llama-server'], rows);
}

function warmTable({ warm }: Results): string {
  const gain = (samples: Warm[]) => {
    const [cold, known] = [medianOf(samples, (it) => it.coldMs), medianOf(samples, (it) => it.warmMs)];
    return `${whole(cold)} → ${whole(known)} (${ratio(medianOf(samples, gained))} ×)`;
  };
  const rows = warm.map(({ model, ours, peer }) => [model, gain(ours), gain(peer)]);
  return table(['model', 'TTFT ms cold → 1,900 of 2,000 tokens known: ours', 'llama-server'], rows);
}

function loopTable({ loop }: Results): string {
  const head = ['model', 'step, µs', 'of it outside native calls, µs', 'share', 'steps measured'];
  const rows = loop.map(({ model, stepUs, ownUs, steps }) => {
    return [model, whole(stepUs), whole(ownUs), `${((100 * ownUs) / stepUs).toFixed(1)} %`, `${steps}`];
  });
  return table(head, rows);
}
