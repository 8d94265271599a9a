// What `/v1/completions`, `/tokenize` and `/detokenize` take, and what they refuse by name.
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { parseDetokenize, parseTokenize } from '@berth/shared/dialects/tokens.ts';
import { answersOf } from '@berth/shared/request.ts';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

const completion = (fields: object = {}) => parseOpenaiCompletion({ model: 'm', prompt: 'Once', ...fields });

describe('a completion', () => {
  test.each([
    ['Once', { kind: 'raw', text: 'Once' }],
    [['Once'], { kind: 'raw', text: 'Once' }],
    [[5, 6], { kind: 'tokens', tokens: [5, 6] }],
    [[[5, 6]], { kind: 'tokens', tokens: [5, 6] }],
  ])('of %j has the prompt %j', (prompt, read) => {
    expect(completion({ prompt }).prompt).toEqual(read);
  });

  test.each([
    [{ prompt: ['Once', [5, 6]] }, { morePrompts: [{ kind: 'tokens', tokens: [5, 6] }] }, 2],
    [{ prompt: ['Once', 'Then'], n: 32 }, { morePrompts: [{ kind: 'raw', text: 'Then' }], answersEach: 32 }, 64],
    [{ n: 2, best_of: 2 }, { answersEach: 2 }, 2],
    [{ n: 1, best_of: 1 }, {}, 1],
  ])('of %j is %j: %i answers', (fields, read, answers) => {
    const generation = completion(fields);
    expect(generation).toMatchObject({ prompt: { kind: 'raw', text: 'Once' }, ...read });
    expect(answersOf(generation)).toBe(answers);
  });

  test('has 16 tokens unless it says otherwise, and -1 is no bound', () => {
    expect(completion().maxTokens).toBe(16);
    expect(completion({ max_tokens: 500 }).maxTokens).toBe(500);
    expect(completion({ max_tokens: -1 }).maxTokens).toBeNull();
  });

  test('fills in before its suffix, each prompt by itself', () => {
    const filled = completion({ prompt: ['a', 'b'], suffix: 'z', echo: true });
    expect(filled.prompt).toEqual({ kind: 'infill', before: 'a', after: 'z' });
    expect(filled.morePrompts).toEqual([{ kind: 'infill', before: 'b', after: 'z' }]);
  });

  test('samples, stops and formats as a chat does', () => {
    const fields = {
      logit_bias: { 5: 1 },
      temperature: 0.5,
      seed: 7,
      stop: 'x',
      response_format: { type: 'json_object' },
      top_k: 3,
    };
    expect(completion(fields)).toMatchObject({
      endpoint: 'completion',
      sampling: { temperature: 0.5, seed: 7, topK: 3, logitBias: [[5, 1]] },
      stop: ['x'],
      format: { kind: 'json' },
    });
  });

  test.each([
    ['prompt', { prompt: null }],
    ['prompt', { prompt: '' }],
    ['prompt', { prompt: [] }],
    ['prompt', { prompt: 7 }],
    ['prompt[1]', { prompt: ['a', ''] }],
    ['prompt[1]', { prompt: ['a', []] }],
    ['prompt[1]', { prompt: ['a', 5] }],
    ['prompt[0]', { prompt: [[]] }],
    ['prompt', { prompt: Array.from({ length: 65 }, () => 'a') }],
    ['n', { prompt: ['a', 'b'], n: 33 }],
    ['echo', { echo: true, prompt: ['a', [5]] }],
    ['prompt[1]', { prompt: [5, 'a'] }],
    ['prompt[1]', { prompt: [5, -1] }],
    ['n', { n: 0 }],
    ['best_of', { best_of: 2 }],
    ['best_of', { best_of: 3, n: 2 }],
    ['logprobs', { logprobs: 1, echo: true }],
    ['suffix', { suffix: 'the end', prompt: [5] }],
    ['suffix', { suffix: ['the end'] }],
    ['echo', { echo: true, prompt: [5] }],
    ['max_tokens', { max_tokens: 0 }],
  ])('is refused for its %s: %j', (param, fields) => {
    expect(refused(() => completion(fields))).toMatchObject({ outcome: 'bad_request', param });
  });
});

describe('tokens', () => {
  test('are asked for as llama-server has it', () => {
    expect(parseTokenize({ content: 'x' })).toMatchObject({
      model: '',
      prompt: null,
      tokenizing: { kind: 'tokenize', text: 'x', first: false, control: true },
    });
    expect(parseTokenize({ model: 'm', content: '', add_special: true, parse_special: false }).tokenizing).toEqual({
      kind: 'tokenize',
      text: '',
      first: true,
      control: false,
    });
    expect(parseTokenize({ content: 'x', with_pieces: true }).tokenizing).toMatchObject({ pieces: true });
    expect(parseDetokenize({ tokens: [1, 2] }).tokenizing).toEqual({ kind: 'detokenize', tokens: [1, 2] });
  });

  test.each([
    ['content', () => parseTokenize({})],
    ['content', () => parseTokenize({ content: 5 })],
    ['with_pieces', () => parseTokenize({ content: 'x', with_pieces: 'yes' })],
    ['tokens', () => parseDetokenize({})],
    ['tokens[0]', () => parseDetokenize({ tokens: ['a'] })],
    ['tokens[1]', () => parseDetokenize({ tokens: [1, 1.5] })],
  ])('are refused for a wrong %s', (param, action) => {
    expect(refused(action)).toMatchObject({ outcome: 'bad_request', param });
  });
});
