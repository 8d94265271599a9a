// In how many ways one text can be read by a schema. llama.cpp follows all of them at once, so what doubles with each
// bracket stops the engine for everybody: sixteen levels of two arrays did (2^16 ways after sixteen characters). Pure.
import { Refusal } from '@berth/shared/outcome.ts';

type Json = Readonly<Record<string, unknown>>;

/** Ways to read the same text that are followed at once; each is tried on the whole vocabulary. */
const waysMax = 50;

/**
 * How the texts of a schema begin, as far as that is fixed: the first character, then whole parts such as a name or a
 * constant. Each place holds what may stand there. Two texts differ for sure where their places have nothing in common.
 */
type Opening = readonly ReadonlySet<string>[];

/**
 * @param schema one whose form has been checked
 * @throws Refusal `bad_request` that names the place of the choice
 */
export function refuseAmbiguous(schema: Json, defs: Json): void {
  const known = new Map<string, number>();

  /** @param within the definition that the place is in, or `null` */
  function ways(value: unknown, at: string, within: string | null): number {
    if (!isObject(value)) return 1;
    const name = refOf(value);
    if (name !== null) return waysOfRef(name);
    const choices = choicesOf(value);
    if (choices !== null) return waysOfChoice(choices, at, within);
    const inner = Object.entries(childrenOf(value)).map(([key, child]) => ways(child, `${at}.${key}`, within));
    return Math.max(1, ...inner);
  }

  function waysOfRef(name: string): number {
    const before = known.get(name);
    if (before !== undefined) return before;
    known.set(name, 1); // what it says of itself on the way is looked at by `waysOfChoice`
    const found = ways(defs[name], `$defs.${name}`, name);
    known.set(name, found);
    return found;
  }

  function waysOfChoice(choices: readonly unknown[], at: string, within: string | null): number {
    const each = choices.map((choice, index) => ways(choice, `${at}.anyOf[${index}]`, within));
    const returns = choices.map((choice) => within !== null && reached(choice, defs).has(within));
    const openings = choices.map((choice) => openingsOf(choice, defs, new Set()));
    const sums = choices.map((_, index) => {
      const alike = choices.flatMap((_other, other) =>
        other === index || overlap(openings[index]!, openings[other]!) ? [other] : [],
      );
      if (returns[index] === true && alike.filter((other) => returns[other]).length > 1)
        throw tooAlike(at, 'without end');
      return alike.reduce((sum, other) => sum + each[other]!, 0);
    });
    const most = Math.max(1, ...sums);
    if (most > waysMax) throw tooAlike(at, `in more than ${waysMax} ways`);
    return most;
  }

  ways(schema, 'schema', null);
  for (const name of Object.keys(defs)) waysOfRef(name);
}

function tooAlike(at: string, howOften: string): Refusal {
  const message = `this server cannot honour ${at} in a JSON schema: its choices begin alike, so a text could be read ${howOften}. Begin each object with a property of its own, such as a const "type"`;
  return new Refusal('bad_request', message, { param: 'format' });
}

function overlap(some: readonly Opening[], others: readonly Opening[]): boolean {
  const differ = (one: Opening, other: Opening): boolean =>
    one.some((set, place) => other[place] !== undefined && ![...other[place]].some((part) => set.has(part)));
  return some.some((one) => others.some((other) => !differ(one, other)));
}

const digits = '-0123456789'.split('');
const ofType: Readonly<Record<string, Opening>> = {
  string: [new Set('"')],
  array: [new Set('[')],
  number: [new Set(digits)],
  integer: [new Set(digits)],
  boolean: [new Set('tf')],
  null: [new Set('n')],
};

function openingsOf(value: unknown, defs: Json, open: ReadonlySet<string>): Opening[] {
  if (!isObject(value)) return [[]];
  const nothing: Opening[] = value['nullable'] === true ? [ofType['null']!] : [];
  return [...nothing, ...openings(value, defs, open)];
}

function openings(value: Json, defs: Json, open: ReadonlySet<string>): Opening[] {
  const name = refOf(value);
  if (name !== null) return open.has(name) ? [[]] : openingsOf(defs[name], defs, new Set([...open, name]));
  const choices = choicesOf(value);
  if (choices !== null) return choices.flatMap((choice) => openingsOf(choice, defs, open));
  const constants = value['const'] !== undefined ? [value['const']] : value['enum'];
  if (Array.isArray(constants)) {
    const texts = constants.map((constant) => JSON.stringify(constant));
    return [[new Set(texts.map((text) => text.slice(0, 1))), new Set(texts)]];
  }
  const type = value['type'];
  const implied = value['properties'] !== undefined ? 'object' : value['items'] !== undefined ? 'array' : undefined;
  const types: unknown[] = Array.isArray(type) ? type : [type ?? implied];
  return types.flatMap((each) =>
    each === 'object' ? openingsOfObject(value, defs, open) : [ofType[String(each)] ?? []],
  );
}

/** The names that may come first; when there is only one, its value is part of the beginning. */
function openingsOfObject(value: Json, defs: Json, open: ReadonlySet<string>): Opening[] {
  const properties = Object.entries(isObject(value['properties']) ? value['properties'] : {});
  const required = Array.isArray(value['required']) ? value['required'] : [];
  const until = properties.findIndex(([name]) => required.includes(name));
  const brace = new Set('{');
  if (until < 0) return [[brace]];
  const names = new Set(properties.slice(0, until + 1).map(([name]) => name));
  if (until > 0) return [[brace, names]];
  return openingsOf(properties[0]?.[1], defs, open).map((opening) => [brace, names, ...opening]);
}

/** Definitions that a text of this schema may contain. */
function reached(value: unknown, defs: Json): Set<string> {
  const found = new Set<string>();
  const look = (part: unknown): void => {
    if (Array.isArray(part)) for (const each of part) look(each);
    if (!isObject(part)) return;
    const name = refOf(part);
    if (name === null) for (const each of [...(choicesOf(part) ?? []), ...Object.values(childrenOf(part))]) look(each);
    else if (!found.has(name)) {
      found.add(name);
      look(defs[name]);
    }
  };
  look(value);
  return found;
}

function refOf(value: Json): string | null {
  return typeof value['$ref'] === 'string' ? (value['$ref'].split('/').at(-1) ?? null) : null;
}

/** A list of types is one of different beginnings, but for numbers, which are short. */
function choicesOf(value: Json): readonly unknown[] | null {
  const choices = value['allOf'] ?? value['oneOf'] ?? value['anyOf'];
  return Array.isArray(choices) ? choices : null;
}

function childrenOf(value: Json): Json {
  const { items, additionalProperties, properties } = value;
  return { ...(isObject(properties) ? properties : {}), items, additionalProperties };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
