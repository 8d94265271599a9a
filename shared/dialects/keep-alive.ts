// How long an idle model stays loaded, as a request says it: Ollama's grammar (its api/types.go).
import { goDurationMs } from '../config.ts';
import type { KeepAliveMs } from '../request.ts';
import { type Check, refuse } from './check.ts';

/** Longer than this is for ever, which also keeps every timer's arithmetic exact. */
const foreverMs = 100 * 365 * 24 * 3_600_000;
const writtenCharsMax = 64;

/** A number is seconds; a string needs a unit, as in Ollama: `"300"` is an error. Negative is for ever. */
export const keepAlive: Check<KeepAliveMs> = (value, path) => {
  const durationMs = typeof value === 'number' ? value * 1000 : durationOf(value);
  if (Number.isNaN(durationMs)) {
    return refuse(path, 'must be a number of seconds or a duration with a unit, such as "5m" or "1h30m"');
  }
  return durationMs < 0 || durationMs > foreverMs ? Infinity : durationMs;
};

function durationOf(value: unknown): number {
  return typeof value === 'string' && value.length <= writtenCharsMax ? goDurationMs(value) : Number.NaN;
}
