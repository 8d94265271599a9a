// A model that draws its tokens by chance still answers in the format that was asked for.
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { aRequest, collect, plainSampling, someOptions, unaborted } from '../requests.ts';
import { modelFolder, publicOnly } from './models.ts';

const folder = modelFolder();
let engine: Engine;
beforeAll(async () => {
  const path = folder.random('words.gguf', { ends: true });
  engine = await llamaEngines({ env: process.env, publicOnly })({ ...someOptions, path, slots: 8 }, unaborted());
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

interface Schema extends Record<string, unknown> {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  minItems?: number;
  maxItems?: number;
  minLength?: number;
  maxLength?: number;
}

/** Strings and lists with an upper bound: without one a random model hardly ever ends. */
function anySchema(tie: (name: 'schema') => fc.Arbitrary<unknown>): { schema: fc.Arbitrary<Schema> } {
  const inner = tie('schema').map((schema): Schema => ({ ...(schema as Schema) }));
  const scalar = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.integer(), fc.boolean(), fc.constant(null));
  const sized = (least: string, most: string) =>
    fc.tuple(fc.nat(3), fc.nat(3)).map(([low, more]) => ({ [least]: low, [most]: low + more }));
  const object = fc.dictionary(fc.string({ minLength: 1, maxLength: 6 }), inner, { maxKeys: 4, noNullPrototype: true });
  return {
    schema: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.constantFrom<Schema>({ type: 'integer' }, { type: 'number' }, { type: 'boolean' }, { type: 'null' }),
      sized('minLength', 'maxLength').map((bounds): Schema => ({ type: 'string', ...bounds })),
      scalar.map((value): Schema => ({ const: value })),
      fc.array(scalar, { minLength: 1, maxLength: 5 }).map((values): Schema => ({ enum: values })),
      fc.array(inner, { minLength: 1, maxLength: 3 }).map((anyOf): Schema => ({ anyOf })),
      fc
        .tuple(inner, sized('minItems', 'maxItems'))
        .map(([items, bounds]): Schema => ({ type: 'array', items, ...bounds })),
      fc.tuple(object, fc.nat()).map(([properties, bits]): Schema => {
        const required = Object.keys(properties).filter((_, index) => (bits >> index) % 2 === 1);
        return { type: 'object', properties, required, additionalProperties: false };
      }),
    ),
  };
}

/** A validator for exactly what `anySchema` makes. */
function keepsTo(schema: Schema, value: unknown): boolean {
  const {
    minLength = 0,
    maxLength = Infinity,
    minItems = 0,
    maxItems = Infinity,
    properties = {},
    required = [],
  } = schema;
  if ('const' in schema) return value === schema.const;
  if (schema.enum) return schema.enum.includes(value);
  if (schema.anyOf) return schema.anyOf.some((one) => keepsTo(one, value));
  switch (schema.type) {
    case 'string':
      return (
        typeof value === 'string' && Array.from(value).length >= minLength && Array.from(value).length <= maxLength
      );
    case 'array':
      if (!Array.isArray(value) || value.length < minItems || value.length > maxItems) return false;
      return value.every((item) => keepsTo(schema.items ?? {}, item));
    case 'object':
      if (typeof value !== 'object' || value === null || required.some((name) => !Object.hasOwn(value, name)))
        return false;
      return Object.entries(value).every(
        ([name, inner]) => Object.hasOwn(properties, name) && keepsTo(properties[name]!, inner),
      );
    case 'integer':
      return Number.isInteger(value);
    case 'null':
      return value === null;
    default:
      return typeof value === schema.type;
  }
}

const drawn = (seed: number) => ({ ...plainSampling, temperature: 1.5, topK: 0, topP: 1, seed });
const answer = async (schema: Record<string, unknown>, seed = 1): Promise<unknown> => {
  const request = aRequest('ba', { format: { kind: 'schema', schema }, sampling: drawn(seed), maxTokens: 800 });
  const { text, end } = await collect(engine, request);
  expect({ text, finish: end.finish }).toMatchObject({ finish: 'stop' });
  return JSON.parse(text);
};

const short = { type: 'string', maxLength: 8 };

test.each([
  [
    'all required',
    { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'boolean' } }, required: ['a', 'b'] },
    { a: expect.any(Number), b: expect.any(Boolean) },
  ],
  [
    'a nested object',
    {
      type: 'object',
      properties: { o: { type: 'object', properties: { s: short }, required: ['s'] } },
      required: ['o'],
    },
    { o: { s: expect.any(String) } },
  ],
  [
    'a choice',
    { type: 'object', properties: { c: { enum: ['x', 'y"\\z', 3, null] } }, required: ['c'] },
    { c: expect.toSatisfy((value) => ['x', 'y"\\z', 3, null].includes(value)) },
  ],
  [
    'a choice of names that begin alike',
    { enum: ['item', 'item 1', 'item 12', 'items', 'i"t'] },
    expect.toSatisfy((name) => ['item', 'item 1', 'item 12', 'items', 'i"t'].includes(name)),
  ],
  [
    'a list with bounds',
    { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 3 },
    expect.toSatisfy((list) => list.length >= 2 && list.length <= 3),
  ],
  ['a date', { type: 'string', format: 'date-time' }, expect.toSatisfy((text) => !Number.isNaN(Date.parse(text)))],
  [
    'a string with a length',
    { type: 'string', minLength: 3, maxLength: 5 },
    expect.toSatisfy((text) => Array.from(text).length >= 3 && Array.from(text).length <= 5),
  ],
  [
    'either of two',
    { anyOf: [{ const: 1 }, { const: 'one' }] },
    expect.toSatisfy((value) => value === 1 || value === 'one'),
  ],
  [
    'a reference',
    { $ref: '#/$defs/n', $defs: { n: { type: ['integer', 'null'] } } },
    expect.toSatisfy((value) => value === null || Number.isInteger(value)),
  ],
])('with %s', async (_, schema, expected) => {
  const answers = await Promise.all([1, 2, 3, 4].map((seed) => answer(schema, seed)));
  for (const one of answers) expect(one).toEqual(expected);
});

test('characters that take several tokens come out whole', async () => {
  const text = '👩‍🚀 漢字 é ñ 🏴‍☠️';
  const answered = await collect(engine, aRequest('ba', { format: { kind: 'schema', schema: { const: text } } }));
  expect(JSON.parse(answered.text)).toBe(text);
  expect(answered.end.usage.outputTokens).toBeGreaterThan(Array.from(text).length + 10);
  for (const piece of answered.pieces) expect(piece.isWellFormed() && !piece.includes('\uFFFD')).toBe(true);
});

test('optional properties may be left out, in any combination, and stay in order', async () => {
  const schema = { type: 'object', properties: { a: { const: 1 }, b: { const: 2 }, c: { const: 3 } }, required: ['b'] };
  const answers = await Promise.all(Array.from({ length: 24 }, (_, seed) => answer(schema, seed)));
  const texts = answers.map((one) => JSON.stringify(one));
  for (const text of texts) expect(text).toMatch(/^\{("a":1,)?"b":2(,"c":3)?\}$/);
  expect(new Set(texts).size).toBeGreaterThan(1);
});

test('any JSON object where only JSON is asked for', async () => {
  const texts = await Promise.all(
    Array.from({ length: 16 }, async (_, seed) => {
      const request = aRequest('ba', { format: { kind: 'json' }, sampling: drawn(seed), maxTokens: 60 });
      const { text, end } = await collect(engine, request);
      return end.finish === 'stop' ? text : null;
    }),
  );
  const whole = texts.filter((text) => text !== null);
  expect(whole.length).toBeGreaterThan(0);
  for (const text of whole) expect(typeof JSON.parse(text)).toBe('object');
});

test('200 random schemas: every answer parses and keeps to its schema', async () => {
  const schemas = fc.sample(fc.letrec<{ schema: Schema }>(anySchema).schema, { numRuns: 200, seed: 7 });
  const next = schemas.entries();
  const failures: unknown[] = [];
  const work = async (): Promise<void> => {
    for (const [index, schema] of next) {
      const request = aRequest('ba', { format: { kind: 'schema', schema }, sampling: drawn(index), maxTokens: 900 });
      const { text, end } = await collect(engine, request);
      if (end.finish !== 'stop' || !keepsTo(schema, JSON.parse(text)))
        failures.push({ schema, text, finish: end.finish });
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
  expect(failures).toEqual([]);
});

test('a schema that cannot be honoured is refused, and the engine goes on', async () => {
  await expect(answer({ type: 'string', pattern: 'x' })).rejects.toMatchObject({ outcome: 'bad_request' });
  expect(await answer({ const: 'still here' })).toBe('still here');
});
