// Which beginnings of prompts this worker has cached, as far as its requests tell: announced, so that the next turn comes.
import type { Milestone } from '@berth/shared/prefix.ts';

export interface Prefixes {
  /** A request of the model begins here, with so many of its prompt's tokens found in the cache. */
  began(model: string, milestones: readonly Milestone[], cachedTokens: number): void;
  /** The model's engine has gone. */
  gone(model: string): void;
  /** Hashes, of the newest first. */
  list(): readonly number[];
}

interface Options {
  /** Prompts that all sequences of one model hold. */
  slots: number;
  /** Whether prompts that lose their sequence are kept in files, which outlive an unload. */
  keepsFiles: boolean;
}

/** A file is kept for many a prompt that lost its sequence; more than these are not told of. */
const filesMax = 32;
/** Of each prompt the system's part and the last turns are told: so many from either end. */
const firstTold = 2;
const lastTold = 6;
const toldMax = 256;

/**
 * The engine gives a request the sequence that it goes on from, else the one unused for longest; so what is held is
 * what came last. A prompt that was held here and is not found any more is forgotten.
 */
export function createPrefixes({ slots, keepsFiles }: Options): Prefixes {
  const heldMax = slots + (keepsFiles ? filesMax : 0);
  const models = new Map<string, readonly Milestone[][]>();
  let told: readonly number[] | null = null;

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
      const hashes = [...models.values()]
        .flat()
        .flatMap((held) => [...held.slice(-lastTold).toReversed(), ...held.slice(0, firstTold)])
        .map(({ hash }) => hash);
      told = [...new Set(hashes)].slice(0, toldMax);
      return told;
    },
  };
}
