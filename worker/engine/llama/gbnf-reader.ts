// Reads a client's grammar (GBNF) into plain rules of characters and references, as llama.cpp takes it apart itself:
// bounds on everything, and a refusal that says the line. Pure.
import { Refusal } from '@berth/shared/outcome.ts';

/** Disjoint code point ranges in order, both ends included. */
export type Characters = readonly (readonly [low: number, high: number])[];
/** Characters of which one follows, or the rule whose text follows. */
export type Symbol = Characters | number;

export interface Rule {
  /** The client's rule that it is (a part of). */
  name: string;
  alternatives: readonly (readonly Symbol[])[];
}

/** Rule 0 is the root. There is no repetition: what repeats is rules that refer to themselves or to each other. */
export type Grammar = readonly Rule[];

const bounds = { rulesMax: 4000, symbolsMax: 20_000, rangesMax: 20_000, levelsMax: 64, timesMax: 1000 };

const lastCharacter = 0x10ffff;
const escapes: Readonly<Record<string, string>> = { t: '\t', r: '\r', n: '\n' };
const hexDigits: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** @throws Refusal `bad_request` that says what, and in which line */
export function readGbnf(text: string): Grammar {
  const drafts: { name: string; alternatives: Symbol[][] | null; usedAt: number }[] = [];
  const ids = new Map<string, number>();
  let at = 0;
  let level = 0;
  let [symbols, ranges] = [0, 0];

  const fail = (what: string, where = at): never => {
    const lines = text.slice(0, where).split('\n');
    throw refusedGrammar(`line ${lines.length}, column ${(lines.at(-1) ?? '').length + 1}: ${what}`);
  };
  const bounded = (count: number, most: number, what: string): number =>
    count > most ? fail(`the grammar has more than ${most} ${what}, repetitions written out`) : count;
  const see = (expected: string): boolean => text.startsWith(expected, at);
  const take = (expected: string): boolean => {
    const found = see(expected);
    if (found) at += expected.length;
    return found;
  };
  const match = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? '';
    at += found.length;
    return found;
  };
  const space = (acrossLines: boolean): void =>
    void match(acrossLines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /(?:[ \t]|#[^\r\n]*)*/y);

  function newRule(name: string): number {
    drafts.push({ name, alternatives: null, usedAt: at });
    return bounded(drafts.length, bounds.rulesMax, 'rules') - 1;
  }

  function named(name: string): number {
    const id = ids.get(name) ?? newRule(name);
    ids.set(name, id);
    return id;
  }

  function rule(): void {
    const start = at;
    const name = match(/[a-zA-Z0-9-]+/y);
    if (name === '') fail('a rule begins with its name, of letters, digits and dashes');
    const draft = drafts[named(name)]!;
    if (draft.alternatives !== null) fail(`the rule "${name}" is there twice`, start);
    space(false);
    if (!take('::=')) fail('expected ::=');
    space(true);
    draft.alternatives = alternatives(name, false);
    if (at < text.length && match(/\r?\n|\r/y) === '') fail('expected the end of the line, or more of the rule');
    space(true);
  }

  function alternatives(name: string, nested: boolean): Symbol[][] {
    const all = [sequence(name, nested)];
    while (take('|')) {
      space(true);
      all.push(sequence(name, nested));
    }
    return all;
  }

  function sequence(name: string, nested: boolean): Symbol[] {
    const whole: Symbol[] = [];
    for (let item = one(name); item !== null; item = one(name)) {
      space(nested);
      for (let times = repetition(); times !== null; times = repetition()) {
        item = repeated(item, times, name);
        space(nested);
      }
      whole.push(...item);
    }
    if (see('*') || see('+') || see('?') || see('{')) fail('nothing stands here that could be repeated');
    return whole;
  }

  function one(name: string): Symbol[] | null {
    if (see('<') || see('!')) return fail('tokens are not supported: write their text in quotes');
    if (take('"')) return counted(literal());
    if (take('[')) return counted([characterClass()]);
    if (take('.')) return counted([[[0, lastCharacter]]]);
    if (take('(')) return counted([group(name)]);
    const reference = match(/[a-zA-Z0-9-]+/y);
    return reference === '' ? null : counted([named(reference)]);
  }

  function counted(item: Symbol[]): Symbol[] {
    symbols = bounded(symbols + item.length, bounds.symbolsMax, 'symbols');
    return item;
  }

  function group(name: string): number {
    level += 1;
    if (level > bounds.levelsMax) fail(`more than ${bounds.levelsMax} brackets inside each other`);
    const id = newRule(name);
    space(true);
    drafts[id]!.alternatives = alternatives(name, true);
    if (!take(')')) fail('expected )');
    level -= 1;
    return id;
  }

  function literal(): Symbol[] {
    const found: Symbol[] = [];
    while (!take('"')) {
      const character = oneCharacter();
      found.push([[character, character]]);
    }
    return found;
  }

  function characterClass(): Characters {
    const [start, not] = [at, take('^')];
    const found: [number, number][] = [];
    while (!take(']')) {
      const low = oneCharacter();
      const isRange = see('-') && text[at + 1] !== ']' && take('-');
      const high = isRange ? oneCharacter() : low;
      if (high < low) fail('a range ends before it begins');
      found.push([low, high]);
    }
    const merged = not ? without(union(found)) : union(found);
    if (found.length === 0 || merged.length === 0) fail('no character is in this class', start);
    ranges = bounded(ranges + merged.length, bounds.rangesMax, 'ranges of characters');
    return merged;
  }

  function oneCharacter(): number {
    const written = text.codePointAt(at);
    if (written === undefined) return fail('the grammar ends within quotes or a class');
    at += written > 0xffff ? 2 : 1;
    if (written !== 0x5c) return written;
    const escaped = text[at] ?? '';
    at += 1;
    const digits = hexDigits[escaped];
    if (digits === undefined) {
      const plain = '\\"[]-'.includes(escaped) ? escaped : escapes[escaped];
      return (
        plain ||
        fail('unknown escape: \\x41, \\u0041, \\U00000041, \\t, \\r, \\n, \\\\, \\", \\[, \\] and \\- are known')
      ).charCodeAt(0);
    }
    const hex = text.slice(at, at + digits);
    const code = new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(hex) ? Number.parseInt(hex, 16) : NaN;
    if (!(code <= lastCharacter)) fail(`expected ${digits} hexadecimal digits of a character`);
    at += digits;
    return code;
  }

  function repetition(): [least: number, most: number] | null {
    if (take('*')) return [0, Infinity];
    if (take('+')) return [1, Infinity];
    if (take('?')) return [0, 1];
    if (!take('{')) return null;
    const [, least, comma, most] =
      /^\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}$/.exec(`{${match(/[^}]{0,40}\}/y)}`) ?? [];
    if (least === undefined) return fail('expected {3}, {3,} or {3,5}');
    const bounds: [number, number] = [Number(least), Number(most ?? (comma === undefined ? least : Infinity))];
    return checkedTimes(...bounds);
  }

  function checkedTimes(least: number, most: number): [number, number] {
    if (most < least) fail('a repetition has a larger least than most');
    if (least > bounds.timesMax || (most > bounds.timesMax && most < Infinity))
      fail(`a repetition of more than ${bounds.timesMax} times`);
    return [least, most];
  }

  /** `item` written `least` times, and then a chain of rules, each of which may end it. */
  function repeated(item: Symbol[], [least, most]: [number, number], name: string): Symbol[] {
    if (item.length === 0) fail('nothing stands here that could be repeated');
    const optional = most === Infinity ? 1 : most - least;
    symbols = bounded(symbols + item.length * (least + optional), bounds.symbolsMax, 'symbols');
    const whole = Array.from({ length: least }, () => item).flat();
    let rest: number | null = null;
    for (let left = optional; left > 0; left -= 1) {
      const id = newRule(name);
      const next = most === Infinity ? [id] : rest === null ? [] : [rest];
      drafts[id]!.alternatives = [[...item, ...next], []];
      rest = id;
    }
    return rest === null ? whole : [...whole, rest];
  }

  named('root');
  space(true);
  while (at < text.length) rule();
  return used(
    drafts.map(({ name, alternatives: all, usedAt }) => ({
      name,
      alternatives: all ?? fail(`there is no rule "${name}"`, usedAt),
    })),
  );
}

/** Without rules that the root does not lead to. */
function used(grammar: Grammar): Grammar {
  const numbers = new Map([[0, 0]]);
  for (const old of numbers.keys()) {
    for (const symbol of grammar[old]?.alternatives.flat() ?? [])
      if (typeof symbol === 'number' && !numbers.has(symbol)) numbers.set(symbol, numbers.size);
  }
  const renumbered = (symbol: Symbol): Symbol => (typeof symbol === 'number' ? (numbers.get(symbol) ?? 0) : symbol);
  return [...numbers.keys()].map((old) => ({
    name: grammar[old]?.name ?? '',
    alternatives: grammar[old]?.alternatives.map((alternative) => alternative.map(renumbered)) ?? [],
  }));
}

export function refusedGrammar(what: string): Refusal {
  return new Refusal('bad_request', `grammar: ${what}`, { param: 'grammar' });
}

function union(ranges: readonly [number, number][]): [number, number][] {
  const merged: [number, number][] = [];
  for (const [low, high] of ranges.toSorted(([a], [b]) => a - b)) {
    const last = merged.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else merged.push([low, high]);
  }
  return merged;
}

/** Everything else. */
function without(ranges: readonly [number, number][]): [number, number][] {
  const starts = [0, ...ranges.map(([, high]) => high + 1)];
  const ends = [...ranges.map(([low]) => low - 1), lastCharacter];
  return starts.map((start, index): [number, number] => [start, ends[index]!]).filter(([low, high]) => low <= high);
}
