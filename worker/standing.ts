// What operators want of this worker, as gateways say it: models that stay, models that go, and whether it rests.

/** What a gateway may want; the model, where there is one, stands in the signed call. */
export const wishes = ['pin', 'unpin', 'retire', 'drain', 'undrain'] as const;
export type Wish = (typeof wishes)[number];

export interface Standing {
  hear(wish: Wish, model: string): void;
  isPinned(model: string): boolean;
  /** It gets nothing new, and is unloaded when its last request has ended. */
  isLeaving(model: string): boolean;
  /** The model was unloaded, or is wanted again. */
  settled(model: string): void;
}

interface Options {
  /** Unloads a model as soon as it is idle. */
  unload: (model: string) => void;
  rest: (resting: boolean) => void;
  onChange: () => void;
}

/** Names come from gateways, who know the catalog; the bound is for a gateway that is mad. */
const namesMax = 1_024;

export function createStanding({ unload, rest, onChange }: Options): Standing {
  const pinned = new Set<string>();
  const leaving = new Set<string>();
  const acts: { [W in Wish]: (model: string) => void } = {
    pin: (model) => void (pinned.size < namesMax && pinned.add(model)),
    unpin: (model) => void pinned.delete(model),
    retire(model) {
      if (leaving.size >= namesMax) return;
      leaving.add(model);
      unload(model);
    },
    drain: () => rest(true),
    undrain: () => rest(false),
  };
  return {
    hear(wish, model) {
      acts[wish](model);
      onChange();
    },
    isPinned: (model) => pinned.has(model),
    isLeaving: (model) => leaving.has(model),
    settled: (model) => void leaving.delete(model),
  };
}
