// OpenAI's older endpoint, text in and text on: what a request must look like.
import type { Generation, Prompt } from '../request.ts';
import { type Check, type Fields, fieldsOf, flag, integer, list, refuse, text } from './check.ts';
import { formatOf, includeUsage, maxTokensOf, samplingOf } from './openai.ts';
import * as parts from './parts.ts';

/** OpenAI's own default, so short that everybody sets another. */
const defaultTokens = 16;

/**
 * The body of `POST /v1/completions`.
 * @throws Refusal `bad_request` naming the field: of a wrong type, out of range, or not to be honoured yet
 */
export function parseOpenaiCompletion(body: unknown): Generation {
  const request = fieldsOf(body, '');
  const model = request.required('model', parts.modelName);
  const prompt = request.required('prompt', promptOf);
  refuseUnsupported(request);
  const echo = request.optional('echo', flag) ?? false;
  if (echo && prompt.kind !== 'raw') refuse('echo', 'needs a prompt of text, not of tokens');
  const topLogprobs = request.optional('logprobs', integer(0, 5));
  if (echo && topLogprobs !== null) refuse('logprobs', 'cannot be combined with echo: a prompt has no scores');
  const stream = request.optional('stream', flag) ?? false;
  const usage = request.optional('stream_options', includeUsage) ?? false;
  return {
    dialect: 'openai',
    endpoint: 'completion',
    model,
    prompt,
    stream,
    includeUsage: stream && usage,
    sampling: samplingOf(request),
    maxTokens: maxTokensOf(request, defaultTokens),
    stop: request.optional('stop', parts.stops(4)) ?? [],
    format: formatOf(request),
    keepAliveMs: null,
    contextTokens: null,
    ...(echo && { echo }),
    ...(topLogprobs !== null && { topLogprobs }),
  };
}

/** A text, or tokens, which are taken as they are; several prompts would need several answers. */
const promptOf: Check<Prompt> = (value, path) => {
  if (!Array.isArray(value)) return { kind: 'raw', text: words(value, path) };
  const [first] = value as unknown[];
  if (typeof first === 'number') return { kind: 'tokens', tokens: parts.tokens(value, path) };
  const [only, ...more] = list((it) => it, parts.messagesMax)(value, path);
  if (more.length > 0) refuse(path, 'must be one prompt: send a request for each');
  if (only === undefined) refuse(path, 'is empty');
  return promptOf(only, `${path}[0]`);
};

const words: Check<string> = (value, path) => {
  if (typeof value !== 'string') return refuse(path, 'must be a string, or an array of one string or of tokens');
  const read = text(value, path);
  return read === '' ? refuse(path, 'is empty') : read;
};

function refuseUnsupported(request: Fields): void {
  if ((request.optional('n', integer(1, 128)) ?? 1) > 1) refuse('n', 'must be 1: one answer per request');
  if ((request.optional('best_of', integer(0, 20)) ?? 1) > 1) refuse('best_of', 'must be 1: one answer per request');
  if ((request.optional('suffix', text) ?? '') !== '') refuse('suffix', 'is not supported yet: no model here fills in');
}
