// Which workers have cached the beginning of a prompt: as they announce it, and as this gateway has sent it lately.
import type { Clock } from '@berth/shared/clock.ts';
import { unpackHashes } from '@berth/shared/prefix.ts';
import type { Milestone } from '@berth/shared/prefix.ts';

export interface Holders {
  /** Workers that hold all up to the milestone; few, in no order. */
  of(hash: number): readonly string[];
  /** What a worker announces now, packed; '' = nothing, or it has gone. */
  announced(worker: string, packed: string): void;
  /** A request was sent there: known before the worker announces it, and for longer than it does. */
  sent(worker: string, milestones: readonly Milestone[]): void;
}

/** As long as files of prompts may well be there. A worker that has lost one costs a detour within the slack. */
const sentMs = 30 * 60_000;
const sentMax = 65_536;
/** What more workers than these hold (a system prompt) is known everywhere: who else has it does not matter. */
const workersMax = 64;

export function createHolders(clock: Pick<Clock, 'monotonic'>): Holders {
  const byHash = new Map<number, string[]>();
  const byWorker = new Map<string, { packed: string; hashes: Float64Array }>();
  const lately = new Map<number, { worker: string; untilMs: number }>();
  const nobody: readonly string[] = [];

  function remove(worker: string, hash: number): void {
    const left = (byHash.get(hash) ?? nobody).filter((each) => each !== worker);
    if (left.length > 0) byHash.set(hash, left);
    else byHash.delete(hash);
  }

  function add(worker: string, hash: number): void {
    const others = byHash.get(hash);
    if (others === undefined) byHash.set(hash, [worker]);
    else if (others.length < workersMax) others.push(worker);
  }

  return {
    of(hash) {
      const known = byHash.get(hash) ?? nobody;
      const sent = lately.get(hash);
      if (sent === undefined || sent.untilMs < clock.monotonic() || known.includes(sent.worker)) return known;
      return [...known, sent.worker];
    },
    announced(worker, packed) {
      const known = byWorker.get(worker);
      if ((known?.packed ?? '') === packed) return;
      const before = known?.hashes ?? none;
      const now = sorted(unpackHashes(packed));
      // Both in order, so that one walk finds what differs.
      for (let [old, fresh] = [0, 0]; old < before.length || fresh < now.length;) {
        const [gone = Infinity, come = Infinity] = [before[old], now[fresh]];
        if (gone < come) remove(worker, gone);
        if (come < gone) add(worker, come);
        if (gone <= come) old += 1;
        if (come <= gone) fresh += 1;
      }
      if (now.length > 0) byWorker.set(worker, { packed, hashes: now });
      else byWorker.delete(worker);
    },
    sent(worker, milestones) {
      const untilMs = clock.monotonic() + sentMs;
      for (const { hash } of milestones) {
        const known = lately.get(hash);
        // The beginning is the same in each turn; it is written down anew when it is old.
        if (known?.worker === worker && known.untilMs - untilMs > -sentMs / 2) continue;
        lately.delete(hash);
        lately.set(hash, { worker, untilMs });
      }
      for (const oldest of lately.keys()) {
        if (lately.size <= sentMax) break;
        lately.delete(oldest);
      }
    },
  };
}

const none = new Float64Array();

/** Each once. */
function sorted(hashes: readonly number[]): Float64Array {
  const all = new Float64Array(hashes).sort();
  let length = 0;
  for (const hash of all) if (length === 0 || hash !== all[length - 1]) all[length++] = hash;
  return all.subarray(0, length);
}
