// Engine events → OpenAI's `chat.completion` and its chunks.
import { lineJson } from '@berth/shared/dialects/json.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { EngineEvent } from '../engine/engine.ts';
import { type Logprobs, keptLogprobs, openaiLogprobs } from './logprobs.ts';
import { type Gathered, type Reply, type ReplyContext, finishOf, readEvents, wholeHeaders } from './reply.ts';
import type { Segment } from './stage.ts';
import type { Call } from './tools/input.ts';

/**
 * A reply to `POST /v1/chat/completions`. Streamed, for each choice in turn: a chunk with the role, one per delta, one
 * with the finish reason; then with `include_usage` one with the usage (null in all before), and `[DONE]`.
 */
export function openaiReply(generation: Generation, context: ReplyContext): Reply {
  const { model, stream, includeUsage } = generation;
  const head = lineJson({ ...headOf(context, model), object: 'chat.completion.chunk' }).slice(0, -1);
  const choices: Choice[] = [];
  return {
    headers: stream ? openai.streamHeaders : wholeHeaders,
    piece(event) {
      if (event.kind === 'started') choices.push(createChoice(generation, context, head, choices.length));
      return choices.at(-1)?.piece(event) ?? '';
    },
    end(settlement) {
      finishOf(settlement);
      const usage = includeUsage ? `data: ${head},"choices":[],"usage":${lineJson(usageOf(settlement))}}\n\n` : '';
      return `${usage}data: [DONE]\n\n`;
    },
    whole(settlement) {
      finishOf(settlement);
      const object = 'chat.completion';
      const told = choices.map((choice) => choice.whole());
      return lineJson({ ...headOf(context, model), object, choices: told, usage: usageOf(settlement) });
    },
  };
}

interface Choice {
  piece(event: EngineEvent): string;
  whole(): object;
}

function createChoice(generation: Generation, context: ReplyContext, head: string, index: number): Choice {
  const reading = readEvents(generation, context, generation.stream);
  const logprobs = keptLogprobs(generation);
  const write = chunkWriter(generation, head, index, logprobs);
  /** Calls of one reply have ids of their own, whichever choice they are in. */
  const id = index === 0 ? context.id : `${context.id}_${index}`;
  let calls = 0;
  let finish: string | null = null;

  const delta = (segment: Segment): string => {
    if (segment.kind === 'text') return write.delta(`{"content":${lineJson(segment.text)}}`);
    if (segment.kind === 'thinking') return write.delta(`{"reasoning_content":${lineJson(segment.text)}}`);
    if (segment.kind === 'begins') return write.delta(callBegins(segment.name, id, calls++));
    if (segment.kind === 'arguments') return write.delta(callGoesOn(segment.text, calls - 1));
    if (segment.begun) return '';
    const begins = write.delta(callBegins(segment.name, id, calls++));
    return begins + write.delta(callGoesOn(segment.written, calls - 1));
  };

  return {
    piece(event) {
      logprobs.keep(event);
      const segments = reading.read(event);
      if (event.kind === 'end') finish = finishReason(event.finish, reading.gathered);
      if (!generation.stream) return '';
      if (event.kind === 'started') return write.delta('{"role":"assistant","content":""}');
      return segments.map(delta).join('') + (finish === null ? '' : write.finish(finish));
    },
    whole: () => ({
      index,
      message: messageOf(reading.gathered, id),
      logprobs: openaiLogprobs(logprobs.take()),
      finish_reason: finish,
    }),
  };
}

/** Most of a chunk is the same in all of them, so it is written once: a delta costs one concatenation. */
function chunkWriter({ includeUsage }: Generation, head: string, index: number, logprobs: Logprobs) {
  const choice = `data: ${head},"choices":[{"index":${index},"delta":`;
  const noUsage = includeUsage ? ',"usage":null' : '';
  const scores = () => lineJson(openaiLogprobs(logprobs.take()));
  const rest = () => {
    const left = logprobs.take();
    return lineJson(openaiLogprobs(left?.length === 0 ? null : left));
  };
  return {
    delta: (delta: string) => `${choice}${delta},"logprobs":${scores()},"finish_reason":null}]${noUsage}}\n\n`,
    finish: (reason: string) => `${choice}{},"logprobs":${rest()},"finish_reason":"${reason}"}]${noUsage}}\n\n`,
  };
}

function headOf({ id, createdMs }: ReplyContext, model: string) {
  return { id: `chatcmpl-${id}`, created: Math.floor(createdMs / 1000), model };
}

/** Id and name come once, then the arguments: what clients' accumulators expect. */
function callBegins(name: string, id: string, index: number): string {
  return lineJson({ tool_calls: [{ index, ...callOf({ name, written: '' }, id, index) }] });
}

function callGoesOn(text: string, index: number): string {
  return lineJson({ tool_calls: [{ index, function: { arguments: text } }] });
}

function callOf({ name, written }: Pick<Call, 'name' | 'written'>, id: string, index: number) {
  return { id: `call_${id}_${index}`, type: 'function', function: { name, arguments: written } };
}

function messageOf({ text, thinking, calls }: Gathered, id: string) {
  return {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    ...(thinking !== '' && { reasoning_content: thinking }),
    ...(calls.length > 0 && { tool_calls: calls.map((call, index) => callOf(call, id, index)) }),
    refusal: null,
  };
}

/** Agents go on only when they read `tool_calls`; a reply cut by the bound says so even after a call. */
function finishReason(finish: 'stop' | 'length', { callCount }: Gathered): string {
  if (finish === 'length') return 'length';
  return callCount > 0 ? 'tool_calls' : 'stop';
}

export function usageOf({ promptTokens, outputTokens, cachedTokens }: Settlement) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: outputTokens,
    total_tokens: promptTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}
