// Alternatives that begin with the same characters become one way to go on: `"red" | "rose"` is `"r" ("ed" | "ose")`.
// What is fifty names to a client is a few readings to llama.cpp then. Pure.
import type { Characters, Grammar, Rule, Symbol } from './gbnf-reader.ts';

type Alternative = readonly Symbol[];

/** What is beyond these stays as it is, for the bound on readings to judge. */
const bounds = { levelsMax: 32, rulesMax: 500, symbolsMax: 20_000 };

export function factored(grammar: Grammar): Grammar {
  const rules: Rule[] = [...grammar];
  let symbols = 0;

  /** @param level how often that was done to this rule before */
  function factor(name: string, alternatives: readonly Alternative[], level: number): Alternative[] {
    const distinct = [...new Map(alternatives.map((each) => [textOf(each), each])).values()];
    const tooMuch =
      level > bounds.levelsMax || rules.length - grammar.length > bounds.rulesMax || symbols > bounds.symbolsMax;
    if (distinct.length < 2 || tooMuch) return distinct;
    const leading = distinct.filter(([first]) => typeof first === 'object');
    const others = distinct.filter(([first]) => typeof first !== 'object');
    const grouped = choices(leading.map(charactersFirst)).map(({ members, characters }): Alternative => {
      const [one = [], ...more] = members.map((each) => leading[each] ?? []);
      const rest = more.length === 0 ? one.slice(1) : restOf(name, [one, ...more], level);
      symbols += 1 + rest.length;
      return [characters, ...rest];
    });
    return [...others, ...grouped];
  }

  /** After their first characters: what all have in common, and a rule for the rest. */
  function restOf(name: string, alternatives: readonly Alternative[], level: number): Symbol[] {
    const [first = []] = alternatives;
    let common = 1;
    while (alternatives.every((each) => each.length > common && alike(each[common], first[common]))) common += 1;
    const id = rules.push({ name, alternatives: [] }) - 1;
    const rests = alternatives.map((each) => each.slice(common));
    rules[id] = { name, alternatives: factor(name, rests, level + 1) };
    return [...first.slice(1, common), id];
  }

  for (const [id, { name, alternatives }] of grammar.entries())
    rules[id] = { name, alternatives: factor(name, alternatives, 0) };
  return rules;
}

function charactersFirst([first]: Alternative): Characters {
  return typeof first === 'object' ? first : [];
}

function alike(one: Symbol | undefined, other: Symbol | undefined): boolean {
  return one === other || String(one) === String(other);
}

function textOf(alternative: Alternative): string {
  return alternative.map((symbol) => (typeof symbol === 'number' ? symbol : `[${symbol.join()}]`)).join(' ');
}

export interface Choice {
  /** Numbers of the classes. */
  members: number[];
  /** That these have in common, and no other. */
  characters: [low: number, high: number][];
}

/** Takes classes of characters that overlap apart. @param among leaves out what is not in it */
export function choices(classes: readonly Characters[], among: Characters | null = null): Choice[] {
  const all = among === null ? classes : [...classes, among];
  const cuts = new Set(all.flatMap((ranges) => ranges.flatMap(([low, high]) => [low, high + 1])));
  const sorted = [...cuts].toSorted((a, b) => a - b);
  const found = new Map<string, Choice>();
  const next = all.map(() => 0);
  for (const [index, cut] of sorted.entries()) {
    const members = all.flatMap((ranges, each) => {
      while ((ranges[next[each]!]?.[1] ?? Infinity) < cut) next[each]! += 1;
      return (ranges[next[each]!]?.[0] ?? Infinity) <= cut ? [each] : [];
    });
    if (among !== null && members.pop() !== classes.length) continue;
    if (members.length === 0) continue;
    const choice = found.get(members.join()) ?? { members, characters: [] };
    found.set(members.join(), choice);
    choice.characters.push([cut, (sorted[index + 1] ?? cut + 1) - 1]);
  }
  return [...found.values()];
}
