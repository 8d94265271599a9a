// Ollama's dialect: what a request must look like, and what errors and waiting look like.
import type { Refusal } from '../outcome.ts';
import type { ChatMessage, Generation, Medium, OutputFormat, Prompt, Sampling, Think, Tool } from '../request.ts';
import { type Check, type Fields, fieldsOf, flag, integer, list, name, number, refuse, text } from './check.ts';
import { type Dialect, secondsOf, type WaitContext } from './dialect.ts';
import { lineJson } from './json.ts';
import { keepAlive } from './keep-alive.ts';
import * as parts from './parts.ts';
import { rfc3339 } from './rfc3339.ts';

export const ollama: Dialect = {
  name: 'ollama',
  streamHeaders: {
    'content-type': 'application/x-ndjson',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  },
  errorBody: (refusal) => lineJson({ error: errorText(refusal) }),
  errorFrame: (refusal) => `${lineJson({ error: errorText(refusal) })}\n`,
  // NDJSON has no comments, and a blank line makes ollama-js complain; an empty piece is harmless to all.
  waitFrame: (context) => `${lineJson(emptyPiece(context))}\n`,
};

/** Ollama's own words, with both spaces: its clients and their users search for them. */
const busyText = 'server busy, please try again.  maximum pending requests exceeded';

function errorText(refusal: Refusal): string {
  return refusal.outcome === 'queue_full' ? busyText : refusal.message;
}

function emptyPiece({ model, place, expectedMs, nowMs, endpoint }: WaitContext): Record<string, unknown> {
  return {
    model,
    created_at: rfc3339(nowMs),
    ...(endpoint !== 'generate' && { message: { role: 'assistant', content: '' } }),
    ...(endpoint !== 'chat' && { response: '' }),
    done: false,
    // Of our own: Ollama's clients pass over fields that they do not know.
    ...(place !== null && { queue: { place, seconds: expectedMs === null ? null : secondsOf(expectedMs) } }),
  };
}

/**
 * The body of `POST /api/chat`. Without messages it only loads or unloads the model: `prompt` is null.
 * @throws Refusal `bad_request` naming the field: of a wrong type, out of range, or not to be honoured yet
 */
export function parseOllamaChat(body: unknown): Generation {
  const request = fieldsOf(body, '');
  const common = commonOf(request);
  const messages = request.optional('messages', list(message, parts.messagesMax)) ?? [];
  const tools = request.optional('tools', list(parts.tool, parts.toolsMax)) ?? [];
  const forgets = request.optional('truncate', flag) ?? true;
  const prompt =
    messages.length === 0 ? null : { ...chatPrompt(request, messages, tools), ...(forgets && { forgets }) };
  return { ...common, endpoint: 'chat', prompt };
}

/**
 * The body of `POST /api/generate`. Without a prompt it only loads or unloads the model: `prompt` is null.
 * @throws Refusal `bad_request` as above
 */
export function parseOllamaGenerate(body: unknown): Generation {
  const request = fieldsOf(body, '');
  const common = commonOf(request);
  const words = request.optional('prompt', text) ?? '';
  const system = request.optional('system', text) ?? '';
  const raw = request.optional('raw', flag) ?? false;
  const after = request.optional('suffix', text) ?? '';
  const history = request.optional('context', parts.tokens) ?? [];
  refuseGenerateOnly(request, raw || after !== '');
  if (raw && system !== '') refuse('system', 'cannot be combined with raw');
  if (raw && after !== '') refuse('suffix', 'cannot be combined with raw');
  if (history.length > 0 && (raw || after !== '')) refuse('context', 'cannot be combined with raw or suffix');
  const prompt = generatePrompt(request, words, { system, raw, after, history });
  return { ...common, endpoint: 'generate', prompt, ...(prompt?.kind === 'chat' && { tellsContext: true }) };
}

interface Around {
  system: string;
  raw: boolean;
  /** What shall stand behind the answer. */
  after: string;
  history: number[];
}

function generatePrompt(request: Fields, words: string, { system, raw, after, history }: Around): Prompt | null {
  if (after !== '') return { kind: 'infill', before: words, after };
  if (words === '') return null;
  if (raw) return { kind: 'raw', text: words };
  const media = request.optional('images', images) ?? [];
  const messages: ChatMessage[] = [{ role: 'user', content: words, ...(media.length > 0 && { media }) }];
  if (system !== '') messages.unshift({ role: 'system', content: system });
  return { ...chatPrompt(request, messages, []), ...(history.length > 0 && { history }) };
}

function chatPrompt(request: Fields, messages: ChatMessage[], tools: Tool[]): Extract<Prompt, { kind: 'chat' }> {
  const wanted = request.optional('think', think);
  return { kind: 'chat', messages, tools, ...(wanted !== null && { think: wanted }) };
}

function commonOf(request: Fields): Omit<Generation, 'endpoint' | 'prompt'> {
  const model = request.required('model', parts.modelName);
  const options = request.optional('options', fieldsOf) ?? fieldsOf({}, 'options');
  refuseUnsupported(options);
  const maxTokens = options.optional('num_predict', integer(-2, parts.anyInteger));
  return {
    dialect: 'ollama',
    model,
    stream: request.optional('stream', flag) ?? true,
    includeUsage: false,
    sampling: samplingOf(options),
    // -1 and -2 are Ollama's words for "no bound" and "up to the context", which here are one.
    maxTokens: maxTokens !== null && maxTokens > 0 ? maxTokens : null,
    stop: options.optional('stop', parts.stops(16)) ?? [],
    format: request.optional('format', outputFormat) ?? { kind: 'text' },
    keepAliveMs: request.optional('keep_alive', keepAlive),
    contextTokens: options.optional('num_ctx', integer(1, parts.anyInteger)),
    ...topLogprobsOf(request),
  };
}

/** Without `logprobs` Ollama takes no notice of `top_logprobs`. */
function topLogprobsOf(request: Fields): { topLogprobs?: number } {
  const top = request.optional('top_logprobs', integer(0, parts.topLogprobsMax)) ?? 0;
  return request.optional('logprobs', flag) === true ? { topLogprobs: top } : {};
}

function samplingOf(options: Fields): Sampling {
  const seed = options.optional('seed', integer(-parts.anyInteger, parts.anyInteger));
  return {
    temperature: options.optional('temperature', number(0, 100)),
    topK: options.optional('top_k', parts.topK),
    topP: options.optional('top_p', parts.unit),
    minP: options.optional('min_p', parts.unit),
    repeatPenalty: options.optional('repeat_penalty', parts.repeatPenalty),
    repeatLastN: options.optional('repeat_last_n', integer(-1, 2 ** 31 - 1)),
    presencePenalty: options.optional('presence_penalty', parts.penalty),
    frequencyPenalty: options.optional('frequency_penalty', parts.penalty),
    // -1 is Ollama's default: a seed is drawn.
    seed: seed === -1 ? null : parts.seed32(seed),
  };
}

/** Those of a model's parameters that are honoured. */
export const ollamaParameters =
  'temperature top_k top_p min_p repeat_penalty repeat_last_n presence_penalty frequency_penalty seed stop'.split(' ');

/**
 * The parameters of a model in Ollama's store or in MODELS_FILE, which stand in for what a request leaves out.
 * @throws Refusal `bad_request` with the field's name
 */
export function parseOllamaParameters(value: unknown, path = ''): { sampling: Sampling; stop: string[] } {
  const options = fieldsOf(value, path);
  return { sampling: samplingOf(options), stop: options.optional('stop', parts.stops(16)) ?? [] };
}

// --- What cannot be honoured is refused by name. How a server runs a model (num_gpu, num_thread …) is not a
// --- client's to say on a team's server, and is ignored like every unknown option.

function refuseUnsupported(options: Fields): void {
  // 1 is typical sampling switched off.
  if ((options.optional('typical_p', parts.unit) ?? 1) < 1)
    refuse('options.typical_p', 'is not supported: leave it out');
}

function refuseGenerateOnly(request: Fields, hasNoChat: boolean): void {
  if ((request.optional('template', text) ?? '') !== '') refuse('template', 'cannot be replaced: use raw or /api/chat');
  if (hasNoChat) request.optional('images', noImages);
  // One question forgets nothing: what does not fit is refused.
  request.optional('truncate', flag);
}

const noImages: Check<null> = (value, path) =>
  images(value, path).length === 0 ? null : refuse(path, 'cannot be combined with raw or suffix');

// --- Parts of their own

const outputFormat: Check<OutputFormat> = (value, path) => {
  if (value === '') return { kind: 'text' };
  if (value === 'json') return { kind: 'json' };
  if (typeof value === 'object') return { kind: 'schema', schema: parts.schema(value, path) };
  return refuse(path, 'must be "json" or a JSON schema');
};

const levels: readonly Think[] = ['low', 'medium', 'high', 'max'];

const think: Check<Think> = (value, path) => {
  if (typeof value === 'boolean') return value;
  return (
    levels.find((level) => level === value) ?? refuse(path, 'must be true, false, "low", "medium", "high" or "max"')
  );
};

/** Whether somebody can see them, the model's copies tell. */
const images: Check<Medium[]> = list((value, path) => ({ kind: 'image', at: path, base64: text(value, path) }), 256);

const roles = ['system', 'user', 'assistant', 'tool'] as const;

const message: Check<ChatMessage> = (value, path) => {
  const fields = fieldsOf(value, path);
  const role = fields.required('role', roleOf);
  const media = fields.optional('images', images) ?? [];
  const tool = fields.optional('tool_name', name) ?? fields.optional('name', name);
  const callId = fields.optional('tool_call_id', parts.callId);
  const toolCalls = fields.optional('tool_calls', list(parts.pastCall(parts.schema), parts.toolsMax)) ?? [];
  const thought = fields.optional('thinking', text) ?? '';
  return {
    role,
    content: fields.optional('content', text) ?? '',
    ...(media.length > 0 && { media }),
    ...(thought !== '' && { thinking: thought }),
    ...(toolCalls.length > 0 && { toolCalls }),
    ...(tool !== null && { name: tool }),
    ...(callId !== null && { toolCallId: callId }),
  };
};

/** Ollama takes a role in any case. */
const roleOf: Check<ChatMessage['role']> = (value, path) => {
  const written = text(value, path).toLowerCase();
  return roles.find((role) => role === written) ?? refuse(path, `must be one of ${roles.join(', ')}`);
};

/** The answer to the wish to unload a model that is loaded nowhere: it is as asked. */
export function ollamaUnloaded({ model, endpoint }: Generation, nowMs: number): string {
  const nothing = endpoint === 'chat' ? { message: { role: 'assistant', content: '' } } : { response: '' };
  const head = { model, created_at: rfc3339(nowMs) };
  return `${lineJson({ ...head, ...nothing, done: true, done_reason: 'unload' })}\n`;
}
