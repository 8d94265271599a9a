// The chunks of a streamed answer in OpenAI's dialect, put together to the reply that was asked for. Pure.
import { isObject } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { object } from './listed.ts';

/** Fields that each chunk repeats, or that come once. */
const constant = new Set(['id', 'object', 'created', 'model', 'role', 'type', 'name', 'index', 'finish_reason']);

/** `chat.completion` or `text_completion`, with the usage of the last chunk. */
export function merged(chunks: readonly JsonObject[]): JsonObject {
  const [first = {}] = chunks;
  const isChat = first['object'] !== 'text_completion';
  const choices = new Map<number, JsonObject>();
  let rest: JsonObject = {};
  for (const { choices: told, ...chunk } of chunks) {
    // Null is what a chunk says that does not know yet.
    rest = { ...rest, ...Object.fromEntries(Object.entries(chunk).filter(([, value]) => value !== null)) };
    for (const choice of Array.isArray(told) ? told.map(object) : []) {
      const index = Number(choice['index'] ?? 0);
      choices.set(index, grown(choices.get(index) ?? { index }, choice));
    }
  }
  const sorted = [...choices].toSorted(([a], [b]) => a - b).map(([, choice]) => choice);
  return { ...rest, ...(isChat && { object: 'chat.completion' }), choices: isChat ? sorted.map(withMessage) : sorted };
}

function withMessage({ delta, ...choice }: JsonObject): JsonObject {
  const { content, tool_calls: calls, ...more } = object(delta);
  const called = Array.isArray(calls) ? calls.map(({ index: _index, ...call }: JsonObject) => call) : [];
  const message = {
    role: 'assistant',
    content: called.length > 0 ? content || null : (content ?? ''),
    ...more,
    ...(called.length > 0 && { tool_calls: called }),
  };
  const { index, logprobs = null, finish_reason: reason = null, ...others } = choice;
  return { index, message, logprobs, finish_reason: reason, ...others };
}

/** Texts grow, lists get longer, calls are found by their index; null leaves what is there. */
function grown(before: JsonObject, more: JsonObject): JsonObject {
  const after = { ...before };
  for (const [key, value] of Object.entries(more)) {
    const known = after[key];
    if (value === null) after[key] ??= null;
    else if (known === undefined || known === null) after[key] = key === 'tool_calls' ? byIndex([], value) : value;
    else if (key === 'tool_calls') after[key] = byIndex(known, value);
    else if (typeof known === 'string' && typeof value === 'string')
      after[key] = constant.has(key) ? value || known : known + value;
    else if (Array.isArray(known) && Array.isArray(value))
      after[key] = [...(known as unknown[]), ...(value as unknown[])];
    else after[key] = isObject(known) && isObject(value) ? grown(known, value) : value;
  }
  return after;
}

function byIndex(known: unknown, more: unknown): JsonObject[] {
  const calls = Array.isArray(known) ? [...(known as JsonObject[])] : [];
  for (const [position, piece] of (Array.isArray(more) ? more : []).map(object).entries()) {
    const index = Number(piece['index'] ?? position);
    const at = calls.findIndex((call) => call['index'] === index);
    if (at === -1) calls.push({ index, ...piece });
    else calls[at] = grown(calls[at] ?? {}, piece);
  }
  return calls;
}
