// OpenAI's older endpoint, text in and text on: what a request must look like.
import type { Generation, Prompt } from '../request.ts';
import { type Check, type Fields, fieldsOf, flag, integer, list, refuse, text } from './check.ts';
import { answersEachOf, formatOf, includeUsage, maxTokensOf, samplingOf } from './openai.ts';
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
  const [prompt, ...morePrompts] = promptsIn(request);
  const answers = answersOf(request, morePrompts.length + 1);
  const echo = request.optional('echo', flag) ?? false;
  if (echo && [prompt, ...morePrompts].some(({ kind }) => kind === 'tokens'))
    refuse('echo', 'needs a prompt of text, not of tokens');
  const topLogprobs = request.optional('logprobs', integer(0, 5));
  if (echo && topLogprobs !== null) refuse('logprobs', 'cannot be combined with echo: a prompt has no scores');
  const stream = request.optional('stream', flag) ?? false;
  const usage = request.optional('stream_options', includeUsage) ?? false;
  return {
    dialect: 'openai',
    endpoint: 'completion',
    model,
    prompt,
    ...(morePrompts.length > 0 && { morePrompts }),
    ...answers,
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

/** With a suffix, what stands between it and each prompt is asked for. */
function promptsIn(request: Fields): [Prompt, ...Prompt[]] {
  const [first, ...more] = request.required('prompt', promptsOf);
  const after = request.optional('suffix', text) ?? '';
  const filled = (prompt: Prompt): Prompt => {
    if (after === '') return prompt;
    if (prompt.kind !== 'raw') return refuse('suffix', 'needs a prompt of text, not of tokens');
    return { kind: 'infill', before: prompt.text, after };
  };
  return [filled(first), ...more.map(filled)];
}

/** A text, tokens (taken as they are), or several of either. */
const promptsOf: Check<[Prompt, ...Prompt[]]> = (value, path) => {
  if (!Array.isArray(value) || typeof value[0] === 'number') return [promptOf(value, path)];
  const [first, ...more] = list(promptOf, parts.answersMax)(value, path);
  return first === undefined ? refuse(path, 'is empty') : [first, ...more];
};

const promptOf: Check<Prompt> = (value, path) => {
  if (!Array.isArray(value)) return { kind: 'raw', text: words(value, path) };
  return value.length === 0 ? refuse(path, 'is empty') : { kind: 'tokens', tokens: parts.tokens(value, path) };
};

const words: Check<string> = (value, path) => {
  if (typeof value !== 'string') return refuse(path, 'must be a string, tokens, or an array of these');
  const read = text(value, path);
  return read === '' ? refuse(path, 'is empty') : read;
};

/** The best of so many is all of them: choosing among answers needs the scores of each, which nobody else reads. */
function answersOf(request: Fields, prompts: number): { answersEach?: number } {
  const each = answersEachOf(request);
  const { answersEach: n = 1 } = each;
  const best = request.optional('best_of', integer(0, 20)) ?? 0;
  if (best > 1 && best !== n) refuse('best_of', 'must be the same as n: answers are not ranked here');
  if (n * prompts > parts.answersMax) refuse('n', `asks for ${n * prompts} answers: at most ${parts.answersMax}`);
  return each;
}
