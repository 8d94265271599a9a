// How long an idle model stays: Ollama's grammar (api/types.go), which is Go's for durations.
import type { KeepAliveMs } from '../request.ts';
import { type Check, refuse } from './check.ts';

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const step = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
const whole = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/;
/** Longer than this is for ever, which also keeps every timer's arithmetic exact. */
const foreverMs = 100 * 365 * 24 * 3_600_000;

/** Milliseconds of a Go duration such as `1h30m`; negative = for ever = `Infinity`; `null` when it is not one. */
export function parseDuration(written: string): KeepAliveMs | null {
  if (written === '0') return 0;
  if (written.length > 64 || !whole.test(written)) return null;
  const parts = [...written.matchAll(step)].map(([, count, unit]) => Number(count) * (unitMs[unit ?? ''] ?? 0));
  const sum = parts.reduce((total, part) => total + part, 0);
  return untilForever(written.startsWith('-') ? -sum : sum);
}

/** A number is seconds; a string needs a unit, as in Ollama: `"300"` is an error. */
export const keepAlive: Check<KeepAliveMs> = (value, path) => {
  if (typeof value === 'number') return untilForever(value * 1000);
  const read = typeof value === 'string' ? parseDuration(value) : null;
  return read ?? refuse(path, 'must be a number of seconds or a duration with a unit, such as "5m" or "1h30m"');
};

function untilForever(durationMs: number): KeepAliveMs {
  return durationMs < 0 || durationMs > foreverMs ? Infinity : durationMs;
}
