// Who got how much, and who waited how long: pools without faults, made for one question each.
import { chanceFrom, type Chance } from '../models/chance.ts';
import type { Work } from './load.ts';
import type { Story } from './oracle.ts';
import type { Plan } from './plan.ts';
import type { WorkerSettings } from './worker.ts';

/** One key's requests: so many a second, for so long, each taking about so long. */
export interface Stream {
  team: string;
  key: string;
  model?: string;
  perS: number;
  fromMs?: number;
  untilMs: number;
  meanMs: number;
  /** Lengths lie so far around the mean, as a share of it. */
  spread?: number;
}

export interface FairSettings {
  seed: number;
  workers: WorkerSettings[];
  streams: Stream[];
  /** Of teams; 1 where nothing is said. */
  weights?: Record<string, number>;
}

export const aWorker = (some: Partial<WorkerSettings> = {}): WorkerSettings => ({
  id: 'w1',
  slots: 4,
  serves: ['hot'],
  slowness: 1,
  ...some,
});

export function fairPlan({ seed, workers, streams, weights = {} }: FairSettings): Plan {
  const chance = chanceFrom(seed);
  const load = streams
    .flatMap((stream, at) => worksOf(stream, at, weights[stream.team] ?? 1, chance))
    .toSorted((a, b) => a.atMs - b.atMs);
  const limits = { waitingMax: 100_000, waitingPerKeyMax: 100_000, queueTimeoutMs: 3_600_000 };
  return { gateways: 3, workers, limits, load, faults: [] };
}

/** How long after its last request a stream waits for answers. */
const leaveMs = 3_000;

/** Poisson arrivals. */
function worksOf(
  { team, key, model = 'hot', perS, fromMs = 0, untilMs, meanMs, spread = 0.5 }: Stream,
  at: number,
  weight: number,
  chance: Chance,
) {
  const works: Work[] = [];
  for (let atMs = fromMs + gapMs(); atMs < untilMs; atMs += gapMs()) {
    const totalMs = meanMs * (1 + spread * (2 * chance.unit() - 1));
    works.push({
      id: `${team}-${key}-${at}-${works.length}`,
      atMs,
      model,
      team,
      key,
      weight,
      priority: 1,
      stream: false,
      bytes: 400,
      silenceMs: totalMs,
      pieces: 1,
      pieceMs: 0,
      patienceMs: null,
      // What is still in the queue then would only take time.
      abortMs: untilMs + leaveMs - atMs,
      stallMs: null,
      poison: false,
    });
  }
  return works;

  function gapMs(): number {
    return (-1_000 / perS) * Math.log(1 - chance.unit());
  }
}

/** When a request got its slot, and how long it kept it, ms. */
export interface Stay {
  story: Story;
  fromMs: number;
  untilMs: number;
  waitMs: number;
}

export function staysOf(stories: readonly Story[]): Stay[] {
  return stories.flatMap((story) => {
    const [start] = story.starts;
    if (start === undefined) return [];
    return [{ story, fromMs: start.atMs, untilMs: start.atMs + story.servedMs, waitMs: start.atMs - story.askedMs }];
  });
}

/** Slot-seconds of each team within a window. */
export function sharesOf(stays: readonly Stay[], fromMs: number, untilMs: number): Map<string, number> {
  const shares = new Map<string, number>();
  for (const stay of stays) {
    const { team } = stay.story.work;
    const insideMs = Math.max(0, Math.min(stay.untilMs, untilMs) - Math.max(stay.fromMs, fromMs));
    shares.set(team, (shares.get(team) ?? 0) + insideMs / 1_000);
  }
  return shares;
}

/** Jain's index: 1 when all are equal, 1/n when one has everything. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return (sum * sum) / (shares.length * squares);
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

/**
 * Mean length of the interval between two releases into which a newcomer falls, ms: Σg² / Σg, for he meets the long
 * ones more often. Releases come in clumps, and no order can serve anybody before the next.
 */
export function seenGapMs(stays: readonly Stay[], fromMs: number, untilMs: number): number {
  const times = stays.map((stay) => stay.untilMs).filter((ms) => ms > fromMs && ms <= untilMs);
  const gaps = times.toSorted((a, b) => a - b).map((ms, at, all) => ms - (all[at - 1] ?? fromMs));
  return gaps.reduce((sum, gap) => sum + gap * gap, 0) / gaps.reduce((sum, gap) => sum + gap, 0);
}

/** Mean time between two releases of a slot within a window, ms. */
export function meanGapMs(stays: readonly Stay[], fromMs: number, untilMs: number): number {
  return (untilMs - fromMs) / releases(stays, fromMs, untilMs);
}

/** Slots that were released within a time. */
export function releases(stays: readonly Stay[], fromMs: number, untilMs: number): number {
  return stays.filter((stay) => stay.untilMs > fromMs && stay.untilMs <= untilMs).length;
}

/** From a moment to the next release, ms: what somebody would wait whom every order serves first. */
export function nextRelease(stays: readonly Stay[], fromMs: number): number {
  return stays.reduce((least, { untilMs }) => (untilMs > fromMs ? Math.min(least, untilMs - fromMs) : least), Infinity);
}
