// Lists of models: names, copies on several workers, and what a model cannot do.
import type { ModelCard } from '@berth/shared/announcement.ts';
import {
  canonicalModel,
  isFit,
  lackOf,
  modelOfPath,
  ollamaPs,
  ollamaTags,
  ollamaVersion,
  openaiModel,
  openaiModels,
  parseOllamaShow,
} from '@berth/shared/dialects/catalog.ts';
import { parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

const aCard = (fields: Partial<ModelCard> = {}): ModelCard => ({
  name: 'berth:latest',
  loaded: true,
  evictable: true,
  failed: null,
  contextTokens: 2048,
  trainedTokens: 4096,
  sizeBytes: 1000,
  vramBytes: 900,
  digest: 'a'.repeat(64),
  architecture: 'llama',
  parameterSize: '8.0B',
  quantization: 'Q8_0',
  modifiedAt: '2026-11-22T09:30:00Z',
  capabilities: ['completion'],
  expiresAt: null,
  ...fields,
});

test.each([
  ['llama3.2', 'llama3.2:latest'],
  ['llama3.2:1b', 'llama3.2:1b'],
  ['Team/Model', 'Team/Model:latest'],
  ['host:5000/team/model', 'host:5000/team/model:latest'],
  ['host:5000/team/model:q4', 'host:5000/team/model:q4'],
])('%s is %s', (name, canonical) => {
  expect(canonicalModel(name)).toBe(canonical);
});

test.each([
  ['team/model:1b', 'team/model:1b'],
  ['team%2Fmodel%3A1b', 'team/model:1b'],
])('the path %s names %s', (rest, name) => {
  expect(modelOfPath(rest)).toBe(name);
});

test.each(['%', '%ff', '', 'a%20b', '%0a'])('the path %j is refused', (rest) => {
  expect(refused(() => modelOfPath(rest)).outcome).toBe('bad_request');
});

describe('lists', () => {
  test('OpenAI and Anthropic clients read the same body', () => {
    expect(
      openaiModels([aCard({ name: 'b:latest' }), aCard({ name: 'a:latest' }), aCard({ name: 'b:latest' })]),
    ).toEqual({
      object: 'list',
      data: [entry('a:latest'), entry('b:latest')],
      has_more: false,
      first_id: 'a:latest',
      last_id: 'b:latest',
    });
    expect(openaiModels([])).toEqual({ object: 'list', data: [], has_more: false, first_id: null, last_id: null });
  });

  const entry = (name: string) => ({
    id: name,
    object: 'model',
    created: 1795339800,
    owned_by: 'berth',
    max_model_len: 2048,
    meta: { n_ctx: 2048, n_ctx_train: 4096, size: 1000 },
    type: 'model',
    display_name: name,
    created_at: '2026-11-22T09:30:00Z',
  });

  test('a single model echoes the name asked for', () => {
    expect(openaiModel(aCard(), 'berth')).toEqual({ ...entry('berth'), display_name: 'berth:latest' });
  });

  test('tags have every field that clients show', () => {
    expect(ollamaTags([aCard(), aCard({ loaded: false })])).toEqual({
      models: [
        {
          name: 'berth:latest',
          model: 'berth:latest',
          modified_at: '2026-11-22T09:30:00Z',
          size: 1000,
          digest: 'a'.repeat(64),
          details: {
            parent_model: '',
            format: 'gguf',
            family: 'llama',
            families: ['llama'],
            parameter_size: '8.0B',
            quantization_level: 'Q8_0',
          },
        },
      ],
    });
  });

  test('of several files under one name the newest is told', () => {
    const newer = aCard({ modifiedAt: '2026-11-23T00:00:00Z', digest: 'b'.repeat(64) });
    expect(ollamaTags([aCard(), newer, aCard()]).models.map(({ digest }) => digest)).toEqual(['b'.repeat(64)]);
  });

  test('ps tells loaded models only, sums their copies, and puts first what stays longest', () => {
    const nowMs = Date.UTC(2026, 10, 22);
    const cards = [
      aCard({ name: 'cold:latest', loaded: false }),
      aCard({ name: 'a:latest', expiresAt: nowMs + 1000 }),
      aCard({ name: 'b:latest', expiresAt: nowMs + 3000 }),
      aCard({ name: 'a:latest', expiresAt: nowMs + 2000 }),
      aCard({ name: 'pinned:latest' }),
      aCard({ name: 'leaving:latest', expiresAt: nowMs - 5000 }),
    ];
    expect(
      ollamaPs(cards, nowMs).models.map(({ name, size, size_vram, expires_at }) => [name, size, size_vram, expires_at]),
    ).toEqual([
      ['pinned:latest', 1000, 900, '2318-01-01T00:00:00Z'],
      ['b:latest', 1000, 900, '2026-11-22T00:00:03.000Z'],
      ['a:latest', 2000, 1800, '2026-11-22T00:00:02.000Z'],
      ['leaving:latest', 1000, 900, '2026-11-22T00:00:00.000Z'],
    ]);
    expect(ollamaPs(cards, nowMs).models[0]).toMatchObject({ model: 'pinned:latest', context_length: 2048 });
  });

  test('clients that ask for the version see one that has every feature they need', () => {
    const [major, minor] = ollamaVersion().version.split('.').map(Number);
    expect([major, minor]).toEqual([0, 13]);
  });

  test('show is asked by model or name', () => {
    expect(parseOllamaShow({ model: 'm' })).toEqual({ model: 'm', verbose: false });
    expect(parseOllamaShow({ name: 'n', verbose: true })).toEqual({ model: 'n', verbose: true });
    expect(refused(() => parseOllamaShow({ model: 'm', verbose: 1 })).param).toBe('verbose');
    expect(refused(() => parseOllamaShow({})).param).toBe('model');
  });
});

describe('what a model cannot do is refused before it waits', () => {
  const messages = [{ role: 'user', content: 'x' }];
  const tools = [{ type: 'function', function: { name: 'f' } }];
  const model = 'berth';
  const shown = [{ type: 'text', text: 'what is it?' }];
  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,aGk=' } };
  const audio = { type: 'input_audio', input_audio: { data: 'aGk=', format: 'wav' } };

  test.each([
    ['tools', parseOpenaiChat({ model, messages, tools }), "'berth' does not support tools"],
    ['think', parseOllamaChat({ model, messages, think: true }), "'berth' does not support thinking"],
    ['think', parseOllamaGenerate({ model, prompt: 'x', think: 'high' }), "'berth' does not support thinking"],
  ])('%s on a model without it', (param, generation, message) => {
    expect(lackOf(generation, [aCard()])).toMatchObject({ outcome: 'bad_request', param, message });
    expect(lackOf(generation, [aCard(), aCard({ capabilities: ['completion', 'tools', 'thinking'] })])).toBeNull();
  });

  test('an embedding model does not chat or generate, but may be loaded', () => {
    const cards = [aCard({ capabilities: ['embedding'] })];
    expect(lackOf(parseOpenaiChat({ model, messages }), cards)?.message).toBe("'berth' does not support chat");
    expect(lackOf(parseOllamaGenerate({ model, prompt: 'x', raw: true }), cards)?.message).toBe(
      "'berth' does not support generate",
    );
    expect(lackOf(parseOllamaChat({ model }), cards)).toBeNull();
    const filling = parseOllamaGenerate({ model, prompt: 'x', suffix: 'y' });
    expect(lackOf(filling, [aCard()])).toMatchObject({ param: 'suffix', message: "'berth' does not support insert" });
    expect(lackOf(filling, [aCard({ capabilities: ['completion', 'insert'] })])).toBeNull();
  });

  test.each([
    [
      'messages[0].content[1]',
      parseOpenaiChat({ model, messages: [{ role: 'user', content: [...shown, image] }] }),
      'see',
    ],
    [
      'messages[0].content[1]',
      parseOpenaiChat({ model, messages: [{ role: 'user', content: [...shown, audio] }] }),
      'hear',
    ],
    [
      'messages[0].images[0]',
      parseOllamaChat({ model, messages: [{ role: 'user', content: 'x', images: ['a'] }] }),
      'see',
    ],
    ['images[0]', parseOllamaGenerate({ model, prompt: 'x', images: ['a'] }), 'see'],
  ])('%s needs a model with the sense for it', (param, generation, sense) => {
    const lack = lackOf(generation, [aCard()]);
    expect(lack).toMatchObject({ outcome: 'bad_request', param });
    expect(lack?.message).toContain(`'berth' cannot ${sense}: send text`);
    expect(lackOf(generation, [aCard(), aCard({ capabilities: ['completion', 'vision', 'audio'] })])).toBeNull();
    expect(isFit(generation, aCard())).toBe(false);
  });

  test("OpenAI's effort is a hint, and think false asks for nothing", () => {
    expect(lackOf(parseOpenaiChat({ model, messages, reasoning_effort: 'high' }), [aCard()])).toBeNull();
    expect(lackOf(parseOllamaChat({ model, messages, think: false }), [aCard()])).toBeNull();
  });
});
