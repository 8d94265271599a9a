// From raw samples to the tables of BENCHMARKS.md. Pure: samples in, Markdown out.
import type { Facts } from './machine.ts';
import type { Noise } from './meter.ts';
import type { ChunkSample, MemorySample, RequestSample } from './samples.ts';
import { targetNames } from './targets.ts';
import type { TargetName } from './targets.ts';

/** A sample that was kept, and how often it was taken before that because somebody else used the processor. */
export type Kept<T> = T & { round: number; repeats: number; quiet: boolean };

export interface Results {
  facts: Facts;
  settings: { rounds: number; seconds: number; quick: boolean };
  requests: Kept<RequestSample>[];
  chunks: Kept<ChunkSample>[];
  memory: Kept<MemorySample>[];
  /** Outcomes of Berth's requests as its own metrics count them, at the end of the requests and chunks. */
  outcomes: Record<string, number>;
}

/** A machine with more load than this at the start was not quiet. */
const quietLoadMax = 0.5;
const goals = { requestUs: 200, chunkRatio: 1.6, streamKb: 60 };

/** The document with everything between the markers replaced; appended with markers when it has none. */
export function insert(document: string, tables: string, name = 'bench:gateway'): string {
  const markers = { begin: `<!-- ${name} begin -->`, end: `<!-- ${name} end -->` };
  const block = `${markers.begin}\n${tables.trim()}\n${markers.end}`;
  const begin = document.indexOf(markers.begin);
  const end = document.indexOf(markers.end);
  if (begin < 0 || end < begin) return `${document.trimEnd()}\n\n${block}\n`;
  return document.slice(0, begin) + block + document.slice(end + markers.end.length);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2;
}

export function render(results: Results, rawPath: string): string {
  return [
    facts(results, rawPath),
    goalTable(results),
    results.requests.length > 0 ? requestTables(results.requests) : '',
    results.chunks.length > 0 ? chunkTables(results.chunks) : '',
    results.memory.length > 0 ? memoryTable(results.memory) : '',
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function facts({ facts: it, settings, requests, chunks, memory }: Results, rawPath: string): string {
  const versions = Object.entries(it.versions).map(([name, version]) => `${name} ${version}`);
  const noisy = [...requests, ...chunks, ...memory].filter(({ quiet }) => !quiet).length;
  return [
    `Measured ${it.date.slice(0, 16).replace('T', ' ')} UTC at commit \`${it.commit}\`${it.changed ? ' with uncommitted changes' : ''}`,
    `on ${it.processors} × ${it.processor}, ${it.memoryGiB} GiB, Linux ${it.kernel}; ${versions.join(', ')}.`,
    `${settings.rounds} interleaved rounds of ${settings.seconds} s; medians, in brackets the range over the rounds.`,
    `Load average at the start: ${it.loadAtStart.toFixed(2)}. Raw data: [${rawPath}](${rawPath}).`,
    it.loadAtStart > quietLoadMax ? '\n**The machine was not quiet when this began.**' : '',
    noisy > 0 ? `\n**${noisy} samples were taken while others used more than 10 % of a processor.**` : '',
  ]
    .filter((line) => line !== '')
    .join('\n');
}

function goalTable({ requests, chunks, memory }: Results): string {
  const rows: [string, string, string][] = [];
  const at = (connections: number) =>
    statistics(requests, 'berth', (it) => it.connections === connections, 'gatewayUs');
  for (const connections of distinct(requests, 'connections')) {
    rows.push([
      `processor time per request, everything on, ${connections} connections`,
      `≤ ${goals.requestUs} µs`,
      `${spread(at(connections))} µs`,
    ]);
  }
  for (const offered of distinct(chunks, 'offeredPerS')) {
    const us = (name: TargetName) => median(statistics(chunks, name, (it) => it.offeredPerS === offered, 'gatewayUs'));
    rows.push([
      `processor time per chunk, beside nginx, ${thousands(offered)} chunks/s`,
      `≤ ${goals.chunkRatio} ×`,
      `${fixed(us('berth') / us('nginx'), 2)} ×`,
    ]);
  }
  const own = memory.filter(({ target }) => target === 'berth');
  if (own.length > 0) {
    const asked = `≤ ${goals.streamKb} KB`;
    rows.push(['memory per open stream, from none to the most', asked, `${spread(own.map(kbPerStream))} KB`]);
    rows.push(['memory per open stream, beyond the first step', asked, `${spread(own.map(kbPerLaterStream))} KB`]);
  }
  return table(['goal', 'asked', 'measured'], rows);
}

function requestTables(samples: Kept<RequestSample>[]): string {
  const counts = distinct(samples, 'connections');
  const header = ['', ...counts.flatMap((count) => [`${count} connections: µs of CPU per request`, 'requests/s'])];
  const rows = present(samples).map((name) => [
    label(name),
    ...counts.flatMap((count) => {
      const of = (field: 'gatewayUs' | 'perS') => statistics(samples, name, (it) => it.connections === count, field);
      return [name === 'direct' ? '–' : spread(of('gatewayUs')), thousands(median(of('perS')))];
    }),
  ]);
  const redis = statistics(samples, 'berth', () => true, 'redisUs');
  const failed = samples.reduce((sum, it) => sum + it.failed, 0);
  return [
    '### Requests: 2 KB in, about 530 bytes out',
    table(header, rows),
    `Redis used ${fixed(median(redis), 0)} µs of the other processor for each of Berth's requests. Failed requests, all targets: ${failed}.`,
  ].join('\n\n');
}

function chunkTables(samples: Kept<ChunkSample>[]): string {
  const rates = distinct(samples, 'offeredPerS');
  const columns = (rate: number) => [
    `${thousands(rate)} chunks/s: µs of CPU per chunk`,
    'beside nginx',
    'delivered/s',
    'p50 / p99 ms',
  ];
  const rows = present(samples).map((name) => [
    label(name),
    ...rates.flatMap((rate) => {
      const of = (who: TargetName, field: 'gatewayUs' | 'perS' | 'p50Us' | 'p99Us') =>
        statistics(samples, who, (it) => it.offeredPerS === rate, field);
      const ratio = median(of(name, 'gatewayUs')) / median(of('nginx', 'gatewayUs'));
      return [
        name === 'direct' ? '–' : spread(of(name, 'gatewayUs')),
        name === 'direct' ? '–' : `${fixed(ratio, 2)} ×`,
        thousands(median(of(name, 'perS'))),
        `${fixed(median(of(name, 'p50Us')) / 1_000, 2)} / ${fixed(median(of(name, 'p99Us')) / 1_000, 1)}`,
      ];
    }),
  ]);
  const streams = median(samples.map((it) => it.streams));
  return [
    `### Streams: ${streams} of them, chunks of about 190 bytes`,
    table(['', ...rates.flatMap(columns)], rows),
  ].join('\n\n');
}

function memoryTable(samples: Kept<MemorySample>[]): string {
  const counts = samples[0]?.levels.map(({ streams }) => streams) ?? [];
  const header = [
    '',
    ...counts.map((count) => `MB at ${thousands(count)}`),
    'KB per stream',
    'of which beyond the first step',
  ];
  const rows = present(samples).map((name) => {
    const own = samples.filter(({ target }) => target === name);
    const mb = counts.map((_, index) =>
      fixed(median(own.map(({ levels }) => (levels[index]?.residentBytes ?? 0) / 1e6)), 0),
    );
    return [label(name), ...mb, spread(own.map(kbPerStream)), spread(own.map(kbPerLaterStream))];
  });
  return ['### Memory of open streams, one chunk a second on each', table(header, rows)].join('\n\n');
}

/** From none to the most. */
function kbPerStream({ levels }: MemorySample): number {
  return slopeKb(levels[0], levels.at(-1));
}

/** From the first step, by when code and heap have grown to their size, to the most. */
function kbPerLaterStream({ levels }: MemorySample): number {
  return slopeKb(levels[1], levels.at(-1));
}

type Level = MemorySample['levels'][number];

function slopeKb(from: Level | undefined, to: Level | undefined): number {
  if (!from || !to) return Number.NaN;
  return (to.residentBytes - from.residentBytes) / 1_000 / (to.streams - from.streams);
}

function statistics<T extends { target: TargetName } & Noise, F extends keyof T>(
  samples: readonly T[],
  target: TargetName,
  which: (sample: T) => boolean,
  field: F,
): number[] {
  return samples.filter((it) => it.target === target && which(it)).map((it) => Number(it[field]));
}

function distinct<T>(samples: readonly T[], field: keyof T): number[] {
  return [...new Set(samples.map((it) => Number(it[field])))].sort((a, b) => a - b);
}

function present(samples: readonly { target: TargetName }[]): TargetName[] {
  return targetNames.filter((name) => samples.some(({ target }) => target === name));
}

function label(name: TargetName): string {
  return name === 'berth' ? '**Berth**' : name;
}

/** Median and range: `123 (118–140)`. */
function spread(values: readonly number[]): string {
  const digits = median(values) < 10 ? 1 : 0;
  return `${fixed(median(values), digits)} (${fixed(Math.min(...values), digits)}–${fixed(Math.max(...values), digits)})`;
}

function fixed(value: number, digits: number): string {
  return Number.isFinite(value) ? value.toFixed(digits) : '–';
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, index) => (index === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
