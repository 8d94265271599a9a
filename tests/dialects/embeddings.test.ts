// What requests for embeddings may look like, and which field a refusal names.
import { parseOllamaEmbed, parseOllamaEmbeddings, parseOpenaiEmbeddings } from '@berth/shared/dialects/embeddings.ts';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

const openai = (fields: object) => parseOpenaiEmbeddings({ model: 'e', ...fields }).embedding;
const ollama = (fields: object) => parseOllamaEmbed({ model: 'e', ...fields }).embedding;

describe("OpenAI's", () => {
  test.each<[unknown, unknown[]]>([
    ['text', ['text']],
    [
      ['one', 'two'],
      ['one', 'two'],
    ],
    [[1, 2, 3], [[1, 2, 3]]],
    [
      [[1], [2, 3]],
      [[1], [2, 3]],
    ],
  ])('input %j', (input, inputs) => {
    expect(openai({ input })).toEqual({ inputs, truncate: false, dimensions: null, encoding: 'float', form: 'openai' });
  });

  test('clients ask for base64 and send a user', () => {
    expect(openai({ input: 'x', encoding_format: 'base64', user: 'u', dimensions: 8 })).toMatchObject({
      encoding: 'base64',
      dimensions: 8,
    });
  });

  test.each<[string, object]>([
    ['input', {}],
    ['input', { input: '' }],
    ['input', { input: [] }],
    ['input', { input: 5 }],
    ['input[1]', { input: ['a', ''] }],
    ['input[1]', { input: ['a', 5] }],
    ['input[1]', { input: [1, -1] }],
    ['input[0][1]', { input: [[1, 0.5]] }],
    ['input[0]', { input: [[]] }],
    ['input', { input: Array.from({ length: 2049 }, () => 'x') }],
    ['dimensions', { input: 'x', dimensions: 0 }],
    ['encoding_format', { input: 'x', encoding_format: 'int8' }],
  ])('%s is at fault in case %#', (param, fields) => {
    expect(refused(() => openai(fields))).toMatchObject({ outcome: 'bad_request', param });
  });
});

describe("Ollama's", () => {
  test('one text or several; cut unless told otherwise; nothing for nothing', () => {
    expect(ollama({ input: 'x' })).toMatchObject({ inputs: ['x'], truncate: true, form: 'ollama' });
    expect(ollama({ input: ['x', ''], truncate: false })).toMatchObject({ inputs: ['x', ''], truncate: false });
    expect(ollama({ input: '' })?.inputs).toEqual([]);
    expect(ollama({})?.inputs).toEqual([]);
    expect(parseOllamaEmbed({ model: 'e', input: 'x', keep_alive: '1h' }).keepAliveMs).toBe(3_600_000);
  });

  test('of old: a prompt', () => {
    expect(parseOllamaEmbeddings({ model: 'e', prompt: 'x' }).embedding).toMatchObject({
      inputs: ['x'],
      form: 'ollama_single',
    });
  });

  test.each<[string, object]>([
    ['input', { input: 5 }],
    ['input[0]', { input: [5] }],
    ['truncate', { input: 'x', truncate: 'no' }],
    ['dimensions', { input: 'x', dimensions: -1 }],
    ['keep_alive', { input: 'x', keep_alive: 'soon' }],
  ])('%s is at fault in case %#', (param, fields) => {
    expect(refused(() => ollama(fields))).toMatchObject({ outcome: 'bad_request', param });
  });
});
