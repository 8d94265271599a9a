// What gateways want of this worker: models that stay, models that go, whether it rests, what it is beside others.

/** What a gateway may want; of what, a model or for `weigh` a number, stands in the signed call. */
export const wishes = ['pin', 'unpin', 'retire', 'unload', 'drain', 'undrain', 'weigh'] as const;
export type Wish = (typeof wishes)[number];

export interface Standing {
  hear(wish: Wish, what: string): void;
  /** So many times the requests of a worker of 1. */
  readonly weight: number;
  isPinned(model: string): boolean;
  /** It gets nothing new, and is unloaded when its last request has ended. */
  isLeaving(model: string): boolean;
  /** The model was unloaded, or is wanted again. */
  settled(model: string): void;
}

interface Options {
  /** Unloads a model as soon as it is idle; one that is pinned only where that is said. */
  unload: (model: string, pinnedToo?: boolean) => void;
  rest: (resting: boolean) => void;
  onChange: () => void;
}

/** Names come from gateways, who know the catalog; the bound is for a gateway that is mad. */
const namesMax = 1_024;
const weightMax = 100;

export function createStanding({ unload, rest, onChange }: Options): Standing {
  const pinned = new Set<string>();
  const leaving = new Set<string>();
  let weight = 1;
  const acts: { [W in Wish]: (model: string) => void } = {
    pin: (model) => void (pinned.size < namesMax && pinned.add(model)),
    unpin: (model) => void pinned.delete(model),
    retire(model) {
      if (leaving.size >= namesMax) return;
      leaving.add(model);
      unload(model, true);
    },
    unload: (model) => unload(model),
    drain: () => rest(true),
    undrain: () => rest(false),
    weigh(told) {
      const times = Number(told);
      if (times >= 1 / weightMax && times <= weightMax) weight = times;
    },
  };
  return {
    get weight() {
      return weight;
    },
    hear(wish, what) {
      acts[wish](what);
      onChange();
    },
    isPinned: (model) => pinned.has(model),
    isLeaving: (model) => leaving.has(model),
    settled: (model) => void leaving.delete(model),
  };
}
