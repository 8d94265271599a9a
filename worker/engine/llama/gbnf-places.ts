// The places of a grammar, what may begin at each of them, and what may lie below: llama.cpp's view of a grammar. Pure.
import { refusedGrammar } from './gbnf-reader.ts';
import type { Characters, Grammar, Symbol } from './gbnf-reader.ts';

/** A symbol of an alternative of a rule, or that alternative's end. The next place is one more. */
export type Place = number;
/** Where a reading goes on when what stands above is done. */
export type Stack = readonly Place[];

export interface Places {
  readonly count: number;
  readonly rules: number;
  /** Refers to the root. */
  readonly start: Place;
  /** `null` = an end. */
  symbolAt(place: Place): Symbol | null;
  charactersAt(place: Place): Characters;
  ruleOf(place: Place): number;
  /** The client's name of the rule. */
  nameOf(place: Place): string;
  /** Where the alternatives of a rule begin. */
  alternatives(rule: number): readonly Place[];
}

const bounds = {
  /** Stacks that one place begins with. */
  startsMax: 50,
  /** Looks at places to find them: llama.cpp goes all these ways, also those that lead to the same. */
  looksMax: 2000,
  levelsMax: 200,
  /** Pairs of a rule and what may lie below it. */
  pairsMax: 100_000,
};

export function placesOf(grammar: Grammar): Places {
  const symbols: (Symbol | null)[] = [0, null];
  const owners = [0, 0];
  const starts = grammar.map(({ alternatives }, rule) =>
    alternatives.map((alternative) => {
      const start = symbols.length;
      for (const symbol of [...alternative, null]) {
        symbols.push(symbol);
        owners.push(rule);
      }
      return start;
    }),
  );
  const ruleOf = (place: Place): number => owners[place] ?? 0;
  return {
    count: symbols.length,
    rules: grammar.length,
    start: 0,
    symbolAt: (place) => symbols[place] ?? null,
    charactersAt: (place) => {
      const symbol = symbols[place];
      return typeof symbol === 'object' && symbol !== null ? symbol : [];
    },
    ruleOf,
    nameOf: (place) => grammar[ruleOf(place)]?.name ?? '',
    alternatives: (rule) => starts[rule] ?? [],
  };
}

export interface Starts {
  /** Each ends in a place of characters. */
  stacks: Stack[];
  /** All from here to the end of the alternative. */
  mayBeEmpty: boolean;
}

type Counted = Starts & { looks: number };

/** @returns what a text may begin with at a place. It throws a Refusal `bad_request` for a rule that never gets there. */
export function startFinder(places: Places): (place: Place) => Starts {
  const known = new Map<Place, Counted>();
  const open = new Set<number>();
  let levels = 0;

  function find(place: Place): Counted {
    const before = known.get(place);
    if (before !== undefined) return before;
    levels += 1;
    if (levels > bounds.levelsMax)
      throw refusedGrammar(
        `the rule "${places.nameOf(place)}" is more than ${bounds.levelsMax} rules deep at its start`,
      );
    const found = look(place, places.symbolAt(place));
    levels -= 1;
    check(place, found);
    known.set(place, found);
    return found;
  }

  function look(place: Place, symbol: Symbol | null): Counted {
    if (symbol === null) return { stacks: [], mayBeEmpty: true, looks: 1 };
    if (typeof symbol !== 'number') return { stacks: [[place]], mayBeEmpty: false, looks: 1 };
    const rule = inRule(symbol, place);
    const isLast = places.symbolAt(place + 1) === null;
    const stacks = isLast ? rule.stacks : rule.stacks.map((stack) => [place + 1, ...stack]);
    if (!rule.mayBeEmpty) return { stacks, mayBeEmpty: false, looks: rule.looks + 1 };
    const rest = find(place + 1);
    return {
      stacks: [...stacks, ...rest.stacks],
      mayBeEmpty: rest.mayBeEmpty,
      looks: rule.looks + rest.looks + 1,
    };
  }

  function inRule(rule: number, from: Place): Counted {
    const [first] = places.alternatives(rule);
    if (open.has(rule))
      throw refusedGrammar(
        `the rule "${places.nameOf(first ?? from)}" begins with itself, or repeats what may be empty`,
      );
    open.add(rule);
    const each = places.alternatives(rule).map(find);
    open.delete(rule);
    // The same stack twice is one reading.
    const stacks = new Map(each.flatMap((one) => one.stacks.map((stack) => [stack.join(), stack] as const)));
    return {
      stacks: [...stacks.values()],
      mayBeEmpty: each.some(({ mayBeEmpty }) => mayBeEmpty),
      looks: each.reduce((sum, { looks }) => sum + looks, 1),
    };
  }

  function check(place: Place, { stacks, looks }: Counted): void {
    const where = `the rule "${places.nameOf(place)}"`;
    if (stacks.length > bounds.startsMax)
      throw refusedGrammar(`${where} has more than ${bounds.startsMax} choices at one place`);
    if (looks > bounds.looksMax) throw refusedGrammar(`${where} begins with too many rules that lead to each other`);
  }

  return find;
}

/** @returns for a rule the places that may lie directly below its own on a stack; `null` = none has to */
export function framesBelow(places: Places): (rule: number) => ReadonlySet<Place | null> {
  const below = Array.from({ length: places.rules }, () => new Set<Place | null>());
  /** Rules whose last symbol is another rule: what is below them is below that one. */
  const handsOn = Array.from({ length: places.rules }, () => new Set<number>());
  const news: [rule: number, frame: Place | null][] = [[0, null]];
  for (let place = 2; place < places.count; place += 1) {
    const symbol = places.symbolAt(place);
    if (typeof symbol !== 'number') continue;
    if (places.symbolAt(place + 1) === null) handsOn[places.ruleOf(place)]?.add(symbol);
    else news.push([symbol, place + 1]);
  }
  let pairs = 0;
  for (let next = news.pop(); next !== undefined; next = news.pop()) {
    const [rule, frame] = next;
    if (below[rule]?.has(frame) !== false) continue;
    pairs += 1;
    if (pairs > bounds.pairsMax) throw refusedGrammar('its rules are used in too many places');
    below[rule]?.add(frame);
    for (const to of handsOn[rule] ?? []) news.push([to, frame]);
  }
  return (rule) => below[rule] ?? new Set();
}
