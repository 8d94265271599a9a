// Text in which something can be hidden: sentences of several kinds, none of them with a meaning worth keeping.
import type { Chance } from '../chance.ts';
import { facts } from './facts.ts';
import { expand } from './phrases.ts';
import { adjectives, anyWord, capital, cities, names, nouns, spokenWord, verbs, type Soup } from './words.ts';

const sentences = [
  'the {a} {n} {v} the {n}.',
  'the {n} {v} a {a} {n} near the {n}.',
  '{name} {v} the {a} {n} in {city}.',
  'in {city} the {n} is {a}.',
  'a {a} {n} {v} {name} every [day|night|week|year|Monday|Friday].',
  'the {n} of {name} is [{a}|{a} and {a}|very {a}].',
  'there are [two|three|four|five|ten|many|few] {a} things in the {n}.',
  '[yesterday|today|tomorrow|at noon|at night|sometimes|often], {name} {v} a {n}.',
  'when the {n} is {a}, {name} {v} the {n}.',
  '{name} and {name} like the {a} {n}.',
  'nobody {v} the {n} in {city}.',
  'the {a} {n} and the {a} {n} are in the {n}.',
  'this {n} is not {a}, but that {n} is.',
  'it was a {a} {n}.',
];

function sentence(chance: Chance): string {
  const text = expand(chance.pick(sentences), chance)
    .replace(/\{n\}/g, () => chance.pick(nouns))
    .replace(/\{a\}/g, () => chance.pick(adjectives))
    .replace(/\{v\}/g, () => chance.pick(verbs))
    .replace(/\{name\}/g, () => chance.pick(names))
    .replace(/\{city\}/g, () => chance.pick(cities));
  return capital(text);
}

const spoken = (chance: Chance): string =>
  `${capital(Array.from({ length: chance.between(3, 9) }, () => spokenWord(chance)).join(' '))}.`;
const wild = (chance: Chance, soup: Soup): string =>
  `${Array.from({ length: chance.between(2, 7) }, () => anyWord(chance, soup)).join(' ')}${chance.pick(['.', '.', '!', ''])}`;

/** `count` sentences of one kind, or of all kinds mixed. */
export function fillerSentences(count: number, chance: Chance, soup: Soup): string[] {
  const kind = chance.unit();
  return Array.from({ length: count }, (_, line) => {
    const dice = kind < 0.75 ? kind : chance.unit();
    if (dice < 0.45) return sentence(chance);
    if (dice < 0.55) return chance.pick(facts).answer;
    if (dice < 0.63) return spoken(chance);
    if (dice < 0.69) return wild(chance, soup);
    return `${chance.pick(['Line ', 'Note ', ''])}${line + 1}: ${sentence(chance)}`;
  });
}
