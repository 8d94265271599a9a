// Every field of every endpoint with values of every kind: the wrong ones are refused by the field's name, null is
// the same as nothing, and what nobody knows is ignored.
import { parseOllamaPull, parseOllamaShow } from '@berth/shared/dialects/catalog.ts';
import { parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { parseDetokenize, parseTokenize } from '@berth/shared/dialects/tokens.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

/** A value of each kind that JSON has. */
const kinds = { text: 'x y', number: 1.5, whole: 1, flag: true, list: [{}], object: { a: 1 } };
type Kind = keyof typeof kinds;

interface Endpoint {
  parse: (body: unknown) => unknown;
  /** The smallest valid body. */
  body: Record<string, unknown>;
  /** Fields by the kinds that are right for them; other kinds are wrong. */
  fields: Record<string, Kind[]>;
  required: string[];
}

const number: Kind[] = ['number', 'whole'];
const sampling = {
  temperature: number,
  seed: ['whole'],
  stop: ['text'],
  top_k: ['whole'],
  repeat_penalty: number,
  presence_penalty: number,
  frequency_penalty: number,
} as const;
const messages = [{ role: 'user', content: 'hello' }];

function fields(...parts: Record<string, readonly Kind[]>[]): Record<string, Kind[]> {
  return Object.fromEntries(parts.flatMap((part) => Object.entries(part)).map(([name, right]) => [name, [...right]]));
}

const endpoints: Record<string, Endpoint> = {
  '/v1/chat/completions': {
    parse: parseOpenaiChat,
    body: { model: 'm', messages },
    fields: fields(sampling, {
      model: [],
      messages: [],
      stream: ['flag'],
      stream_options: ['object'],
      max_tokens: ['whole'],
      max_completion_tokens: ['whole'],
      parallel_tool_calls: ['flag'],
      logprobs: ['flag'],
      logit_bias: [],
      response_format: [],
      json_schema: ['object'],
      tools: [],
      tool_choice: [],
      reasoning_effort: [],
      chat_template_kwargs: ['object'],
    }),
    required: ['model', 'messages'],
  },
  '/v1/completions': {
    parse: parseOpenaiCompletion,
    body: { model: 'm', prompt: 'hello' },
    fields: fields(sampling, {
      model: [],
      prompt: ['text'],
      stream: ['flag'],
      stream_options: ['object'],
      max_tokens: ['whole'],
      echo: ['flag'],
      suffix: ['text'],
      best_of: ['whole'],
      response_format: [],
    }),
    required: ['model', 'prompt'],
  },
  '/tokenize': {
    parse: parseTokenize,
    body: { content: 'hello' },
    fields: { model: [], content: ['text'], add_special: ['flag'], parse_special: ['flag'] },
    required: ['content'],
  },
  '/detokenize': { parse: parseDetokenize, body: { tokens: [1] }, fields: { tokens: [] }, required: ['tokens'] },
  '/api/chat': {
    parse: parseOllamaChat,
    body: { model: 'm', messages },
    fields: {
      model: [],
      messages: [],
      stream: ['flag'],
      keep_alive: ['number', 'whole'],
      format: ['object'],
      think: ['flag'],
      tools: [],
      logprobs: ['flag'],
      top_logprobs: ['whole'],
      options: ['object'],
    },
    required: ['model'],
  },
  '/api/chat options': {
    parse: (options) => parseOllamaChat({ model: 'm', messages, options }),
    body: {},
    fields: fields(sampling, {
      num_predict: ['whole'],
      num_ctx: ['whole'],
      repeat_last_n: ['whole'],
      min_p: ['whole'],
    }),
    required: [],
  },
  '/api/generate': {
    parse: parseOllamaGenerate,
    body: { model: 'm', prompt: 'hello' },
    fields: {
      model: [],
      prompt: ['text'],
      truncate: ['flag'],
      system: ['text'],
      raw: ['flag'],
      suffix: ['text'],
      template: [],
      images: [],
      context: [],
      stream: ['flag'],
      options: ['object'],
    },
    required: ['model'],
  },
  '/api/show': {
    parse: parseOllamaShow,
    body: { model: 'm' },
    fields: { model: [], verbose: ['flag'] },
    required: ['model'],
  },
  '/api/pull': {
    parse: parseOllamaPull,
    body: { model: 'm' },
    fields: { model: [], stream: ['flag'], insecure: ['flag'] },
    required: ['model'],
  },
};

const isKind = (name: string): name is Kind => Object.hasOwn(kinds, name);
const cells = Object.entries(endpoints).flatMap(([path, endpoint]) =>
  Object.entries(endpoint.fields).map(([field, right]) => ({ path, field, right, ...endpoint })),
);

describe.each(cells)('$path: $field', ({ parse, body, field, right, required }) => {
  test.each(Object.keys(kinds).filter(isKind))('given a value of the kind %s', (kind) => {
    const act = () => parse({ ...body, [field]: kinds[kind] });
    if (right.includes(kind)) return expect(act).not.toThrow();
    const refusal = refused(act);
    expect(refusal.outcome).toBe('bad_request');
    // Of a list or an object the fault may lie deeper, and an older spelling may stand in.
    expect(refusal.param).toMatch(new RegExp(`^(options\\.)?${field}\\b|^name$`));
    expect(refusal.message).toContain(refusal.param);
  });

  test('given null', () => {
    const act = () => parse({ ...body, [field]: null });
    if (required.includes(field)) expect(act).toThrow(Refusal);
    else expect(act()).toEqual(parse(without(body, field)));
  });
});

function without(body: Record<string, unknown>, field: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([name]) => name !== field));
}

test.each(Object.entries(endpoints))('%s ignores what nobody knows', (_path, { parse, body }) => {
  const more = { unknown: 1, user: 'me', metadata: { a: 'b' }, store: true, service_tier: 'auto', constructor: 1 };
  expect(parse({ ...body, ...more })).toEqual(parse(body));
});

test.each([
  ['/v1/chat/completions', 'temperature', [-0.1, 2.1]],
  ['/v1/chat/completions', 'top_p', [-0.1, 1.1]],
  ['/v1/chat/completions', 'presence_penalty', [-2.1, 2.1]],
  ['/v1/chat/completions', 'max_tokens', [0, -2, 0.5]],
  ['/v1/chat/completions', 'top_logprobs', [-1, 21]],
  ['/v1/completions', 'max_tokens', [0, -2]],
  ['/v1/completions', 'logprobs', [-1, 6]],
  ['/api/chat options', 'num_ctx', [0, -1]],
  ['/api/chat options', 'num_predict', [-3, 0.5]],
  ['/api/chat options', 'min_p', [-1, 2]],
])('%s: %s is refused out of its range', (path, field, values) => {
  for (const value of values) {
    const refusal = refused(() => endpoints[path]?.parse({ ...endpoints[path].body, [field]: value }));
    expect(refusal.param).toBe(path.includes('options') ? `options.${field}` : field);
  }
});
