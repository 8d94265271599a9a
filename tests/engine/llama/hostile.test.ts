// Schemas and grammars that are small to write and ruinous to follow: refused by name, fast, before the engine sees them.
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

const lines = (count: number, each: (index: number) => string) =>
  Array.from({ length: count }, (_, at) => each(at)).join('\n');
const grammars = [
  `${lines(40, (at) => `${at === 0 ? 'root' : `n${at}`} ::= n${at + 1} "[" | n${at + 1} "]"`)}\nn40 ::= "x"`,
  `${lines(40, (at) => `${at === 0 ? 'root' : `n${at}`} ::= n${at + 1} n${at + 1}`)}\nn40 ::= ""`,
  'root ::= e e root "[" | "]"\ne ::= f\nf ::= ""',
  'root ::= a | b | "x"\na ::= "[" root "]"\nb ::= "[" root ")"',
  'root ::= (a | b)*\na ::= [^a] | "1"\nb ::= [^b] | "2"',
  'root ::= [^a]{0,1000} [^b]{0,1000} [^c]{0,1000}',
  `root ::= ${'('.repeat(30_000)}`,
  `root ::= ${lines(120, (at) => `[a-${String.fromCharCode(0x62 + (at % 24))}]{30} "${at}"`).replaceAll('\n', ' | ')}`,
];

test('no grammar stops the answers that run, neither in its check nor when it is followed', async () => {
  const abort = new AbortController();
  const running = engine!.generate(aRawRequest('ba', { cacheScope: 'other' }), abort.signal);
  let [longestMs, lastMs, steps] = [0, performance.now(), 0];
  const watched = (async () => {
    for await (const event of running) {
      if (event.kind !== 'text') continue;
      longestMs = Math.max(longestMs, performance.now() - lastMs);
      lastMs = performance.now();
      steps += 1;
    }
  })();
  watched.catch(() => {}); // looked at below
  const ask = (grammar: string) =>
    collect(engine!, aRawRequest('ba', { sampling: brackets, maxTokens: 40, format: { kind: 'grammar', grammar } }));
  const refused = await Promise.allSettled(grammars.map(ask));
  expect(refused.map(({ status }) => status)).toEqual(grammars.map(() => 'rejected'));
  // As many readings at once as may be.
  const parts = Array.from({ length: 24 }, (_, at) => `p${at}`);
  const followed = await ask(
    `root ::= ${parts.map((part, at) => `${part} "!${at}"`).join(' | ')}\n${lines(24, (at) => `p${at} ::= [^!]*`)}`,
  );
  expect(followed.end.usage.outputTokens).toBe(40);
  abort.abort(new Error('enough'));
  await expect(watched).rejects.toThrow('enough');
  expect(steps).toBeGreaterThan(40);
  expect(longestMs).toBeLessThan(2_000);
});
