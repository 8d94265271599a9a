// A request in Ollama's dialect for a server that speaks only OpenAI's: said in its words where they mean the same, and
// refused by the field's name where they do not.
import { fieldsOf, refuse } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import type { ChatMessage, Generation, Medium, Prompt, Think } from '@berth/shared/request.ts';
import { ollamaReply } from '../replies/ollama.ts';
import { wholeHeaders } from '../replies/reply.ts';
import type { Gathered, Reading } from '../replies/reply.ts';
import type { Segment } from '../replies/stage.ts';
import { syntaxOf } from '../replies/tools/families.ts';
import { object, text } from './listed.ts';
import { apart, responseFormat } from './passage.ts';
import type { Asked, Passage } from './passage.ts';
import type { Kind } from './survey.ts';
import { tallyOpenai } from './tally.ts';

/** @throws Refusal `bad_request` that names the field which has no equal */
export function translatedPassage(asked: Asked): Passage {
  const { id, generation, kind, model } = asked;
  const { prompt } = generation;
  if (prompt === null) throw new Error('a load is no passage');
  refuseUntranslatable(asked, prompt);
  const reading = readDeltas(generation);
  const context = { id, createdMs: 0, thoughts: null, syntax: syntaxOf(null) };
  const reply = ollamaReply(generation, context, reading);
  const common = {
    model: model.id,
    stream: true,
    stream_options: { include_usage: true },
    ...samplingOf(generation, kind),
    ...(generation.maxTokens !== null && { max_tokens: generation.maxTokens }),
    ...(generation.stop.length > 0 && { stop: generation.stop }),
    ...formatOf(generation),
    ...apart(asked),
  };
  const chat = prompt.kind === 'chat' ? { messages: prompt.messages.map(messageOf), ...chatOf(prompt, kind) } : {};
  const raw = prompt.kind === 'raw' ? { prompt: prompt.text } : {};
  return {
    path: prompt.kind === 'raw' ? '/v1/completions' : '/v1/chat/completions',
    bodies: [{ ...common, ...chat, ...raw }],
    form: 'sse',
    headers: generation.stream ? ollama.streamHeaders : wholeHeaders,
    tally: tallyOpenai,
    read(frame, nowMs) {
      reading.take(frame);
      return reply.piece({ kind: 'text', text: '', tokens: 0 }, nowMs);
    },
    end(settlement, ending) {
      reading.finish();
      const last = reply.piece({ kind: 'text', text: '', tokens: 0 }, ending.nowMs);
      return last + (generation.stream ? reply.end(settlement, ending) : reply.whole(settlement, ending));
    },
  };
}

function refuseUntranslatable({ generation, kind, body }: Asked, prompt: Prompt): void {
  const where = `: the server that has this model (${kind}) has no word for it`;
  if (prompt.kind === 'infill') refuse('suffix', `is not supported${where}`);
  if (prompt.kind === 'chat' && prompt.history !== undefined) refuse('context', `is not supported${where}`);
  if (generation.topLogprobs !== undefined) refuse('logprobs', `is not supported${where}`);
  if (kind !== 'openai') return;
  // What is not OpenAI's own, vLLM and llama-server know, and others may leave out without a word.
  const options = fieldsOf(object(body['options']), 'options');
  for (const name of ['top_k', 'min_p', 'repeat_penalty', 'repeat_last_n']) {
    options.optional(name, (_value, path) => refuse(path, `is not supported${where}`));
  }
}

function samplingOf({ sampling }: Generation, kind: Kind): JsonObject {
  const { temperature, topP, seed, presencePenalty, frequencyPenalty, topK, minP, repeatPenalty, repeatLastN } =
    sampling;
  const said = {
    temperature,
    top_p: topP,
    seed,
    presence_penalty: presencePenalty,
    frequency_penalty: frequencyPenalty,
    top_k: topK,
    min_p: minP,
    [kind === 'vllm' ? 'repetition_penalty' : 'repeat_penalty']: repeatPenalty,
    ...(kind === 'llama-server' && { repeat_last_n: repeatLastN }),
  };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== null));
}

function formatOf({ format }: Generation): JsonObject {
  if (format.kind === 'json') return { response_format: { type: 'json_object' } };
  if (format.kind !== 'schema') return {};
  return { response_format: responseFormat(format.schema) };
}

function chatOf({ tools, think }: Extract<Prompt, { kind: 'chat' }>, kind: Kind): JsonObject {
  const told = tools.map(({ name, description, parameters, strict }) => ({
    type: 'function',
    function: { name, description, parameters, ...(strict && { strict }) },
  }));
  return { ...(told.length > 0 && { tools: told }), ...(think !== undefined && thinkOf(think, kind)) };
}

/** Whether to think is a switch in most templates; how much is OpenAI's word. Not to think is left to our reader, too. */
function thinkOf(think: Think, kind: Kind): JsonObject {
  if (typeof think === 'boolean') return kind === 'openai' ? {} : { chat_template_kwargs: { enable_thinking: think } };
  return { reasoning_effort: think === 'max' ? 'high' : think };
}

function messageOf(
  { role, content, media = [], thinking, toolCalls = [], toolCallId }: ChatMessage,
  at: number,
): JsonObject {
  const images = media.map((medium) => ({ type: 'image_url', image_url: { url: dataUrl(medium) } }));
  const calls = toolCalls.map(({ id, name, arguments: args }, index) => ({
    id: id || callId(at, index),
    type: 'function',
    function: { name, arguments: JSON.stringify(args) },
  }));
  return {
    role,
    content: images.length > 0 ? [{ type: 'text', text: content }, ...images] : content,
    ...(thinking !== undefined && { reasoning_content: thinking }),
    ...(calls.length > 0 && { tool_calls: calls }),
    ...(role === 'tool' && { tool_call_id: toolCallId ?? callId(at - 1, 0) }),
  };
}

/** Ollama's clients may name none, and OpenAI's servers want one. */
function callId(message: number, index: number): string {
  return `call_${message}_${index}`;
}

/** By the first bytes, as base64 has them. */
const types: readonly [start: string, type: string][] = [
  ['iVBOR', 'image/png'],
  ['R0lGOD', 'image/gif'],
  ['UklGR', 'image/webp'],
];

function dataUrl({ base64 = '' }: Medium): string {
  const type = types.find(([start]) => base64.startsWith(start))?.[1] ?? 'image/jpeg';
  return base64.startsWith('data:') ? base64 : `data:${type};base64,${base64}`;
}

interface DeltaReading extends Reading {
  /** A chunk of the server: what it completes is read with the next event. */
  take(frame: JsonObject): void;
  /** There are no more chunks. */
  finish(): void;
}

/** Deltas are told apart already; a call is whole when the next one begins, or at the end. */
function readDeltas({ prompt, stream }: Generation): DeltaReading {
  const gathered: Gathered = { text: '', thinking: '', calls: [], callCount: 0 };
  const mayThink = prompt?.kind !== 'chat' || prompt.think !== false;
  let ready: Segment[] = [];
  let call: { index: number; name: string; written: string } | null = null;

  const put = (segment: Segment): void => {
    ready.push(segment);
    if (segment.kind === 'call') {
      gathered.callCount += 1;
      gathered.calls.push(segment);
    } else if (!stream && (segment.kind === 'text' || segment.kind === 'thinking')) {
      gathered[segment.kind] += segment.text;
    }
  };
  const closeCall = (): void => {
    if (call === null) return;
    const { name, written } = call;
    call = null;
    put({ kind: 'call', name, arguments: argumentsOf(written), written, begun: false });
  };
  return {
    gathered,
    take(frame) {
      const [choice] = Array.isArray(frame['choices']) ? frame['choices'].map(object) : [];
      const delta = object(choice?.['delta']);
      const thought = text(delta['reasoning_content']) || text(delta['reasoning']);
      const said = text(delta['content']) || text(choice?.['text']);
      if (thought !== '' && mayThink) put({ kind: 'thinking', text: thought });
      if (said !== '') put({ kind: 'text', text: said });
      for (const piece of Array.isArray(delta['tool_calls']) ? delta['tool_calls'].map(object) : []) {
        const called = object(piece['function']);
        const index = Number(piece['index'] ?? 0);
        if (call?.index !== index) closeCall();
        call ??= { index, name: '', written: '' };
        call.name ||= text(called['name']);
        call.written += text(called['arguments']);
      }
    },
    finish: closeCall,
    read() {
      const segments = ready;
      ready = [];
      return segments;
    },
  };
}

/** What is no JSON object cannot be told as one; Ollama's clients expect one. */
function argumentsOf(written: string): JsonObject {
  try {
    return object(JSON.parse(written));
  } catch {
    return {};
  }
}
