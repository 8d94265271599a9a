// What a request for embeddings must look like, in OpenAI's dialect and in both of Ollama's.
import type { Embedding, Generation } from '../request.ts';
import { type Check, type Fields, fieldsOf, flag, integer, list, oneOf, refuse, text } from './check.ts';
import { keepAlive } from './keep-alive.ts';
import * as parts from './parts.ts';

/** OpenAI's documented bound. */
const inputsMax = 2048;
const dimensionsMax = 65_536;

/**
 * The body of `POST /v1/embeddings`.
 * @throws Refusal `bad_request` naming the field
 */
export function parseOpenaiEmbeddings(body: unknown): Generation {
  const request = fieldsOf(body, '');
  return generationOf(request, 'openai', {
    inputs: request.required('input', openaiInputs),
    // What is cut off would be missing in the vector, and nobody would be told.
    truncate: false,
    dimensions: request.optional('dimensions', integer(1, dimensionsMax)),
    encoding: request.optional('encoding_format', oneOf('float', 'base64')) ?? 'float',
    form: 'openai',
  });
}

/**
 * The body of `POST /api/embed`. Without an input it only loads the model.
 * @throws Refusal `bad_request` naming the field
 */
export function parseOllamaEmbed(body: unknown): Generation {
  const request = fieldsOf(body, '');
  return generationOf(request, 'ollama', {
    inputs: request.optional('input', ollamaInputs) ?? [],
    truncate: request.optional('truncate', flag) ?? true,
    dimensions: request.optional('dimensions', integer(0, dimensionsMax)) || null,
    encoding: 'float',
    form: 'ollama',
  });
}

/**
 * The body of `POST /api/embeddings`, Ollama's older form: one prompt, one vector.
 * @throws Refusal `bad_request` naming the field
 */
export function parseOllamaEmbeddings(body: unknown): Generation {
  const request = fieldsOf(body, '');
  const prompt = request.optional('prompt', text) ?? '';
  return generationOf(request, 'ollama', {
    inputs: prompt === '' ? [] : [prompt],
    truncate: true,
    dimensions: null,
    encoding: 'float',
    form: 'ollama_single',
  });
}

function generationOf(request: Fields, dialect: Generation['dialect'], embedding: Embedding): Generation {
  const options = request.optional('options', fieldsOf);
  return {
    ...parts.noText,
    dialect,
    endpoint: 'embeddings',
    model: request.required('model', parts.modelName),
    keepAliveMs: dialect === 'ollama' ? request.optional('keep_alive', keepAlive) : null,
    contextTokens: options?.optional('num_ctx', integer(1, parts.anyInteger)) ?? null,
    embedding,
  };
}

/** A text, tokens, or a list of either; nothing in it may be empty. */
const openaiInputs: Check<Embedding['inputs']> = (value, path) => {
  if (typeof value === 'string') return [filled(value, path)];
  if (!Array.isArray(value)) return refuse(path, 'must be a string, or an array of strings or of tokens');
  if (value.length === 0) return refuse(path, 'must not be empty');
  if (typeof value[0] === 'number') return [parts.tokens(value, path)];
  return list(filledOrTokens, inputsMax)(value, path);
};

const filled: Check<string> = (value, path) => {
  const read = text(value, path);
  return read === '' ? refuse(path, 'must not be empty') : read;
};

const filledOrTokens: Check<string | number[]> = (value, path) => {
  if (!Array.isArray(value)) return filled(value, path);
  return value.length === 0 ? refuse(path, 'must not be empty') : parts.tokens(value, path);
};

const ollamaInputs: Check<string[]> = (value, path) => {
  if (typeof value !== 'string') return list(text, inputsMax)(value, path);
  return value === '' ? [] : [text(value, path)];
};
