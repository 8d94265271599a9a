// From a wanted output format to a grammar (GBNF) that the sampler obeys. Cost bounded; what cannot be honoured is
// refused by name. Pure.
import { Refusal } from '@berth/shared/outcome.ts';
import type { JsonFormat } from '@berth/shared/request.ts';
import { refuseAmbiguous } from './ambiguity.ts';

const schemaBounds = {
  nodesMax: 1000,
  depthMax: 24,
  choicesMax: 500,
  /** Ways to go on at one place: each is tried on the whole vocabulary when a token is rejected. */
  branchesMax: 50,
  lengthMax: 1000,
  charsMax: 65_536,
};

/** Little white space and short numbers: a model that loops on blanks or digits would otherwise never end. */
const base = {
  any: '"null" | boolean | number | string | object | array',
  object: '"{" gap ( string ":" gap any ( "," gap string ":" gap any )* )? gap "}"',
  array: '"[" gap ( any ( "," gap any )* )? gap "]"',
  string: '"\\"" char* "\\""',
  char: String.raw`[^"\\\x7F\x00-\x1F] | "\\" ( ["\\/bfnrt] | "u" [0-9a-fA-F]{4} )`,
  number: 'integer ( "." [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?',
  integer: '"-"? ( "0" | [1-9] [0-9]{0,14} )',
  boolean: '"true" | "false"',
  date: '[0-9]{4} "-" ( "0" [1-9] | "1" [0-2] ) "-" ( "0" [1-9] | "1" [0-9] | "2" [0-8] )',
  time: '( [01] [0-9] | "2" [0-3] ) ":" [0-5] [0-9] ":" [0-5] [0-9] ( "." [0-9]{3} )? "Z"',
  gap: String.raw`( " " | "\n" [ \t]{0,8} )?`,
} as const;

type Json = Record<string, unknown>;
/** Adds rules on the way and returns the right-hand side for a schema. */
export interface Writer {
  rules: Map<string, string>;
  nodes: number;
  /** Tells the definitions of one schema from another's in the same grammar. */
  scope: string;
}

/** @returns the grammar's text, or `null` when any text will do. @throws Refusal `bad_request` */
export function gbnfFor(format: JsonFormat): string | null {
  return format.kind === 'text' ? null : gbnf((writer) => formatRule(format, writer));
}

/** @param rootOf adds the rules that the root needs, and returns its right-hand side */
export function gbnf(rootOf: (writer: Writer) => string): string {
  const writer: Writer = { rules: new Map(Object.entries(base)), nodes: 0, scope: '' };
  writer.rules.set('root', rootOf(writer));
  const text = [...writer.rules].map(([name, right]) => `${name} ::= ${right}\n`).join('');
  if (text.length > 4 * schemaBounds.charsMax) throw tooMuch('grammar characters', 4 * schemaBounds.charsMax);
  return text;
}

/** The right-hand side for a format that is not just any text. */
export function formatRule(format: Exclude<JsonFormat, { kind: 'text' }>, writer: Writer): string {
  return format.kind === 'json' ? base.object : schemaRule(format.schema, writer);
}

/** @param at how errors call the schema */
export function schemaRule(schema: Json, writer: Writer, at = 'schema'): string {
  if (JSON.stringify(schema).length > schemaBounds.charsMax) throw tooMuch('characters', schemaBounds.charsMax);
  const defs = { ...asObject(schema['definitions'], 'definitions'), ...asObject(schema['$defs'], '$defs') };
  for (const name of Object.keys(defs)) writer.rules.set(ruleOf(name, writer), '');
  for (const [name, def] of Object.entries(defs))
    writer.rules.set(ruleOf(name, writer), write(def, `$defs.${name}`, 1, writer));
  const root = write(schema, at, 0, writer);
  refuseAmbiguous(schema, defs);
  return root;
}

/** Say nothing that an answer could break. */
const silent =
  '$schema $id $comment $anchor $defs definitions title description default examples deprecated readOnly writeOnly'.split(
    ' ',
  );
const everywhere = ['type', 'const', 'enum', 'oneOf', 'anyOf', 'allOf', '$ref', 'nullable', ...silent];
const ofType: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties', 'propertyOrdering'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength', 'format'],
};
const known = new Set([...everywhere, ...Object.values(ofType).flat()]);

function write(schema: unknown, at: string, depth: number, writer: Writer): string {
  writer.nodes += 1;
  if (writer.nodes > schemaBounds.nodesMax) throw tooMuch('schemas', schemaBounds.nodesMax);
  if (depth > schemaBounds.depthMax) throw tooMuch('levels', schemaBounds.depthMax);
  if (schema === true) return 'any';
  const node = asObject(schema, at);
  const strange = Object.keys(node).find((key) => !known.has(key));
  if (strange !== undefined) throw unsupported(`${at}.${strange}`);
  const inner: Inner = (child, name) => write(child, `${at}.${name}`, depth + 1, writer);
  const right = writeOne(node, at, inner, writer);
  return node['nullable'] === true ? `( ${right} | "null" )` : right;
}

type Inner = (child: unknown, name: string) => string;

function writeOne(node: Json, at: string, inner: Inner, writer: Writer): string {
  const choices = node['oneOf'] ?? node['anyOf'];
  if (node['$ref'] !== undefined) return reference(node['$ref'], at, writer);
  if (node['allOf'] !== undefined) return inner(onlyOne(node['allOf'], `${at}.allOf`), 'allOf[0]');
  if (choices !== undefined) {
    return either(asBranches(asList(choices, at), at).map((choice, index) => inner(choice, `anyOf[${index}]`)));
  }
  if (node['const'] !== undefined) return literal(node['const']);
  if (node['enum'] !== undefined) return oneOfLiterals(asList(node['enum'], `${at}.enum`), `${at}.enum`);
  const types = node['type'] ?? impliedType(node);
  if (Array.isArray(types)) return either(types.map((type) => writeTyped(type, node, at, inner, writer)));
  return types === undefined ? 'any' : writeTyped(types, node, at, inner, writer);
}

function impliedType(node: Json): string | undefined {
  return Object.keys(ofType).find((type) => ofType[type]?.some((key) => node[key] !== undefined));
}

function writeTyped(type: unknown, node: Json, at: string, inner: Inner, writer: Writer): string {
  switch (type) {
    case 'object':
      return writeObject(node, at, inner, writer);
    case 'array':
      return writeArray(node, at, inner, writer);
    case 'string':
      return writeString(node, at);
    case 'number':
    case 'integer':
    case 'boolean':
      return type;
    case 'null':
      return '"null"';
    default:
      throw unsupported(`${at}.type ${JSON.stringify(type)}`);
  }
}

/**
 * Properties come in the schema's order. One that is not required may be left out; the first that is written has
 * no comma before it, so each place knows whether something stands before it.
 */
function writeObject(node: Json, at: string, inner: Inner, writer: Writer): string {
  const properties = Object.entries(asObject(node['properties'], `${at}.properties`));
  const more = node['additionalProperties'] ?? properties.length === 0;
  const moreValue = more === false ? null : more === true ? 'any' : inner(more, 'additionalProperties');
  if (properties.length === 0) {
    return moreValue === null ? '"{" gap "}"' : `"{" gap ${listed(`string ":" gap ${moreValue}`, 0, Infinity)} gap "}"`;
  }
  const required = new Set(Array.isArray(node['required']) ? node['required'] : []);
  const pairs = properties.map(([name, schema]) => ({
    text: addRule(writer, `${literal(name)} ":" gap ${inner(schema, name)}`),
    required: required.has(name),
  }));
  return `"{" gap ${optionalPairs(pairs, at)} gap "}"`;
}

export function addRule(writer: Writer, right: string): string {
  const name = `part-${writer.rules.size}`;
  writer.rules.set(name, right);
  return name;
}

/** With nothing before the first required pair, one alternative per pair that may be the first. */
function optionalPairs(pairs: readonly { text: string; required: boolean }[], at: string): string {
  const after = (from: number): string =>
    pairs
      .slice(from)
      .map(({ text, required }) => (required ? ` "," gap ${text}` : ` ( "," gap ${text} )?`))
      .join('');
  const firsts = pairs.findIndex(({ required }) => required);
  const heads = pairs.slice(0, firsts < 0 ? pairs.length : firsts + 1);
  const alternatives = asBranches(heads, `${at}.properties that may be left out`).map(
    ({ text }, index) => text + after(index + 1),
  );
  return `( ${alternatives.join(' | ')} )${firsts < 0 ? '?' : ''}`;
}

function writeArray(node: Json, at: string, inner: Inner, writer: Writer): string {
  if (node['prefixItems'] !== undefined) throw unsupported(`${at}.prefixItems`);
  // A rule of its own, because a repeated item is copied and llama.cpp bounds the copies.
  const item = node['items'] === undefined ? 'any' : addRule(writer, inner(node['items'], 'items'));
  const [least, most] = [count(node, 'minItems', at) ?? 0, count(node, 'maxItems', at) ?? Infinity];
  return `"[" gap ${listed(item, least, most)} gap "]"`;
}

/** `item, item, …` between `least` and `most` times. */
function listed(item: string, least: number, most: number): string {
  if (most === 0) return '""';
  const rest = `( "," gap ${item} ){${Math.max(0, least - 1)},${most === Infinity ? '' : most - 1}}`;
  return least === 0 ? `( ${item} ${rest} )?` : `${item} ${rest}`;
}

function writeString(node: Json, at: string): string {
  const format = node['format'];
  if (format === 'date' || format === 'time') return `"\\"" ${format} "\\""`;
  if (format === 'date-time') return '"\\"" date "T" time "\\""';
  if (format !== undefined) throw unsupported(`${at}.format ${JSON.stringify(format)}`);
  const [least, most] = [count(node, 'minLength', at), count(node, 'maxLength', at)];
  return least === null && most === null ? 'string' : `"\\"" char{${least ?? 0},${most ?? ''}} "\\""`;
}

function reference(value: unknown, at: string, writer: Writer): string {
  const name = typeof value === 'string' ? /^#\/(?:\$defs|definitions)\/([^/]+)$/.exec(value)?.[1] : undefined;
  if (name === undefined || !writer.rules.has(ruleOf(name, writer)))
    throw unsupported(`${at}.$ref ${JSON.stringify(value)}`);
  return ruleOf(name, writer);
}

/** A rule's name may hold letters, digits and dashes only. */
function ruleOf(name: string, { scope }: Writer): string {
  return `def-${scope}${Buffer.from(name).toString('hex')}`;
}

function either(alternatives: readonly string[]): string {
  return `( ${alternatives.join(' | ')} )`;
}

/** The JSON text of a value as a GBNF literal. */
function literal(value: unknown): string {
  return quoted(JSON.stringify(value));
}

export function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;
}

/** A tree of common beginnings, so that 500 names that begin alike are one way to go on and not 500. */
function oneOfLiterals(values: readonly unknown[], at: string): string {
  const tree = (texts: readonly string[]): string => {
    const head = commonHead(texts);
    const rest = texts.map((text) => text.slice(head.length));
    const branches = Object.values(Object.groupBy(rest, (text) => text.slice(0, 1))).map((group) => group ?? []);
    if (branches.length === 1) return quoted(head);
    return `${quoted(head)} ${either(asBranches(branches, at).map(tree))}`;
  };
  return tree([...new Set(values.map((value) => JSON.stringify(value)))]);
}

function commonHead(texts: readonly string[]): string {
  const [first = ''] = texts;
  let length = first.length;
  for (const text of texts) while (!text.startsWith(first.slice(0, length))) length -= 1;
  return first.slice(0, length);
}

function asBranches<T>(branches: readonly T[], at: string): readonly T[] {
  if (branches.length > schemaBounds.branchesMax)
    throw tooMuch(`choices at one place of ${at}`, schemaBounds.branchesMax);
  return branches;
}

function count(node: Json, name: string, at: string): number | null {
  const value = node[name];
  if (value === undefined) return null;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    throw wrong(`${at}.${name}`, 'a whole number');
  if (value > schemaBounds.lengthMax) throw unsupported(`${at}.${name} above ${schemaBounds.lengthMax}`);
  return value;
}

function onlyOne(value: unknown, at: string): unknown {
  const all = asList(value, at);
  if (all.length !== 1) throw unsupported(`${at} with more than one schema`);
  return all[0];
}

function asObject(value: unknown, at: string): Json {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(at, 'an object');
  return { ...value };
}

function asList(value: unknown, at: string): unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong(at, 'a list with at least one entry');
  if (value.length > schemaBounds.choicesMax) throw tooMuch(`entries at ${at}`, schemaBounds.choicesMax);
  return value;
}

function unsupported(what: string): Refusal {
  return new Refusal('bad_request', `this server cannot honour ${what} in a JSON schema`, { param: 'format' });
}

function wrong(at: string, wanted: string): Refusal {
  return new Refusal('bad_request', `${at} has to be ${wanted}`, { param: 'format' });
}

function tooMuch(what: string, most: number): Refusal {
  return new Refusal('bad_request', `the JSON schema has more than ${most} ${what}`, { param: 'format' });
}
