// A request in the dialect that the joined server speaks: what is sent, and how the server's frames reach the client.
import { answersOf } from '@berth/shared/request.ts';
import type { Generation } from '@berth/shared/request.ts';
import { refuse } from '@berth/shared/dialects/check.ts';
import { lineJson } from '@berth/shared/dialects/json.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { wholeHeaders } from '../replies/reply.ts';
import type { Ending } from '../replies/reply.ts';
import { object, text } from './listed.ts';
import { merged } from './merged.ts';
import type { JoinedModel, Kind } from './survey.ts';
import { tallyOllama, tallyOpenai } from './tally.ts';
import type { Tally } from './tally.ts';

/** What a passage is made of. */
export interface Asked {
  /** Letters and digits, unique to the request. */
  id: string;
  path: string;
  /** As the client wrote it. */
  body: JsonObject;
  /** As it was understood, with the key's bound. */
  generation: Generation;
  model: JoinedModel;
  kind: Kind;
}

/**
 * The way of one answer. Always a stream on the server's side: its progress is seen, and it notices when it is left.
 */
export interface Passage {
  path: string;
  body: JsonObject;
  form: 'sse' | 'lines';
  headers: Readonly<Record<string, string>>;
  tally: Tally;
  /** Text for the client; '' when there is none, or the reply is sent whole. */
  read(frame: JsonObject, nowMs: number): string;
  /** The last text of a stream, or all of a reply that is sent whole. */
  end(settlement: Settlement, ending: Ending): string;
}

/** @throws Refusal `bad_request` for what this server would leave out without a word */
export function openaiPassage({ path, body, generation, model, kind }: Asked): Passage {
  if (kind === 'ollama' && answersOf(generation) > 1)
    refuse('n', 'must be 1: an Ollama has this model, which gives one answer');
  const { stream, includeUsage, model: name } = generation;
  const tally = tallyOpenai();
  const frames: JsonObject[] = [];
  const sent = {
    ...body,
    ...bound(body, generation),
    model: model.id,
    stream: true,
    stream_options: { ...object(body['stream_options']), include_usage: true },
  };
  return {
    path,
    body: sent,
    form: 'sse',
    headers: stream ? openai.streamHeaders : wholeHeaders,
    tally,
    read(frame) {
      tally.read(frame);
      const named = { ...frame, model: name };
      if (!stream) frames.push(named);
      if (!stream || (!includeUsage && isUsageOnly(frame))) return '';
      return `data: ${lineJson(includeUsage ? named : withoutUsage(named))}\n\n`;
    },
    end: () => (stream ? 'data: [DONE]\n\n' : lineJson(merged(frames))),
  };
}

/** Under the field that the client used; -1 is how some say "no bound", and others refuse it. */
function bound(body: JsonObject, { maxTokens }: Generation): JsonObject {
  const [used, other] =
    body['max_completion_tokens'] === undefined || body['max_completion_tokens'] === null
      ? (['max_tokens', 'max_completion_tokens'] as const)
      : (['max_completion_tokens', 'max_tokens'] as const);
  return { [used]: maxTokens ?? undefined, [other]: undefined };
}

function isUsageOnly({ choices, usage }: JsonObject): boolean {
  return usage !== undefined && usage !== null && Array.isArray(choices) && choices.length === 0;
}

function withoutUsage({ usage: _usage, ...frame }: JsonObject): JsonObject {
  return frame;
}

/** How a server runs a model is not a client's to say: each of these would load it anew, under everybody's feet. */
const runnerOptions = [
  'num_ctx',
  'num_batch',
  'num_gpu',
  'main_gpu',
  'use_mmap',
  'use_mlock',
  'num_thread',
  'numa',
  'low_vram',
];

export function ollamaPassage({ path, body, generation, model }: Asked): Passage {
  const { stream, model: name, maxTokens } = generation;
  const tally = tallyOllama();
  const lines: JsonObject[] = [];
  const options = Object.entries(object(body['options'])).filter(([option]) => !runnerOptions.includes(option));
  const most = maxTokens === null ? {} : { num_predict: maxTokens };
  return {
    path,
    body: { ...body, model: model.id, stream: true, options: { ...Object.fromEntries(options), ...most } },
    form: 'lines',
    headers: stream ? ollama.streamHeaders : wholeHeaders,
    tally,
    read(line) {
      tally.read(line);
      const named = { ...line, model: name };
      if (stream) return `${lineJson(named)}\n`;
      lines.push(named);
      return '';
    },
    end: () => (stream ? '' : lineJson(wholeOllama(lines))),
  };
}

/** As Ollama itself puts a whole reply together: all texts in the last object. */
function wholeOllama(lines: readonly JsonObject[]): JsonObject {
  const all = (read: (line: JsonObject) => unknown): string => lines.map((line) => text(read(line))).join('');
  const each = (read: (line: JsonObject) => unknown): unknown[] =>
    lines.flatMap((line) => (Array.isArray(read(line)) ? (read(line) as unknown[]) : []));
  const last = lines.at(-1) ?? {};
  const scores = each((line) => line['logprobs']);
  const scored = scores.length > 0 ? { logprobs: scores } : {};
  const thinking = all((line) => line['thinking']);
  if (last['message'] === undefined) {
    const response = all((line) => line['response']);
    return { ...last, response, ...(thinking !== '' && { thinking }), ...scored };
  }
  const thought = all((line) => object(line['message'])['thinking']);
  const calls = each((line) => object(line['message'])['tool_calls']);
  const message = {
    role: 'assistant',
    content: all((line) => object(line['message'])['content']),
    ...(thought !== '' && { thinking: thought }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
  return { ...last, message, ...scored };
}
