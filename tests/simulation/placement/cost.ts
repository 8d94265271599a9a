// What the choice of a worker costs a gateway, in pools of different size: processor time of the production's functions.
import type { Announcement } from '@berth/shared/announcement.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { silentLog } from '@berth/shared/log.ts';
import { milestonesOf, openingOf, packHashes } from '@berth/shared/prefix.ts';
import { rankSeats } from '../../../gateway/placement/rank.ts';
import { createRoster } from '../../../gateway/workers/roster.ts';
import { aCard } from '../../doubles/fake-worker.ts';
import { virtualClock } from '../../doubles/clock.ts';
import { chanceFrom } from '../../models/chance.ts';

export interface Cost {
  workers: number;
  models: number;
  /** Milestones of a prompt of so many characters in so many messages. */
  hashUs: number;
  /** The order of workers, from the milestones. */
  rankUs: number;
  /** Reading one worker's announcement with 1,536 hashes, of which 10 are new, into the roster. */
  announceMs: number;
}

const messages = 12;
const messageChars = 1_500;
const loadedEach = 3;
const hashesEach = 1_536;

/** @param requests measured after as many that warm up */
export function placementCost(workers: number, models: number, requests: number): Cost {
  const chance = chanceFrom(workers);
  const clock = virtualClock();
  const roster = createRoster({ clock, log: silentLog });
  const generations = Array.from({ length: 200 }, (_, at) =>
    parseOpenaiChat({
      model: 'm',
      messages: Array.from({ length: messages }, (_, turn) => ({
        role: turn % 2 === 0 ? 'user' : 'assistant',
        content: `${at} ${turn} `.padEnd(messageChars, 'lorem ipsum '),
      })),
    }),
  );
  const known = generations.map((generation, at) => milestonesOf('red', `m${at % models}`, generation));
  const announced = (at: number, fresh: number): string => {
    const hashes = Array.from({ length: hashesEach }, (_, n) =>
      n < fresh ? Math.floor(chance.unit() * 2 ** 40) : at * hashesEach + n,
    );
    const held = known[at % known.length]?.map(({ hash }) => hash) ?? [];
    const announcement: Announcement = {
      protocol: 1,
      worker: `w${String(at).padStart(5, '0')}`,
      epoch: 'e',
      url: `http://w${at}:9401`,
      slots: 8,
      loadedMax: loadedEach,
      state: 'ready',
      device: 'cpu',
      prefixes: packHashes([...held, ...hashes]),
      models: Array.from({ length: loadedEach }, (_, n) => aCard({ name: `m${(at * loadedEach + n) % models}` })),
    };
    return JSON.stringify(announcement);
  };
  const apply = (ats: readonly number[], fresh: number, version: number): void => {
    const present = ats.map((at) => ({
      worker: `w${String(at).padStart(5, '0')}`,
      announcement: announced(at, fresh),
    }));
    const beganMs = performance.now();
    roster.apply({ version, whole: false, present, gone: [] });
    appliedMs += performance.now() - beganMs;
  };
  let appliedMs = 0;
  const all = Array.from({ length: workers }, (_, at) => at);
  apply(all, 0, 1);
  appliedMs = 0;
  apply(all, 10, 2);
  const announceMs = appliedMs / workers;

  const asked = Array.from({ length: requests }, (_, at) => ({
    at: at % generations.length,
    model: `m${at % models}`,
  }));
  const hash = () => asked.map(({ at, model }) => milestonesOf('red', model, generations[at] ?? { prompt: null }));
  const rank = (milestones: ReturnType<typeof hash>) =>
    asked.map(({ at, model }, n) => {
      const generation = generations[at] ?? { prompt: null };
      const own = milestones[n] ?? [];
      const opening = openingOf(own, generation);
      const { of: holders } = roster.cached;
      return rankSeats({ milestones: own, opening, warm: roster.warm(model), holders, spare: roster.spare });
    });
  rank(hash());
  const hashed = timed(hash);
  const ranked = timed(() => rank(hashed.result));
  return {
    workers,
    models,
    hashUs: (hashed.ms * 1_000) / requests,
    rankUs: (ranked.ms * 1_000) / requests,
    announceMs,
  };
}

function timed<T>(work: () => T): { ms: number; result: T } {
  const before = process.cpuUsage();
  const result = work();
  const { user, system } = process.cpuUsage(before);
  return { ms: (user + system) / 1_000, result };
}
