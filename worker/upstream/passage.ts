// A request in the dialect that the joined server speaks: what is sent, and how the server's frames reach the client.
import { hash } from 'node:crypto';
import type { Generation } from '@berth/shared/request.ts';
import { refuse } from '@berth/shared/dialects/check.ts';
import { lineJson } from '@berth/shared/dialects/json.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { usageOf } from '../replies/openai.ts';
import { wholeHeaders } from '../replies/reply.ts';
import type { Ending } from '../replies/reply.ts';
import { object, text } from './listed.ts';
import { merged } from './merged.ts';
import type { JoinedModel, Kind } from './survey.ts';
import { tallyOllama, tallyOpenai } from './tally.ts';
import type { Tally } from './tally.ts';

/** What a passage is made of. */
export interface Asked {
  /** Whose cached prompts may be used. */
  team: string;
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
 * The way of a request's answers. Always a stream on the server's side: its progress is seen, and it notices when it is
 * left.
 */
export interface Passage {
  path: string;
  /** One for each answer, sent one after another: several at once would take several of the server's slots. */
  bodies: readonly JsonObject[];
  form: 'sse' | 'lines';
  headers: Readonly<Record<string, string>>;
  /** A new one for each answer. */
  tally: () => Tally;
  /** Text for the client; '' when there is none, or the reply is sent whole. */
  read(frame: JsonObject, nowMs: number, answer: number): string;
  /** The last text of a stream, or all of a reply that is sent whole. */
  end(settlement: Settlement, ending: Ending): string;
}

/** @throws Refusal `bad_request` for what this server would leave out without a word */
export function openaiPassage(asked: Asked): Passage {
  refuseUnheard(asked);
  const { path, generation } = asked;
  const { stream, includeUsage, model } = generation;
  const bodies = bodiesOf(asked);
  const several = bodies.length > 1;
  const frames: JsonObject[] = [];
  /** What all chunks of a reply have in common, whichever of the server's replies they come from. */
  let head: JsonObject | null = null;
  const named = (frame: JsonObject, index: number): JsonObject => {
    const { id, created } = frame;
    head ??= { id, created, model };
    const choices = Array.isArray(frame['choices']) ? frame['choices'].map(object) : [];
    return { ...frame, ...head, choices: several ? choices.map((choice) => ({ ...choice, index })) : choices };
  };
  const whole = (settlement: Settlement): string =>
    lineJson({ ...merged(frames), ...(several && { usage: usageOf(settlement) }) });
  return {
    path,
    bodies,
    form: 'sse',
    headers: stream ? openai.streamHeaders : wholeHeaders,
    tally: tallyOpenai,
    read(frame, _nowMs, answer) {
      if (!stream) frames.push(named(frame, answer));
      if (!stream || (isUsageOnly(frame) && (several || !includeUsage))) return '';
      const chunk = named(frame, answer);
      return `data: ${lineJson(includeUsage ? chunk : withoutUsage(chunk))}\n\n`;
    },
    end(settlement) {
      if (!stream) return whole(settlement);
      const object = path === '/v1/completions' ? 'text_completion' : 'chat.completion.chunk';
      const usage = { ...head, object, choices: [], usage: usageOf(settlement) };
      return `${several && includeUsage ? `data: ${lineJson(usage)}\n\n` : ''}data: [DONE]\n\n`;
    },
  };
}

/** Grammars are llama-server's own. An Ollama takes no notice of more of OpenAI's fields than it says. */
function refuseUnheard({ generation, kind, body }: Asked): void {
  const where = `is not supported: the server that has this model (${kind}) takes no notice of it`;
  const { format, mustCall, sampling, echo } = generation;
  if (format.kind === 'grammar' && kind !== 'llama-server') {
    refuse(body['grammar'] ? 'grammar' : 'response_format', where);
  }
  if (kind !== 'ollama') return;
  if (mustCall !== undefined) refuse('tool_choice', where);
  if (sampling.logitBias !== undefined) refuse('logit_bias', where);
  if (echo) refuse('echo', where);
}

/** What llama-server's clients write and others write otherwise. */
function reworded({ kind, body, generation }: Asked): JsonObject {
  if (kind === 'llama-server') return {};
  const { format, sampling } = generation;
  const bare = body['json_schema'] !== undefined && format.kind === 'schema';
  const schema = bare && { json_schema: undefined, response_format: responseFormat(format.schema) };
  return { ...schema, ...(kind === 'vllm' && { repetition_penalty: sampling.repeatPenalty ?? undefined }) };
}

export function responseFormat(schema: JsonObject): JsonObject {
  return { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } };
}

/** A seed of one's own for each answer, as our engines have it: each can be had again. */
function bodiesOf(asked: Asked): JsonObject[] {
  const { body, generation, model } = asked;
  const { prompt } = body;
  const prompts = generation.morePrompts === undefined || !Array.isArray(prompt) ? [prompt] : prompt;
  const { seed } = generation.sampling;
  const common = {
    ...body,
    ...bound(body, generation),
    ...apart(asked),
    ...reworded(asked),
    model: model.id,
    n: undefined,
    best_of: undefined,
    stream: true,
    stream_options: { ...object(body['stream_options']), include_usage: true },
  };
  const seeds = Array.from({ length: generation.answersEach ?? 1 }, (_, index) =>
    seed === null ? undefined : (seed + index) % 2 ** 32,
  );
  return prompts.flatMap((each: unknown) => seeds.map((own) => ({ ...common, prompt: each, seed: own })));
}

/** A vLLM shares the cache of a prompt's beginning with equal salts only; no other server knows of teams. */
export function apart({ kind, team }: Asked): JsonObject {
  return kind === 'vllm' ? { cache_salt: hash('sha256', team).slice(0, 32) } : {};
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
  const lines: JsonObject[] = [];
  const options = Object.entries(object(body['options'])).filter(([option]) => !runnerOptions.includes(option));
  const most = maxTokens === null ? {} : { num_predict: maxTokens };
  return {
    path,
    bodies: [{ ...body, model: model.id, stream: true, options: { ...Object.fromEntries(options), ...most } }],
    form: 'lines',
    headers: stream ? ollama.streamHeaders : wholeHeaders,
    tally: tallyOllama,
    read(line) {
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
