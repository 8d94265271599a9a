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
    goalTable(results),
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

const goals = { speed: 1, speedWorst: 0.9, prefill: 0.95, cpu: 1, gap: 5, longTtft: 1.15, warm: 10 };
/** The chunk that is the default on a processor. */
const defaultChunk = 128;

/** Each goal beside what was measured, whether it is met or not. */
function goalTable({ throughput, gaps, warm }: Results): string {
  const models = [...new Set(throughput.map(({ model }) => model))];
  const rows = models.flatMap((model) => {
    const own = throughput.filter((it) => it.model === model);
    const ratios = (value: (sample: Throughput) => number) =>
      own.map(({ ours, peer }) => medianOf(ours, value) / medianOf(peer, value));
    const speed = ratios((it) => it.tokensPerS);
    const gap = gaps.find((it) => it.model === model);
    const chunk = gap?.ours.find((it) => it.chunk === defaultChunk)?.samples ?? [];
    const gapGain = medianOf(gap?.peer ?? [], (it) => it.gapMs) / medianOf(chunk, (it) => it.gapMs);
    const longTtft = medianOf(chunk, (it) => it.ttftMs) / medianOf(gap?.peer ?? [], (it) => it.ttftMs);
    const known = warm.find((it) => it.model === model)?.ours ?? [];
    return [
      [`tokens/s, geometric mean over the slot counts`, `≥ ${goals.speed} ×`, `${ratio(geometric(speed))} ×`],
      [`tokens/s, the worst slot count`, `≥ ${goals.speedWorst} ×`, `${ratio(Math.min(...speed))} ×`],
      [
        `processor time per token, geometric mean`,
        `≤ ${goals.cpu} ×`,
        `${ratio(geometric(ratios((it) => it.cpuUsPerToken)))} ×`,
      ],
      [
        `prompt tokens/s, geometric mean`,
        `≥ ${goals.prefill} ×`,
        `${ratio(geometric(ratios((it) => it.prefillPerS)))} ×`,
      ],
      [`worst gap beside a prompt of 2,048 tokens, smaller by`, `≥ ${goals.gap} ×`, `${ratio(gapGain)} ×`],
      [`that prompt's time to the first token`, `≤ ${goals.longTtft} ×`, `${ratio(longTtft)} ×`],
      [
        `first token with 1,900 of 2,000 tokens known, sooner by`,
        `≥ ${goals.warm} ×`,
        `${ratio(medianOf(known, (it) => it.coldMs) / medianOf(known, (it) => it.warmMs))} ×`,
      ],
    ].map((cells) => [model, ...cells]);
  });
  return table(['model', "ours beside llama-server's", 'goal', 'measured'], rows);
}

function geometric(ratios: readonly number[]): number {
  return Math.exp(ratios.reduce((sum, value) => sum + Math.log(value), 0) / ratios.length);
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
