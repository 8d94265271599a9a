// Which workers have cached the beginning of a prompt: as they announce it, and as this gateway has sent it lately.
import type { Clock } from '@berth/shared/clock.ts';

export interface Holders {
  /** Workers that hold all up to the milestone; few, in no order. */
  of(hash: number): readonly string[];
  /** What a worker announces now; `[]` = it has gone. */
  announced(worker: string, hashes: readonly number[]): void;
  /** A request with this prompt was sent there: known before the worker announces it. */
  sent(worker: string, hash: number): void;
}

/** Longer than a beat of the worker and a session of this gateway take to bring the announcement. */
const sentMs = 5_000;
const sentMax = 4_096;
/** What more workers than these hold (a system prompt) is known everywhere: who else has it does not matter. */
const workersMax = 64;

export function createHolders(clock: Pick<Clock, 'monotonic'>): Holders {
  const byHash = new Map<number, string[]>();
  const byWorker = new Map<string, ReadonlySet<number>>();
  const lately = new Map<number, { worker: string; untilMs: number }>();
  const nobody: readonly string[] = [];

  function remove(worker: string, hash: number): void {
    const left = (byHash.get(hash) ?? nobody).filter((each) => each !== worker);
    if (left.length > 0) byHash.set(hash, left);
    else byHash.delete(hash);
  }

  return {
    of(hash) {
      const known = byHash.get(hash) ?? nobody;
      const sent = lately.get(hash);
      if (sent === undefined || sent.untilMs < clock.monotonic() || known.includes(sent.worker)) return known;
      return [...known, sent.worker];
    },
    announced(worker, hashes) {
      const before = byWorker.get(worker);
      if (before === undefined && hashes.length === 0) return;
      const now = new Set(hashes);
      for (const hash of before ?? []) if (!now.has(hash)) remove(worker, hash);
      for (const hash of now) {
        if (before?.has(hash)) continue;
        const known = byHash.get(hash);
        if (known === undefined) byHash.set(hash, [worker]);
        else if (known.length < workersMax) known.push(worker);
      }
      if (now.size > 0) byWorker.set(worker, now);
      else byWorker.delete(worker);
    },
    sent(worker, hash) {
      lately.delete(hash);
      lately.set(hash, { worker, untilMs: clock.monotonic() + sentMs });
      const [oldest] = lately.keys();
      if (lately.size > sentMax && oldest !== undefined) lately.delete(oldest);
    },
  };
}
