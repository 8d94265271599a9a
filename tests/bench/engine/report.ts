// From samples to tables: medians and ratios. Pure.
import { median } from './samples.ts';
import type { Gap, Throughput } from './samples.ts';

export interface Results {
  date: string;
  commit: string;
  machine: string;
  versions: string;
  throughput: { model: string; slots: number; ours: Throughput[]; peer: Throughput[] }[];
  gaps: { model: string; peer: Gap[]; ours: { chunk: number; samples: Gap[] }[] }[];
  freed: { model: string; ours: number[]; peer: number[] }[];
  warm: { model: string; ours: Warm[]; peer: Warm[] }[];
}

interface Warm {
  coldMs: number;
  warmMs: number;
}

const medianOf = <T>(samples: readonly T[], value: (sample: T) => number): number => median(samples.map(value));
const whole = (value: number): string => value.toFixed(0);
const ratio = (value: number): string => value.toFixed(2);
const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly string[][]): string =>
  [row(head), row(head.map(() => '---')), ...rows.map(row)].join('\n');

export function report(results: Results): string {
  return [
    `Measured ${results.date}, commit ${results.commit}, on ${results.machine}; ${results.versions}.`,
    `Both engines up at once, one thread each, asked in turn; medians. Noise: others used ${noise(results)} of a processor.`,
    '',
    throughputTable(results),
    '',
    geometric(results),
    '',
    gapTable(results),
    '',
    freedTable(results),
    '',
    warmTable(results),
    '',
  ].join('\n');
}

function noise({ throughput, gaps }: Results): string {
  const samples = [
    ...throughput.flatMap(({ ours, peer }) => [...ours, ...peer]),
    ...gaps.flatMap(({ ours, peer }) => [...peer, ...ours.flatMap((it) => it.samples)]),
  ];
  const sorted = samples.map(({ foreignPct }) => foreignPct).sort((a, b) => a - b);
  return `${whole(median(sorted))} % (median) to ${whole(sorted.at(-1) ?? 0)} % (worst)`;
}

function throughputTable({ throughput }: Results): string {
  const head =
    'model, slots|tokens/s ours|llama-server|ratio|prefill ratio|TTFT ms ours / theirs|CPU µs/token ours / theirs';
  const rows = throughput.map(({ model, slots, ours, peer }) => {
    const of = (value: (sample: Throughput) => number) => [medianOf(ours, value), medianOf(peer, value)] as const;
    const [speed, speedPeer] = of((it) => it.tokensPerS);
    const [prefill, prefillPeer] = of((it) => it.prefillPerS);
    const [ttft, ttftPeer] = of((it) => it.ttftMs);
    const [cpu, cpuPeer] = of((it) => it.cpuUsPerToken);
    const rates = [whole(speed), whole(speedPeer), ratio(speed / speedPeer), ratio(prefill / prefillPeer)];
    return [`${model}, ${slots}`, ...rates, `${whole(ttft)} / ${whole(ttftPeer)}`, `${whole(cpu)} / ${whole(cpuPeer)}`];
  });
  return table(head.split('|'), rows);
}

function geometric({ throughput }: Results): string {
  const models = [...new Set(throughput.map(({ model }) => model))];
  const means = models.map((model) => {
    const ratios = throughput
      .filter((it) => it.model === model)
      .map(({ ours, peer }) => medianOf(ours, (it) => it.tokensPerS) / medianOf(peer, (it) => it.tokensPerS));
    const mean = Math.exp(ratios.reduce((sum, value) => sum + Math.log(value), 0) / ratios.length);
    return `${model}: ${ratio(mean)} (worst ${ratio(Math.min(...ratios))})`;
  });
  return `Geometric mean of the speed ratios over the slot counts: ${means.join(', ')}.`;
}

function gapTable({ gaps }: Results): string {
  const head = ['model', 'engine', 'worst gap ms', 'smaller by', 'long prompt TTFT ms', 'ratio', 'tokens meanwhile'];
  const rows = gaps.flatMap(({ model, peer, ours }) => {
    const [gapPeer, ttftPeer] = [medianOf(peer, (it) => it.gapMs), medianOf(peer, (it) => it.ttftMs)];
    const line = (name: string, samples: Gap[]) => {
      const [gapMs, ttftMs] = [medianOf(samples, (it) => it.gapMs), medianOf(samples, (it) => it.ttftMs)];
      const tokens = whole(medianOf(samples, (it) => it.meanwhile));
      return [
        model,
        name,
        whole(gapMs),
        `${ratio(gapPeer / gapMs)} ×`,
        whole(ttftMs),
        ratio(ttftMs / ttftPeer),
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
    return `${whole(cold)} → ${whole(known)} (${ratio(cold / known)} ×)`;
  };
  const rows = warm.map(({ model, ours, peer }) => [model, gain(ours), gain(peer)]);
  return table(['model', 'TTFT ms cold → 1,900 of 2,000 tokens known: ours', 'llama-server'], rows);
}
