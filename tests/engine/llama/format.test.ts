// A model that draws its tokens by chance still answers in the format that was asked for.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { aRequest, collect, plainSampling, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
let engine: Engine;
beforeAll(async () => {
  const path = folder.random('words.gguf', { ends: true });
  engine = await llamaEngines({ env: process.env })({ ...someOptions, path, slots: 8 }, unaborted());
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

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

test('a schema that cannot be honoured is refused, and the engine goes on', async () => {
  await expect(answer({ type: 'string', pattern: 'x' })).rejects.toMatchObject({ outcome: 'bad_request' });
  expect(await answer({ const: 'still here' })).toBe('still here');
});
