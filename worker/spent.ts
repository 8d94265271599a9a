// What settlements are made of.
import type { Settlement } from '@berth/shared/settlement.ts';

export const nothingRan: Omit<Settlement, 'finish' | 'loadMs'> = {
  promptTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  ttftMs: 0,
  prefillMs: 0,
  decodeMs: 0,
};

/** Milliseconds to the microsecond: the rest is noise. */
export function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
