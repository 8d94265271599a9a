// From the requests of a bench to its figures. Pure.
import type { Load, Run } from './load.ts';

/** `null` = nothing was measured. */
interface Percentiles {
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export interface Result {
  load: Load;
  answered: number;
  /** How many failed, by why. */
  errors: Record<string, number>;
  seconds: number;
  /** Of all requests together, output tokens a second. */
  tokensPerS: number;
  requestsPerS: number;
  /** Mean of an answer. */
  outputTokens: number | null;
  promptTokens: number | null;
  ttftMs: Percentiles;
  /** Between two pieces of an answer, over all answers; a piece may hold several tokens when they come fast. */
  gapMs: Percentiles;
  totalMs: Percentiles;
  /** Of one answer, from its question to its end: half, 95 and 99 of 100 answers are at least so fast. */
  userTokensPerS: Percentiles;
}

export function resultOf(load: Load, runs: readonly Run[], wallMs: number): Result {
  const good = runs.filter(({ why }) => why === null);
  const failed = runs.flatMap(({ why }) => why ?? []);
  const seconds = wallMs / 1_000;
  return {
    load,
    answered: good.length,
    errors: Object.fromEntries([...Map.groupBy(failed, (why) => why)].map(([why, all]) => [why, all.length])),
    seconds,
    tokensPerS: sum(good.map(({ outputTokens }) => outputTokens)) / seconds,
    requestsPerS: good.length / seconds,
    outputTokens: mean(good.map(({ outputTokens }) => outputTokens)),
    promptTokens: mean(good.map(({ promptTokens }) => promptTokens)),
    ttftMs: percentiles(good.flatMap(({ piecesMs }) => piecesMs[0] ?? [])),
    gapMs: percentiles(good.flatMap(gapsOf)),
    totalMs: percentiles(good.map(({ endMs }) => endMs)),
    userTokensPerS: percentiles(good.flatMap(speedOf), 'at least'),
  };
}

function gapsOf({ piecesMs }: Run): number[] {
  return piecesMs.slice(1).map((ms, at) => ms - (piecesMs[at] ?? 0));
}

/** From the question to the last token. Of a fast model several pieces are read at once, so that gaps alone tell nothing. */
function speedOf({ endMs, outputTokens }: Run): number[] {
  return endMs > 0 ? [(outputTokens / endMs) * 1_000] : [];
}

/** By nearest rank. `at least` counts from the other end: a share has so much or more. */
function percentiles(values: readonly number[], kind: 'at most' | 'at least' = 'at most'): Percentiles {
  const sorted = values.toSorted((a, b) => (kind === 'at most' ? a - b : b - a));
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : sum(values) / values.length;
}
