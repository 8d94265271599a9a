// A wanted format becomes a grammar, or a refusal that names what cannot be honoured.
import { expect, test } from 'vitest';
import { gbnfFor } from '../../../worker/engine/llama/grammar.ts';

const forSchema = (schema: Record<string, unknown>) => gbnfFor({ kind: 'schema', schema });

test('plain text needs no grammar', () => {
  expect(gbnfFor({ kind: 'text' })).toBeNull();
});

test.each([
  ['pattern', { type: 'string', pattern: 'a+' }],
  ['minimum', { type: 'object', properties: { age: { type: 'integer', minimum: 3 } } }],
  ['uniqueItems', { type: 'array', uniqueItems: true }],
  ['format "email"', { type: 'string', format: 'email' }],
  ['type "tuple"', { type: 'tuple' }],
  ['$ref', { $ref: '#/elsewhere' }],
  ['allOf with more than one', { allOf: [{ type: 'object' }, { type: 'object' }] }],
  ['maxLength above 1000', { type: 'string', maxLength: 1e6 }],
])('a schema with %s is refused by that name', (name, schema) => {
  expect(() => forSchema(schema)).toThrow(
    expect.objectContaining({ outcome: 'bad_request', message: expect.stringContaining(name) }),
  );
});

test('a refusal says where in the schema', () => {
  expect(() => forSchema({ properties: { age: { minimum: 3 } } })).toThrow(/schema\.age\.minimum/);
});

test('depth, number and size are bounded', () => {
  let deep: Record<string, unknown> = { type: 'string' };
  for (let level = 0; level < 30; level += 1) deep = { type: 'array', items: deep };
  expect(() => forSchema(deep)).toThrow(/more than 24 levels/);
  expect(() => forSchema({ enum: Array.from({ length: 501 }, (_, index) => index) })).toThrow(/more than 500/);
  const wide = Object.fromEntries(Array.from({ length: 1001 }, (_, index) => [`p${index}`, {}]));
  expect(() => forSchema({ properties: wide })).toThrow(/more than 1000 schemas/);
  expect(() => forSchema({ description: 'x'.repeat(70_000) })).toThrow(/more than 65536 characters/);
});

test('choices at one place are bounded, because each is tried on the whole vocabulary', () => {
  const many = Array.from({ length: 51 }, (_, index) => String.fromCodePoint(0x400 + index));
  expect(() => forSchema({ enum: many })).toThrow(/more than 50 choices/);
  expect(() => forSchema({ enum: many.map((one) => `like ${one}`).slice(1) })).not.toThrow();
  expect(() => forSchema({ anyOf: many.map((one) => ({ const: one })) })).toThrow(/more than 50 choices/);
});

test('many optional properties stay a small grammar', () => {
  const properties = Object.fromEntries(
    Array.from({ length: 50 }, (_, index) => [`property${index}`, { type: 'string' }]),
  );
  expect(forSchema({ properties })?.length).toBeLessThan(50_000);
});
