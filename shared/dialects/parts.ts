// Parts of a request that the dialects write alike: model, sampling, stops, schemas, tools.
import type { Generation, Sampling, Tool, ToolCall } from '../request.ts';
import { type Check, fieldsOf, flag, integer, list, name, number, plainJson, refuse, text, textUpTo } from './check.ts';
import type { JsonObject } from './json.ts';

export const messagesMax = 4096;
export const toolsMax = 128;
export const topLogprobsMax = 20;
/** They run one after another in one slot, which is not held for ever. */
export const answersMax = 64;
const stopCharsMax = 256;

export const modelName: Check<string> = name;

/** JSON schemas, tools' parameters and calls' arguments are passed on whole. */
export const schema: Check<JsonObject> = plainJson(64 * 1024, 16);

export const anyInteger = Number.MAX_SAFE_INTEGER;
export const unit = number(0, 1);
export const penalty = number(-2, 2);
/** The penalty divides, so it must not be 0; 1 = off. */
export const repeatPenalty = number(0.01, 100);

export const unsetSampling: Readonly<Sampling> = Object.freeze({
  temperature: null,
  topK: null,
  topP: null,
  minP: null,
  repeatPenalty: null,
  repeatLastN: null,
  presencePenalty: null,
  frequencyPenalty: null,
  seed: null,
});

/** What a request that writes no text has in common with one that does. */
export const noText = {
  prompt: null,
  stream: false,
  includeUsage: false,
  sampling: unsetSampling,
  maxTokens: 1,
  stop: [],
  format: { kind: 'text' },
  keepAliveMs: null,
  contextTokens: null,
} satisfies Partial<Generation>;

/** Clients send 64-bit and negative seeds; equal ones stay equal. */
export function seed32(seed: number | null): number | null {
  return seed === null ? null : ((seed % 2 ** 32) + 2 ** 32) % 2 ** 32;
}

/** One string or several. An empty one stops nothing and is left out. */
export function stops(countMax: number): Check<string[]> {
  const several = list(textUpTo(stopCharsMax), countMax);
  return (value, path) => {
    const read = typeof value === 'string' ? [textUpTo(stopCharsMax)(value, path)] : several(value, path);
    return read.filter((stop) => stop !== '');
  };
}

/** `{type: "function", function: {name, description, parameters}}`, the same in both families. */
export const tool: Check<Tool> = (value, path) => {
  const entry = fieldsOf(value, path);
  const type = entry.optional('type', text);
  if (type !== null && type !== 'function')
    refuse(entry.pathOf('type'), 'must be "function": no other tool exists here');
  const callable = entry.required('function', fieldsOf);
  const strict = callable.optional('strict', flag) === true;
  return {
    name: callable.required('name', name),
    description: callable.optional('description', text) ?? '',
    parameters: callable.optional('parameters', schema) ?? { type: 'object', properties: {} },
    ...(strict && { strict }),
  };
};

/** A call in a conversation's past. Only the form of the arguments differs between the dialects. */
export function pastCall(args: Check<JsonObject>): Check<ToolCall> {
  return (value, path) => {
    const entry = fieldsOf(value, path);
    const called = entry.required('function', fieldsOf);
    return {
      id: entry.optional('id', callId) ?? '',
      name: called.required('name', name),
      arguments: called.optional('arguments', args) ?? {},
    };
  };
}

/** Ids of tokens; whether the vocabulary has them, its engine knows. */
export const tokens: Check<number[]> = list(integer(0, 2 ** 31 - 1), 2 ** 20);

export const callId: Check<string> = textUpTo(256);

/** 0 and less = the whole vocabulary, as in llama.cpp. */
export const topK: Check<number> = (value, path) => Math.max(0, integer(-1, 2 ** 31 - 1)(value, path));
