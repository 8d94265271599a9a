// Every number that a request may hold, at its bounds and beyond: which fields are numbers is seen from what the parsers
// look at, so that a new one has to be added here.
import { parseOllamaEmbed, parseOllamaEmbeddings, parseOpenaiEmbeddings } from '@berth/shared/dialects/embeddings.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

interface Range {
  min: number;
  max: number;
  whole?: true;
}

const max53 = Number.MAX_SAFE_INTEGER;
const max31 = 2 ** 31 - 1;
const whole = (min: number, max: number): Range => ({ min, max, whole: true });
const unit = { min: 0, max: 1 };
const penalty = { min: -2, max: 2 };
const repeat = { min: 0.01, max: 100 };
/** What both families have. */
const common = {
  top_p: unit,
  min_p: unit,
  top_k: whole(-1, max31),
  presence_penalty: penalty,
  frequency_penalty: penalty,
  repeat_penalty: repeat,
  seed: whole(-max53, max53),
};
const openai = {
  ...common,
  temperature: { min: 0, max: 2 },
  n: whole(1, 64),
  max_tokens: whole(-1, max53),
  max_completion_tokens: whole(-1, max53),
};
const options = {
  ...common,
  temperature: { min: 0, max: 100 },
  typical_p: { min: 1, max: 1 },
  repeat_last_n: whole(-1, max31),
  num_predict: whole(-2, max53),
  num_ctx: whole(1, max53),
};
const messages = [{ role: 'user', content: 'hello' }];
const dimensions = whole(1, 65_536);

interface Endpoint {
  parse: (body: object) => unknown;
  body: object;
  ranges: Record<string, Range>;
}

const endpoints: Record<string, Endpoint> = {
  '/v1/chat/completions': {
    parse: parseOpenaiChat,
    body: { model: 'm', messages, logprobs: true },
    ranges: { ...openai, top_logprobs: whole(0, 20) },
  },
  '/v1/completions': {
    parse: parseOpenaiCompletion,
    body: { model: 'm', prompt: 'hello' },
    ranges: { ...openai, logprobs: whole(0, 5), best_of: whole(0, 1) },
  },
  '/api/chat': {
    parse: parseOllamaChat,
    body: { model: 'm', messages },
    ranges: { top_logprobs: whole(0, 20) },
  },
  '/api/generate': {
    parse: parseOllamaGenerate,
    body: { model: 'm', prompt: 'hello' },
    ranges: { top_logprobs: whole(0, 20) },
  },
  'options of /api/chat': {
    parse: (value) => parseOllamaChat({ model: 'm', messages, options: value }),
    body: {},
    ranges: options,
  },
  'options of /api/generate': {
    parse: (value) => parseOllamaGenerate({ model: 'm', prompt: 'hello', options: value }),
    body: {},
    ranges: options,
  },
  '/v1/embeddings': { parse: parseOpenaiEmbeddings, body: { model: 'm', input: 'hello' }, ranges: { dimensions } },
  '/api/embed': {
    parse: parseOllamaEmbed,
    body: { model: 'm', input: 'hello' },
    ranges: { dimensions: whole(0, 65_536) },
  },
  'options of /api/embeddings': {
    parse: (value) => parseOllamaEmbeddings({ model: 'm', prompt: 'hello', options: value }),
    body: {},
    ranges: { num_ctx: whole(1, max53) },
  },
};

/** Fields that the parser looks at. */
function fieldsSeen({ parse, body }: Endpoint): string[] {
  const seen = new Set<string>();
  const watched = new Proxy(body, {
    getOwnPropertyDescriptor: (target, name) => {
      seen.add(String(name));
      return Reflect.getOwnPropertyDescriptor(target, name);
    },
  });
  parse(watched);
  return [...seen];
}

/** Those that want a number: told anything else, they say so. */
function numbersSeen(endpoint: Endpoint): string[] {
  return fieldsSeen(endpoint).filter((name) => {
    try {
      endpoint.parse({ ...endpoint.body, [name]: {} });
      return false;
    } catch (error) {
      return /must be a number, not/.test(String(error));
    }
  });
}

describe.each(Object.entries(endpoints))('%s', (_path, endpoint) => {
  const { parse, body, ranges } = endpoint;
  /** As JSON brings it: 1e999 is infinite there. */
  const given = (name: string, text: string) =>
    parse({ ...body, ...(parseJson(Buffer.from(`{"${name}":${text}}`)) as object) });

  test('has no number without a range here', () => {
    expect(numbersSeen(endpoint).toSorted()).toEqual(Object.keys(ranges).toSorted());
  });

  test.each(Object.entries(ranges))('%s from %j', (name, { min, max, whole: isWhole }) => {
    const step = isWhole ? 1 : 0.001;
    for (const right of [min, max]) expect(() => given(name, String(right))).not.toThrow();
    const beyond = [min - step, ...(max === max53 ? [2 ** 53 * 2] : [max + step])];
    const never = [...beyond.map(String), '1e999', '-1e999', '1e308', '-1e308', '"1"', '[1]', 'true'];
    for (const wrong of [...never, ...(isWhole ? ['0.5'] : [])]) {
      const { outcome, param } = refused(() => given(name, wrong));
      expect([wrong, outcome, param?.endsWith(name)]).toEqual([wrong, 'bad_request', true]);
    }
  });
});
