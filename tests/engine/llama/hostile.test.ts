// Schemas that are small to write and ruinous to follow: refused by name, fast, before the engine sees them.
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { controlTokens } from '../../models/dialogues/chat.ts';
import { aRawRequest, collect, plainSampling, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
let engine: Engine | undefined;
beforeAll(async () => {
  engine = await llamaEngines({ env: process.env })({ ...someOptions, path: folder.random('words.gguf') }, unaborted());
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** Makes the model write `[` wherever the grammar allows it: as an attacker's prompt would. */
const brackets = { ...plainSampling, logitBias: [[controlTokens.length + 0x5b, 10_000]] as [number, number][] };
const both = (ref: string) => ({
  anyOf: [
    { type: 'array', items: { $ref: ref } },
    { type: 'array', items: { $ref: ref } },
  ],
});

const aChain = (levels: number) => {
  const last = { type: 'string' };
  const $defs = Array.from({ length: levels }, (_, level) => [
    `d${level}`,
    level === levels - 1 ? last : both(`#/$defs/d${level + 1}`),
  ]);
  return { $defs: Object.fromEntries($defs), $ref: '#/$defs/d0' };
};
const shape = (kind: string, more: object) => ({
  type: 'object',
  properties: { kind: { const: kind }, ...more },
  required: ['kind', ...Object.keys(more)],
});
const expression = { $ref: '#/$defs/expression' };
const tree = {
  $defs: {
    expression: {
      anyOf: [
        shape('add', { left: expression, right: expression }),
        shape('mul', { left: expression, right: expression }),
        shape('number', { value: { type: 'integer' } }),
        { type: 'array', items: expression },
      ],
    },
  },
  ...expression,
};
let deep: object = { type: 'string' };
for (let level = 0; level < 4; level += 1) {
  const inner = deep;
  deep = {
    anyOf: [0, 1, 2].map((key) => ({ type: 'object', properties: { [`a`]: inner, [`b${key}`]: {} }, required: ['a'] })),
  };
}

test.each<[string, object, RegExp]>([
  ['doubles with each reference', aChain(16), /\$defs\.d\d+ .*begin alike.*more than 50 ways/],
  ['contains itself twice', { $defs: { a: both('#/$defs/a') }, $ref: '#/$defs/a' }, /\$defs\.a .*without end/],
  [
    'contains itself by a detour',
    { $defs: { a: both('#/$defs/b'), b: { type: 'array', items: { $ref: '#/$defs/a' } } }, $ref: '#/$defs/a' },
    /\$defs\.a .*without end/,
  ],
  ['multiplies by nesting', deep, /schema\S* .*more than 50 ways/],
])('a schema that %s is refused by its place, in no time', async (_, schema, message) => {
  const startedMs = performance.now();
  const format = { kind: 'schema', schema: { ...schema } } as const;
  const asked = collect(engine!, aRawRequest('ba', { sampling: brackets, maxTokens: 40, format }));
  await expect(asked).rejects.toMatchObject({ outcome: 'bad_request', message: expect.stringMatching(message) });
  expect(performance.now() - startedMs).toBeLessThan(2_000);
});

test.each<[string, object]>([
  ['tells its choices apart by a constant, however it recurs', tree],
  ['has few levels of choices that begin alike', aChain(5)],
  [
    'has a choice of numbers, or of types',
    { anyOf: [{ type: 'number' }, { type: 'integer' }, { type: ['string', 'null'] }] },
  ],
])('a schema that %s is honoured', async (_, schema) => {
  const format = { kind: 'schema', schema: { ...schema } } as const;
  const { end } = await collect(engine!, aRawRequest('ba', { sampling: brackets, maxTokens: 60, format }));
  expect(end.usage.outputTokens).toBeGreaterThan(0);
  expect(end.usage.decodeMs).toBeLessThan(10_000);
});
