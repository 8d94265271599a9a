// Which workers a job would rather run on, and why. Pure: data in, an order out; the ledger takes the first with room.
import { charsPerToken } from '@berth/shared/prefix.ts';
import type { Milestone } from '@berth/shared/prefix.ts';
import type { Placement } from '../metric-families.ts';

/** The ledger looks at no more (`Take.prefer`). */
const preferMax = 4;
/** A preferred worker may be so much busier than the emptiest, as a share of its slots: for its place alone … */
const homeSlack = 0;
/** … for a prompt that begins alike, and for a long one, whose reading again would take longest. */
const prefixSlack = 0.25;
const longSlack = 0.75;
/** A prompt that is known up to here counts as long. */
const longTokens = 8_192;
/** Fewer tokens are read again in no time. */
const tokensMin = 16;
/** Who has cached less than this share of what the best has is no better than who is less busy. */
const worthShare = 0.5;
/** What the score is made of. */
const weights = { prefix: 0.7, spare: 0.2, home: 0.1 };

/** A worker that was looked at. Parts of its score lie in [0, 1], and so does the score. */
interface Scored {
  worker: string;
  score: number;
  /** Of the prompt, the share that it has cached. */
  prefix: number;
  /** The same in tokens, about. */
  prefixTokens: number;
  /** 1 where conversations that begin like this one are looked for when nothing is known of them. */
  home: number;
  /** What was unused of it lately. */
  spare: number;
}

export interface Ranked {
  /** At most 4 ids, best first. */
  prefer: string[];
  /** How much busier than the emptiest worker a preferred one may be. */
  slack: number;
  /** Those that were looked at, best first. */
  candidates: Scored[];
}

export interface Asking {
  milestones: readonly Milestone[];
  /** What the turns of one conversation share. */
  opening: Milestone | undefined;
  /** Ids of workers that have the model loaded, in a fixed order. */
  warm: readonly string[];
  /** Who has cached all up to a milestone. */
  holders: (hash: number) => readonly string[];
  /** What is unused of a worker, in [0, 1]. */
  spare: (worker: string) => number;
}

/**
 * 1. Filter: the workers that hold the longest known beginning, those that hold shorter ones, and the home of the
 *    conversation with its neighbours. Others are left to the ledger, which knows who is the least loaded.
 * 2. Score: by what they have cached, then what is unused, then home.
 * 3. Pick: the best four that save enough, in order. How much busier they may be grows with what they save.
 * The cost is that of the prompt's milestones; it does not grow with the pool.
 */
export function rankSeats({ milestones, opening, warm, holders, spare }: Asking): Ranked {
  if (warm.length === 0) return { prefer: [], slack: 0, candidates: [] };
  const chars = milestones.at(-1)?.chars ?? 0;
  const held = new Map<string, number>(); // 1
  for (const milestone of milestones.toReversed()) {
    if (milestone.chars < tokensMin * charsPerToken) break;
    for (const worker of holders(milestone.hash)) if (!held.has(worker)) held.set(worker, milestone.chars);
    if (held.size >= preferMax) break;
  }
  const homes = neighbours(warm, opening?.hash ?? 0);
  const here = [...held.keys()].filter((worker) => isIn(warm, worker));
  const candidates = [...new Set([...here, ...homes])]
    .map((worker): Scored => {
      const known = held.get(worker) ?? 0;
      const parts = { prefix: chars > 0 ? known / chars : 0, home: worker === homes[0] ? 1 : 0, spare: spare(worker) };
      const score = weights.prefix * parts.prefix + weights.home * parts.home + weights.spare * parts.spare; // 2
      return { worker, score, ...parts, prefixTokens: Math.round(known / charsPerToken) };
    })
    .toSorted((a, b) => b.prefix - a.prefix || rough(b.spare) - rough(a.spare) || b.score - a.score);
  const tokens = candidates[0]?.prefixTokens ?? 0;
  const saved = prefixSlack + (longSlack - prefixSlack) * Math.min(1, tokens / longTokens);
  const worth = candidates.filter(({ prefixTokens }) => prefixTokens >= tokens * worthShare);
  const prefer = worth.slice(0, preferMax).map(({ worker }) => worker); // 3
  return { prefer, slack: tokens > 0 ? saved : homeSlack, candidates };
}

/**
 * Why the ledger gave this one.
 * @param loaded whether the model must have been loaded there
 */
export function placementOf(worker: string, { prefer, candidates }: Ranked, loaded: boolean): Placement {
  const chosen = candidates.find((each) => each.worker === worker);
  if (chosen && chosen.prefixTokens > 0) return 'prefix';
  if (worker === prefer[0]) return 'preferred';
  return loaded ? 'warm' : 'cold';
}

/** What is used changes all the time; only a difference of a sixteenth of the slots counts. */
function rough(spare: number): number {
  return Math.round(spare * 16);
}

/** The home and those behind it in the circle. */
function neighbours(warm: readonly string[], hash: number): string[] {
  const start = hash % warm.length;
  return [...warm.slice(start, start + preferMax), ...warm.slice(0, Math.min(start, preferMax))].slice(0, preferMax);
}

/** In a list that is sorted. */
function isIn(sorted: readonly string[], wanted: string): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? '') < wanted) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === wanted;
}
