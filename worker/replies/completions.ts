// Engine events → OpenAI's `text_completion`, whole and as chunks, which have the same shape.
import { lineJson } from '@berth/shared/dialects/json.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { EngineEvent } from '../engine/engine.ts';
import { columns, keptLogprobs } from './logprobs.ts';
import { usageOf } from './openai.ts';
import { type Reply, type ReplyContext, finishOf, readEvents, wholeHeaders } from './reply.ts';
import type { Segment } from './stage.ts';

/**
 * A reply to `POST /v1/completions`. Streamed, for each choice in turn: a chunk per piece of text, one with the finish
 * reason; then with `include_usage` one with the usage, and `[DONE]`. The chunks before have no usage at all: the
 * published schema has no null there, as it has for chats.
 */
export function completionReply(generation: Generation, context: ReplyContext): Reply {
  const { model, includeUsage, stream } = generation;
  const created = Math.floor(context.createdMs / 1000);
  const head = { id: `cmpl-${context.id}`, object: 'text_completion', created, model };
  const frame = (fields: object) => `data: ${lineJson({ ...head, ...fields })}\n\n`;
  const choices: Choice[] = [];
  return {
    headers: stream ? openai.streamHeaders : wholeHeaders,
    piece(event) {
      if (event.kind === 'started') choices.push(createChoice(generation, context, choices.length));
      const told = choices.at(-1)?.pieces(event) ?? [];
      return stream ? told.map((choice) => frame({ choices: [choice] })).join('') : '';
    },
    end(settlement) {
      finishOf(settlement);
      const usage = includeUsage ? frame({ choices: [], usage: usageOf(settlement) }) : '';
      return `${usage}data: [DONE]\n\n`;
    },
    whole(settlement) {
      finishOf(settlement);
      const told = choices.map((choice) => choice.whole());
      return lineJson({ ...head, choices: told, usage: usageOf(settlement) });
    },
  };
}

interface Choice {
  /** What a stream tells of it after an event. */
  pieces(event: EngineEvent): object[];
  whole(): object;
}

function createChoice(generation: Generation, context: ReplyContext, index: number): Choice {
  const reading = readEvents(generation, context);
  const logprobs = keptLogprobs(generation);
  const repeated = generation.echo ? promptText(generation, index) : '';
  let told = 0;
  let finish: 'stop' | 'length' | null = null;
  const scores = () => {
    const taken = columns(logprobs.take(), told);
    told += taken?.tokens.join('').length ?? 0;
    return taken?.tokens.length === 0 ? null : taken;
  };
  const choice = (text: string, reason: string | null) => ({ index, text, logprobs: scores(), finish_reason: reason });

  return {
    pieces(event) {
      logprobs.keep(event);
      const texts = reading.read(event).map(textOf);
      if (event.kind === 'started' && repeated !== '') texts.unshift(repeated);
      if (event.kind === 'end') ({ finish } = event);
      if (!generation.stream) return [];
      const pieces = texts.map((text) => choice(text, null));
      return event.kind === 'end' ? [...pieces, choice('', event.finish)] : pieces;
    },
    whole: () => choice(`${repeated}${reading.gathered.text}`, finish),
  };
}

/** The prompt that a choice answers: each has its answers one after another. */
function promptText({ prompt, morePrompts = [], answersEach = 1 }: Generation, index: number): string {
  const own = [prompt, ...morePrompts][Math.floor(index / answersEach)];
  if (own?.kind === 'infill') return own.before;
  return own?.kind === 'raw' ? own.text : '';
}

/** A raw prompt has neither thinking nor calls told apart. */
function textOf(segment: Segment): string {
  return segment.kind === 'text' ? segment.text : '';
}
