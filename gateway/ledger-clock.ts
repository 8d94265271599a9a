// What time it is on the ledger's clock, as its answers tell: how long ago a slot was handed over there.

export interface LedgerClock {
  /** The ledger said that it was `ledgerMs`, between these two moments here. */
  heard(ledgerMs: number, sentMs: number, receivedMs: number): void;
  /** How long before `nowMs` here something happened at `atMs` there; `null` while the ledger said nothing. */
  sinceMs(atMs: number, nowMs: number): number | null;
}

/** An answer is worth more than a quicker one that is this old: clocks drift. */
const keptMs = 60_000;

/**
 * An answer that took so long tells the difference between the clocks to within half of that (Cristian, 1989). The
 * quickest answer of the last minute is believed, and any that contradicts it: then one of the clocks was set anew.
 */
export function createLedgerClock(): LedgerClock {
  let best: { aheadMs: number; errorMs: number; atMs: number } | null = null;
  return {
    heard(ledgerMs, sentMs, receivedMs) {
      const heard = {
        aheadMs: ledgerMs - (sentMs + receivedMs) / 2,
        errorMs: (receivedMs - sentMs) / 2,
        atMs: receivedMs,
      };
      const contradicts = best && Math.abs(heard.aheadMs - best.aheadMs) > heard.errorMs + best.errorMs + 1;
      if (!best || contradicts || heard.errorMs <= best.errorMs || receivedMs - best.atMs > keptMs) best = heard;
    },
    sinceMs: (atMs, nowMs) => best && Math.max(0, nowMs + best.aheadMs - atMs),
  };
}
