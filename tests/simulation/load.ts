// What the clients of a seed ask for: who, when, what it takes, and how they behave.
import type { PriorityClass } from '@berth/shared/ledger/ledger.ts';
import type { Chance } from '../models/chance.ts';

/** Of the simulated pool. */
export const secret = 'simulated';

/** One request, as planned. */
export interface Work {
  id: string;
  atMs: number;
  model: string;
  team: string;
  key: string;
  /** Of the team; 1 unless it is said. */
  weight?: number;
  priority: PriorityClass;
  stream: boolean;
  bytes: number;
  /** Until the first piece, then between two. */
  silenceMs: number;
  pieces: number;
  pieceMs: number;
  patienceMs: number | null;
  /** The client goes away so long after asking; `null` = it waits for the end. */
  abortMs: number | null;
  /** The client stops reading so long after asking. */
  stallMs: number | null;
  /** Kills the engine that runs it. */
  poison: boolean;
  /** What it means; its id unless it is said. */
  says?: string;
}

export interface LoadSettings {
  jobs: number;
  /** Over how long they are spread. */
  overMs: number;
  models: readonly string[];
  /** Mean of a job's slot-milliseconds. */
  meanMs: number;
  teams: number;
}

/** Requests at random times, in bursts; most are short, a few take ten times as long. */
export function drawLoad(chance: Chance, { jobs, overMs, models, meanMs, teams }: LoadSettings): Work[] {
  const works = Array.from({ length: jobs }, (_, at) => {
    const team = chance.between(1, teams);
    const totalMs = Math.min(10 * meanMs, meanMs * Math.exp(chance.normal() * 0.9 - 0.4));
    const pieces = chance.between(1, 3);
    const burst = chance.happens(0.3) ? Math.floor(chance.unit() * 5) / 5 : chance.unit();
    return {
      id: `job-${at}`,
      atMs: overMs * burst,
      model: chance.pick(models),
      team: `team-${team}`,
      key: `key-${team}-${chance.between(1, 2)}`,
      priority: (chance.happens(0.8) ? 1 : chance.pick([0, 2] as const)) satisfies PriorityClass,
      stream: chance.happens(0.5),
      bytes: chance.between(10, 4_000),
      silenceMs: totalMs / pieces,
      pieces,
      pieceMs: totalMs / pieces,
      patienceMs: chance.happens(0.1) ? chance.between(50, 5_000) : null,
      abortMs: chance.happens(0.1) ? chance.unit() * 3 * meanMs : null,
      stallMs: chance.happens(0.01) ? chance.unit() * meanMs : null,
      poison: chance.happens(0.006),
    } satisfies Work;
  });
  const again = works
    .filter(({ poison }) => poison)
    .map((work) => ({ ...work, id: `${work.id}-again`, says: work.id, atMs: work.atMs + chance.unit() * 4_000 }));
  return [...works, ...again].toSorted((a, b) => a.atMs - b.atMs);
}
