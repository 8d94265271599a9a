// OpenAI's dialect: what a request must look like, and what errors and waiting look like.
import { type Refusal, refusals } from '../outcome.ts';
import type { ChatMessage, Generation, Medium, OutputFormat, Sampling, Think } from '../request.ts';
import {
  type Check,
  type Fields,
  fieldsOf,
  flag,
  integer,
  list,
  name,
  number,
  object,
  oneOf,
  refuse,
  text,
  textUpTo,
} from './check.ts';
import { type Dialect, secondsOf } from './dialect.ts';
import { type JsonObject, lineJson } from './json.ts';
import * as parts from './parts.ts';
import { chosenTools } from './tool-choice.ts';

export const openai: Dialect = {
  name: 'openai',
  streamHeaders: {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  },
  errorBody: (refusal) => lineJson(errorOf(refusal)),
  errorFrame: (refusal) => `data: ${lineJson(errorOf(refusal))}\n\n`,
  // A comment: every client tested skips it.
  waitFrame: ({ place, expectedMs }) => {
    const where = place === null ? '' : `, place ${place}`;
    const howLong = expectedMs === null ? '' : `, about ${secondsOf(expectedMs)} s`;
    return `: waiting${where}${howLong}\n\n`;
  },
};

function errorOf(refusal: Refusal): JsonObject {
  const { type, code } = refusals[refusal.outcome];
  return { error: { message: refusal.message, type, param: refusal.param, code } };
}

/**
 * The body of `POST /v1/chat/completions`.
 * @throws Refusal `bad_request` naming the field: of a wrong type, out of range, or not to be honoured yet
 */
export function parseOpenaiChat(body: unknown): Generation {
  const request = fieldsOf(body, '');
  const model = request.required('model', parts.modelName);
  const messages = messagesOf(request);
  refuseUnsupported(request);
  const { tools, ...chosen } = chosenTools(request);
  const format = formatOf(request);
  if (format.kind === 'grammar' && tools.length > 0) refuse('grammar', 'cannot be combined with tools');
  const stream = request.optional('stream', flag) ?? false;
  const usage = request.optional('stream_options', includeUsage) ?? false;
  const think = thinkOf(request);
  return {
    dialect: 'openai',
    endpoint: 'chat',
    model,
    prompt: { kind: 'chat', messages, tools, ...(think !== null && { think }) },
    stream,
    includeUsage: stream && usage,
    sampling: samplingOf(request),
    maxTokens: maxTokensOf(request),
    stop: request.optional('stop', parts.stops(4)) ?? [],
    format,
    keepAliveMs: null,
    contextTokens: null,
    ...answersEachOf(request),
    ...topLogprobsOf(request),
    ...(request.optional('parallel_tool_calls', flag) === false && { parallelCalls: false }),
    ...chosen,
  };
}

export const includeUsage: Check<boolean> = (value, path) =>
  fieldsOf(value, path).optional('include_usage', flag) ?? false;

export function answersEachOf(request: Fields): { answersEach?: number } {
  const each = request.optional('n', integer(1, parts.answersMax)) ?? 1;
  return each > 1 ? { answersEach: each } : {};
}

/** More than any client sends; each is looked at for every token. */
const biasesMax = 1024;

/** -1 is how llama-server's and LM Studio's clients say "no bound". */
export function maxTokensOf(request: Fields, fallback: number | null = null): number | null {
  const bound: Check<number> = (value, path) => {
    const read = integer(-1, parts.anyInteger)(value, path);
    return read === 0 ? refuse(path, 'must be at least 1') : read;
  };
  const older = request.optional('max_tokens', bound);
  const tokens = request.optional('max_completion_tokens', bound) ?? older ?? fallback;
  return tokens === -1 ? null : tokens;
}

export function samplingOf(request: Fields): Sampling {
  const bias = request.optional('logit_bias', logitBias);
  return {
    ...parts.unsetSampling,
    temperature: request.optional('temperature', number(0, 2)),
    topP: request.optional('top_p', parts.unit),
    presencePenalty: request.optional('presence_penalty', parts.penalty),
    frequencyPenalty: request.optional('frequency_penalty', parts.penalty),
    seed: parts.seed32(request.optional('seed', integer(-parts.anyInteger, parts.anyInteger))),
    ...(bias !== null && bias.length > 0 && { logitBias: bias }),
    // llama-server's extras
    topK: request.optional('top_k', parts.topK),
    minP: request.optional('min_p', parts.unit),
    repeatPenalty: request.optional('repeat_penalty', parts.repeatPenalty),
  };
}

// --- What cannot be honoured is refused by name: an answer that ignores it would look like one that does not.

function refuseUnsupported(request: Fields): void {
  request.optional('modalities', list(oneOf('text'), 1));
  request.optional('functions', noneOf('use tools instead'));
  if (request.optional('grammar_lazy', flag) === true) refuse('grammar_lazy', 'is not supported: use tools instead');
  request.optional('web_search_options', notNow('no model here can search'));
}

function notNow(instead: string): Check<never> {
  return (_value, path) => refuse(path, `is not supported: ${instead}`);
}

function noneOf(instead: string): Check<null> {
  return (value, path) => (Array.isArray(value) && value.length === 0 ? null : notNow(instead)(value, path));
}

/** Whether an id is one of the model's tokens, its engine knows. A bias of 0 changes nothing and is left out. */
const logitBias: Check<[token: number, bias: number][]> = (value, path) => {
  const entries = Object.entries(object(value, path));
  if (entries.length > biasesMax) refuse(path, `has more than ${biasesMax} entries`);
  return entries
    .map(([token, bias]): [number, number] => {
      if (!/^\d{1,9}$/.test(token)) refuse(path, 'must have token ids as keys: whole numbers from 0');
      return [Number(token), number(-100, 100)(bias, `${path}.${token}`)];
    })
    .filter(([, bias]) => bias !== 0);
};

function topLogprobsOf(request: Fields): { topLogprobs?: number } {
  const wanted = request.optional('logprobs', flag) ?? false;
  const top = request.optional('top_logprobs', integer(0, parts.topLogprobsMax)) ?? 0;
  if (!wanted && top > 0) refuse('top_logprobs', 'needs logprobs: true');
  return wanted ? { topLogprobs: top } : {};
}

// --- Output

export function formatOf(request: Fields): OutputFormat {
  const bare = request.optional('json_schema', parts.schema);
  const format = request.optional('response_format', responseFormat);
  const grammar = request.optional('grammar', grammarText) ?? '';
  if (grammar === '') return format ?? (bare === null ? { kind: 'text' } : { kind: 'schema', schema: bare });
  if (bare !== null) refuse('grammar', 'cannot be combined with json_schema');
  if (format !== null && format.kind !== 'text') refuse('grammar', 'cannot be combined with response_format');
  return { kind: 'grammar', grammar };
}

const grammarText = textUpTo(64 * 1024);

const responseFormat: Check<OutputFormat> = (value, path) => {
  const format = fieldsOf(value, path);
  const type = format.required('type', oneOf('text', 'json_object', 'json_schema', 'grammar'));
  if (type === 'text') return { kind: 'text' };
  if (type === 'grammar') return { kind: 'grammar', grammar: format.required('grammar', grammarText) };
  // llama-server's form of json_object carries a schema beside the type.
  const bare = format.optional('schema', parts.schema);
  if (type === 'json_object') return bare === null ? { kind: 'json' } : { kind: 'schema', schema: bare };
  const named = format.required('json_schema', fieldsOf);
  return { kind: 'schema', schema: named.required('schema', parts.schema) };
};

function thinkOf(request: Fields): Think | null {
  const template = request.optional('chat_template_kwargs', fieldsOf);
  const effort = request.optional(
    'reasoning_effort',
    oneOf('none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'),
  );
  const enabled = template?.optional('enable_thinking', flag) ?? null;
  return effort === null ? enabled : thinkOfEffort[effort];
}

const thinkOfEffort = {
  none: false,
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'max',
  max: 'max',
} as const satisfies Record<string, Think>;

// --- Messages

function messagesOf(request: Fields): ChatMessage[] {
  const messages = request.required('messages', list(message, parts.messagesMax));
  if (messages.length === 0) refuse('messages', 'must hold at least one message');
  return nameToolMessages(messages);
}

const message: Check<ChatMessage> = (value, path) => {
  const fields = fieldsOf(value, path);
  const role = fields.required('role', oneOf('system', 'developer', 'user', 'assistant', 'tool'));
  const speaker = fields.optional('name', name);
  const named = speaker === null ? {} : { name: speaker };
  if (role === 'assistant') return { ...assistantMessage(fields), ...named };
  const content = fields.required('content', contentOf);
  if (role !== 'tool') return { role: role === 'developer' ? 'system' : role, ...content, ...named };
  return { role, ...content, toolCallId: fields.required('tool_call_id', parts.callId), ...named };
};

function assistantMessage(fields: Fields): ChatMessage {
  fields.optional('function_call', notNow('use tool_calls instead'));
  const toolCalls = fields.optional('tool_calls', list(parts.pastCall(argumentText), parts.toolsMax)) ?? [];
  const content = fields.optional('content', contentOf);
  const thinking = fields.optional('reasoning_content', text) ?? '';
  if (content === null && toolCalls.length === 0) refuse(fields.pathOf('content'), 'is required without tool_calls');
  return {
    role: 'assistant',
    ...(content ?? { content: '' }),
    ...(thinking !== '' && { thinking }),
    ...(toolCalls.length > 0 && { toolCalls }),
  };
}

/** Templates name the tool that answers; OpenAI's messages name only the call. */
function nameToolMessages(messages: ChatMessage[]): ChatMessage[] {
  const toolOfCall = new Map<string, string>();
  for (const message of messages) {
    for (const call of message.toolCalls ?? []) toolOfCall.set(call.id, call.name);
    const tool = toolOfCall.get(message.toolCallId ?? '');
    if (message.role === 'tool' && message.name === undefined && tool !== undefined) message.name = tool;
  }
  return messages;
}

type Content = Pick<ChatMessage, 'content' | 'media'>;

/** Text, or parts: the texts are joined by line breaks as llama-server and vLLM join them. */
const contentOf: Check<Content> = (value, path) => {
  if (typeof value === 'string') return { content: text(value, path) };
  if (!Array.isArray(value)) return refuse(path, 'must be a string or an array of parts');
  const read = list(contentPart, parts.messagesMax)(value, path);
  const media = read.filter((part) => typeof part !== 'string');
  const content = read.filter((part) => typeof part === 'string').join('\n');
  return { content, ...(media.length > 0 && { media }) };
};

const contentPart: Check<string | Medium> = (value, path) => {
  const part = fieldsOf(value, path);
  const type = part.required('type', text);
  if (type === 'text' || type === 'refusal') return part.required(type, text);
  const kind = { image_url: 'image', input_audio: 'audio' } as const;
  if (type !== 'image_url' && type !== 'input_audio') return refuse(part.pathOf('type'), 'must be "text"');
  if (type === 'image_url') part.required(type, imageUrl);
  else part.required(type, object);
  return { kind: kind[type], at: path };
};

/** Some servers take the bare URL as well. */
const imageUrl: Check<string> = (value, path) =>
  typeof value === 'string' ? dataUrl(value, path) : fieldsOf(value, path).required('url', dataUrl);

/** Anything else would be fetched from inside of the team's network by whoever reads it. */
const dataUrl: Check<string> = (value, path) =>
  /^data:/i.test(text(value, path)) ? text(value, path) : refuse(path, 'must be a data: URL: nothing is fetched here');

/** Looked at before it is read: what is inside of a string is not among the brackets that the body may have. */
const argumentCharsMax = 128 * 1024;

const argumentText: Check<JsonObject> = (value, path) => {
  const written = textUpTo(argumentCharsMax)(value, path);
  return written.trim() === '' ? {} : parts.schema(parsed(written, path), path);
};

function parsed(written: string, path: string): unknown {
  try {
    return JSON.parse(written) as unknown;
  } catch {
    return refuse(path, 'must be the text of a JSON object');
  }
}
