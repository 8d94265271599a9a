// A client's grammar becomes one that llama.cpp can be given: read, bounded, and written anew, rule by rule as checked.
import { setImmediate } from 'node:timers/promises';
import { factored } from './gbnf-factor.ts';
import { readGbnf } from './gbnf-reader.ts';
import type { Grammar, Symbol } from './gbnf-reader.ts';
import { boundReadings } from './readings.ts';

/** Grammars whose check is remembered, refusals too: a client sends the same with every request. */
const rememberedMax = 32;

/**
 * One is checked at a time, with a pause after each piece of it: the answers that run go on meanwhile.
 * The function that it returns throws a Refusal `bad_request`.
 */
export function clientGrammars(): (text: string) => Promise<string> {
  const known = new Map<string, Promise<string>>();
  let last: Promise<unknown> = Promise.resolve();

  async function check(text: string, before: Promise<unknown>): Promise<string> {
    await before.catch(() => {});
    const grammar = factored(readGbnf(text));
    await boundReadings(grammar, () => setImmediate());
    return written(grammar);
  }

  return (text) => {
    const found = known.get(text) ?? check(text, last);
    last = found;
    known.delete(text);
    known.set(text, found);
    for (const oldest of known.keys().take(Math.max(0, known.size - rememberedMax))) known.delete(oldest);
    return found;
  };
}

function written(grammar: Grammar): string {
  const rules = grammar.map(({ alternatives }, id) => {
    const right = alternatives.map((symbols) => (symbols.length === 0 ? '""' : symbols.map(symbolText).join(' ')));
    return `${nameOf(id)} ::= ${right.join(' | ')}\n`;
  });
  return rules.join('');
}

function symbolText(symbol: Symbol): string {
  if (typeof symbol === 'number') return nameOf(symbol);
  const ranges = symbol.map(([low, high]) => (low === high ? escaped(low) : `${escaped(low)}-${escaped(high)}`));
  return `[${ranges.join('')}]`;
}

function nameOf(rule: number): string {
  return rule === 0 ? 'root' : `r${rule}`;
}

function escaped(character: number): string {
  return `\\U${character.toString(16).padStart(8, '0')}`;
}
