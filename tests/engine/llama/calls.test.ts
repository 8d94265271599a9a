// An answer that is held to calls is one in every family's syntax, whatever the model would say by itself.
import type { JsonFormat, Tool } from '@berth/shared/request.ts';
import type { Engine, EngineRequest } from '@berth/worker/engine/engine.ts';
import { llamaEngines } from '@berth/worker/engine/llama/open.ts';
import { splitter } from '@berth/worker/replies/split.ts';
import { thoughtsOf } from '@berth/worker/replies/thinking.ts';
import { channels } from '@berth/worker/replies/tools/channels.ts';
import { families } from '@berth/worker/replies/tools/families.ts';
import { hermes } from '@berth/worker/replies/tools/hermes.ts';
import type { ToolSyntax } from '@berth/worker/replies/tools/syntax.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aRequest, collect, plainSampling, someOptions, unaborted } from '../requests.ts';
import { modelFolder, publicOnly } from './models.ts';

const folder = modelFolder();
let random: Engine;
let scripted: Engine;
beforeAll(async () => {
  const open = llamaEngines({ env: process.env, publicOnly });
  random = await open({ ...someOptions, path: folder.random('words.gguf', { ends: true }) }, unaborted());
  const says = [
    'Look',
    ':',
    '<tool_call>',
    '\n',
    '{"name": "',
    'weather',
    '", "arguments": ',
    '{"city": 5',
    '}}',
    ' end',
  ];
  scripted = await open({ ...someOptions, path: folder.scripted('caller.gguf', says) }, unaborted());
});
afterAll(async () => {
  await random[Symbol.asyncDispose]();
  await scripted[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const city = { $ref: '#/$defs/city' };
const schemaOf = (...cities: string[]) => ({
  type: 'object',
  properties: { city, days: { type: 'integer' } },
  required: ['city'],
  additionalProperties: false,
  $defs: { city: { enum: cities } },
});
const tools: Tool[] = [
  { name: 'weather', description: '', parameters: schemaOf('Oslo', 'Rome'), strict: true },
  { name: 'time', description: '', parameters: schemaOf('Bern') },
];
const citiesOf: Record<string, string[]> = { weather: ['Oslo', 'Rome'], time: ['Bern'] };

const held = (
  syntax: ToolSyntax,
  template: string,
  otherwise: JsonFormat | null,
  several = true,
): EngineRequest['format'] => ({ kind: 'calls', frame: syntax.frame(template), tools, several, otherwise });

async function ask(engine: Engine, syntax: ToolSyntax, format: EngineRequest['format'], seed = 7) {
  const sampling = { ...plainSampling, temperature: 1, topK: 0, seed };
  const { text, end } = await collect(
    engine,
    aRequest('Go on.', { format, sampling, maxTokens: 900, tags: syntax.tags }),
  );
  const thoughts = syntax === channels ? thoughtsOf('<|channel|><|message|>') : null;
  const finder = splitter({ thoughts, calls: { syntax, tools, inPieces: false } });
  const segments = [...finder.push(text), ...finder.flush()];
  const said = segments.flatMap((segment) => (segment.kind === 'text' ? [segment.text] : [])).join('');
  const calls = segments.filter((segment) => segment.kind === 'call');
  return { said, calls, finish: end.finish };
}

/** Families whose versions write their calls in two ways. */
const versions: [string, ToolSyntax, string][] = [
  ...families.map((family): [string, ToolSyntax, string] => [family.name, family, '']),
  ...families
    .filter(({ name }) => ['mistral', 'deepseek', 'listed', 'cohere', 'invoke'].includes(name))
    .map((family): [string, ToolSyntax, string] => [
      `${family.name} of another age`,
      family,
      '[ARGS]```jsonfunctools[Action:｜DSML｜',
    ]),
];

describe('a call that has to be', () => {
  test.each(versions)('%s: is nothing but calls by the schemas', async (_name, family, template) => {
    for (const seed of [1, 2, 3]) {
      const { said, calls, finish } = await ask(random, family, held(family, template, null), seed);
      expect(said).toBe('');
      expect(finish).toBe('stop');
      expect(calls.length).toBeGreaterThan(0);
      for (const call of calls) expect(citiesOf[call.name]).toContain(call.arguments['city']);
    }
  });

  test('is one where several are not wanted', async () => {
    for (const seed of [1, 2, 3, 4]) {
      const { calls } = await ask(random, hermes, held(hermes, '', null, false), seed);
      expect(calls).toHaveLength(1);
    }
  });
});

describe('a call that may be', () => {
  test('comes after free text, and then follows its schema against the model\u2019s will', async () => {
    const free = await ask(scripted, hermes, { kind: 'text' });
    expect(free.calls[0]?.arguments).toEqual({ city: 5 });
    const { said, calls } = await ask(scripted, hermes, held(hermes, '', { kind: 'text' }));
    expect(said).toBe('Look:');
    expect(citiesOf['weather']).toContain(calls[0]?.arguments['city']);
  });

  test('or the answer follows the format that was asked for', async () => {
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' } },
      required: ['ok'],
      additionalProperties: false,
    };
    for (const seed of [1, 2, 3, 4]) {
      const { said, calls } = await ask(random, hermes, held(hermes, '', { kind: 'schema', schema }), seed);
      if (calls.length === 0) expect(Object.keys(JSON.parse(said) as object)).toEqual(['ok']);
      else expect(said).toBe('');
    }
  });
});

test('what a tool\u2019s schema says and no grammar can hold is refused by its place', async () => {
  const strict = { name: 'f', description: '', parameters: { properties: { a: { type: 'string', pattern: 'x' } } } };
  const format = { ...held(hermes, '', null), tools: [strict] } as EngineRequest['format'];
  await expect(collect(random, aRequest('Go on.', { format }))).rejects.toThrow(/tools\.f\.parameters\.a\.pattern/);
});
