// Which beginnings of prompts this worker has cached, as far as its requests tell: announced, so that the next turn comes.
import { packHashes } from '@berth/shared/prefix.ts';
import type { Milestone } from '@berth/shared/prefix.ts';

export interface Prefixes {
  /** A request of the model begins here, with so many of its prompt's tokens found in the cache. */
  began(model: string, milestones: readonly Milestone[], cachedTokens: number): void;
  /** The model's engine has gone. */
  gone(model: string): void;
  /** Hashes, packed. */
  list(): string;
}

interface Options {
  /** Prompts that all sequences of one model hold. */
  slots: number;
  /** Whether prompts that lose their sequence are kept in files, which outlive an unload. */
  keepsFiles: boolean;
}

/** A file is kept for many a prompt that lost its sequence; more than these are not remembered. */
const filesMax = 1_000;
/** About 10 KB in an announcement: the ends of all prompts, on which next turns build, then where others may have left. */
const toldMax = 1_536;

/**
 * The engine gives a request the sequence that it goes on from, else the one unused for longest; so what is held is
 * what came last. A prompt that was held here and is not found any more is forgotten.
 */
export function createPrefixes({ slots, keepsFiles }: Options): Prefixes {
  const heldMax = slots + (keepsFiles ? filesMax : 0);
  const models = new Map<string, readonly Milestone[][]>();
  let told: string | null = null;

  return {
    began(model, milestones, cachedTokens) {
      const last = milestones.at(-1);
      if (last === undefined) return;
      const own = new Set(milestones.map(({ hash }) => hash));
      const isKept = (held: readonly Milestone[]) => {
        const goesOn = own.has(held.at(-1)?.hash ?? Number.NaN);
        const isLost = cachedTokens === 0 && held.some(({ hash }) => own.has(hash));
        return !goesOn && !isLost;
      };
      const others = (models.get(model) ?? []).filter(isKept);
      models.set(model, [[...milestones], ...others].slice(0, heldMax));
      told = null;
    },
    gone(model) {
      if (!keepsFiles && models.delete(model)) told = null;
    },
    list() {
      if (told !== null) return told;
      const held = [...models.values()].flat();
      const ends = held.slice(0, toldMax / 4).flatMap((milestones) => milestones.at(-1) ?? []);
      const forks = held.flatMap((milestones) => milestones.filter(({ number }) => isFork(number)).toReversed());
      const hashes = new Set([...ends, ...forks].map(({ hash }) => hash));
      told = packHashes([...hashes].slice(0, toldMax));
      return told;
    },
  };
}

/** Few of the milestones that every longer prompt has, too. */
function isFork(number: number): boolean {
  return Number.isInteger(Math.log2(number));
}
