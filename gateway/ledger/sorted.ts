// A set of names in the order of a score, ties by the bytes of the name: what Redis calls a sorted set.
import { compareBytes } from '@berth/shared/ledger/order.ts';

export interface SortedSet {
  readonly size: number;
  /** Adds the member or moves it to the new score. */
  add(member: string, score: number): void;
  /** True when the member was there. */
  remove(member: string): boolean;
  scoreOf(member: string): number | undefined;
  /** How many members come before this one; -1 when it is not there. */
  rankOf(member: string): number;
  at(rank: number): Entry | undefined;
  /** In order; a copy, so that the set may change meanwhile. */
  entries(): Entry[];
}

interface Entry {
  member: string;
  score: number;
}

/** Look-ups by member take constant time, by rank too; changes move at most `size` entries of an array. */
export function createSortedSet(): SortedSet {
  const scores = new Map<string, number>();
  const order: Entry[] = [];

  /** Rank of the first entry that does not come before this one. */
  function search(score: number, member: string): number {
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const entry = order[middle];
      if (entry !== undefined && before(entry, score, member)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function remove(member: string): boolean {
    const score = scores.get(member);
    if (score === undefined) return false;
    order.splice(search(score, member), 1);
    return scores.delete(member);
  }

  return {
    get size() {
      return order.length;
    },
    add(member, score) {
      if (scores.get(member) === score) return;
      remove(member);
      order.splice(search(score, member), 0, { member, score });
      scores.set(member, score);
    },
    remove,
    scoreOf: (member) => scores.get(member),
    rankOf(member) {
      const score = scores.get(member);
      return score === undefined ? -1 : search(score, member);
    },
    at: (rank) => order[rank],
    entries: () => [...order],
  };
}

function before(entry: Entry, score: number, member: string): boolean {
  return entry.score < score || (entry.score === score && compareBytes(entry.member, member) < 0);
}
