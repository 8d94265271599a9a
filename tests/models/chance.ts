// Seeded chance for everything below tests/models: the same seed gives the same words, weights and breakages.

export interface Chance {
  /** A number in [0, 1). */
  readonly unit: () => number;
  /** An integer in [low, high], both included. */
  readonly between: (low: number, high: number) => number;
  readonly happens: (probability: number) => boolean;
  readonly pick: <Item>(items: readonly Item[]) => Item;
  /** Up to `count` different items, in random order. */
  readonly some: <Item>(items: readonly Item[], count: number) => Item[];
  /** A sample of the normal distribution, mean 0, deviation 1 (Box and Muller's formula). */
  readonly normal: () => number;
}

/** Mulberry32 (Tommy Ettinger, public domain): 32 bits of state are enough for tests, and it is fast. */
export function chanceFrom(seed: number): Chance {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0;
  const unit = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const between = (low: number, high: number): number => low + Math.floor(unit() * (high - low + 1));
  const pick = <Item>(items: readonly Item[]): Item => {
    const item = items[between(0, items.length - 1)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  };
  const some = <Item>(items: readonly Item[], count: number): Item[] => {
    const left = [...items];
    const taken: Item[] = [];
    while (taken.length < count && left.length > 0) taken.push(...left.splice(between(0, left.length - 1), 1));
    return taken;
  };
  return {
    unit,
    between,
    pick,
    some,
    happens: (probability) => unit() < probability,
    normal: () => Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit()),
  };
}
