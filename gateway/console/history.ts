// The last minutes of this gateway in steps of a few seconds, and its last requests, kept for people who look.
import type { Clock } from '@berth/shared/clock.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { Fields } from '@berth/shared/log.ts';
import type { HistoryPart, RecentRow } from './snapshot.ts';

export interface History {
  /** A request has ended. @param fields those of its line in the log */
  ended(outcome: Outcome, fields: Fields): void;
  recent(): readonly RecentRow[];
  /** @param running tokens that answers under way have so far, and since how many seconds */
  series(running: readonly { tokens: number; seconds: number }[]): HistoryPart;
}

const stepMs = 5_000;
/** Five minutes. */
const stepsMax = 60;
const recentMax = 50;
/** Times to the first token that a step keeps, for its percentiles. */
const ttftsMax = 500;
/** Longest text of a client's or an error's making, in characters. */
const textMax = 200;

interface Step {
  requests: number;
  failed: number;
  tokens: number;
  ttftsMs: number[];
  waiting: number;
}

interface Options {
  clock: Pick<Clock, 'now' | 'monotonic'>;
  /** How many wait in the pool, as last heard. */
  waiting: () => number;
}

export function createHistory({ clock, waiting }: Options): History {
  const steps = new Map<number, Step>();
  const recent: RecentRow[] = [];
  const numberAt = (ms: number) => Math.floor(ms / stepMs);

  const stepAt = (number: number): Step => {
    const known = steps.get(number);
    if (known) return known;
    for (const old of steps.keys()) if (old <= numberAt(clock.monotonic()) - stepsMax) steps.delete(old);
    const made: Step = { requests: 0, failed: 0, tokens: 0, ttftsMs: [], waiting: 0 };
    steps.set(number, made);
    return made;
  };
  const sample = () => {
    const step = stepAt(numberAt(clock.monotonic()));
    step.waiting = Math.max(step.waiting, waiting());
    return step;
  };

  return {
    ended(outcome, fields) {
      // Every visit without a session is one, which says nothing of the pool.
      if (outcome === 'unauthorized') return;
      const step = sample();
      step.requests += 1;
      // That a client has left, or had to be refused for its own mistake, is no failure of the pool.
      if (isFailure(outcome)) step.failed += 1;
      const row = rowOf(outcome, fields, clock.now());
      if (row.ttftMs !== null && step.ttftsMs.length < ttftsMax) step.ttftsMs.push(row.ttftMs);
      const shares = spread(row.outputTokens ?? 0, Number(fields['decodeMs'] ?? 0), clock.monotonic());
      for (const [number, tokens] of shares) stepAt(number).tokens += tokens;
      recent.unshift(row);
      recent.length = Math.min(recent.length, recentMax);
    },
    recent: () => recent,
    series(running) {
      sample();
      const last = numberAt(clock.monotonic());
      const numbers = Array.from({ length: stepsMax }, (_, at) => last - stepsMax + 1 + at);
      const underWay = new Map<number, number>();
      for (const { tokens, seconds } of running) {
        for (const [number, share] of spread(tokens, seconds * 1_000, clock.monotonic())) {
          underWay.set(number, (underWay.get(number) ?? 0) + share);
        }
      }
      const all = numbers.map((number) => steps.get(number));
      return {
        stepS: stepMs / 1_000,
        requests: all.map((step) => step?.requests ?? 0),
        failed: all.map((step) => step?.failed ?? 0),
        tokens: all.map((step, at) => Math.round((step?.tokens ?? 0) + (underWay.get(numbers[at] ?? 0) ?? 0))),
        ttftP50Ms: all.map((step) => quantile(step?.ttftsMs ?? [], 0.5)),
        ttftP95Ms: all.map((step) => quantile(step?.ttftsMs ?? [], 0.95)),
        waiting: all.map((step) => step?.waiting ?? 0),
      };
    },
  };
}

/** Outcomes that are the pool's, not the client's. */
const failures = new Set<Outcome>([
  'queue_full',
  'queue_timeout',
  'no_worker',
  'ledger_unavailable',
  'load_failed',
  'worker_failed',
  'engine_died',
  'mount_failed',
  'internal',
]);

function isFailure(outcome: Outcome): boolean {
  return failures.has(outcome);
}

/** Tokens over the steps of the time in which they were made, which ends at `untilMs`; none before the first step kept. */
function spread(tokens: number, duringMs: number, untilMs: number): [step: number, tokens: number][] {
  if (tokens <= 0) return [];
  const fromMs = untilMs - Math.max(1, Math.min(duringMs, stepMs * (stepsMax - 1)));
  const first = Math.floor(fromMs / stepMs);
  const count = Math.floor(untilMs / stepMs) - first + 1;
  return Array.from({ length: count }, (_, at) => {
    const number = first + at;
    const insideMs = Math.min(untilMs, (number + 1) * stepMs) - Math.max(fromMs, number * stepMs);
    return [number, (tokens * insideMs) / (untilMs - fromMs)];
  });
}

function quantile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null;
}

function rowOf(outcome: Outcome, fields: Fields, endedMs: number): RecentRow {
  const text = (name: string) => (fields[name] === undefined || fields[name] === null ? null : cut(fields[name]));
  const number = (name: string) => (typeof fields[name] === 'number' ? fields[name] : null);
  const [output, decodeMs] = [number('outputTokens'), number('decodeMs')];
  return {
    request: text('request') ?? '',
    endedMs,
    outcome,
    why: text('why'),
    dialect: text('dialect') ?? '',
    model: text('model'),
    team: text('team'),
    key: text('key'),
    priority: text('priority'),
    worker: text('worker'),
    reason: text('reason'),
    waitMs: number('waitMs'),
    ttftMs: number('ttftMs'),
    totalMs: number('totalMs') ?? 0,
    loadMs: number('loadMs'),
    promptTokens: number('promptTokens'),
    cachedTokens: number('cachedTokens'),
    outputTokens: output,
    tokensPerS: output && decodeMs ? Math.round((output * 10_000) / decodeMs) / 10 : null,
    retries: number('retries') ?? 0,
  };
}

function cut(value: string | number | boolean): string {
  return String(value).slice(0, textMax);
}
