// Engine events → OpenAI's `text_completion`, whole and as chunks, which have the same shape.
import { lineJson } from '@berth/shared/dialects/json.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Generation } from '@berth/shared/request.ts';
import { columns, keptLogprobs } from './logprobs.ts';
import { usageOf } from './openai.ts';
import { type Reply, type ReplyContext, finishOf, readEvents, wholeHeaders } from './reply.ts';
import type { Segment } from './split.ts';

/**
 * A reply to `POST /v1/completions`. Streamed: a chunk per piece of text, one with the finish reason, with
 * `include_usage` one with the usage (null in all before), then `[DONE]`.
 */
export function completionReply(generation: Generation, context: ReplyContext): Reply {
  const reading = readEvents(generation, context);
  const { model, includeUsage, stream } = generation;
  const created = Math.floor(context.createdMs / 1000);
  const head = { id: `cmpl-${context.id}`, object: 'text_completion', created, model };
  const logprobs = keptLogprobs(generation);
  let told = 0;
  const scores = () => {
    const taken = columns(logprobs.take(), told);
    told += taken?.tokens.join('').length ?? 0;
    return taken?.tokens.length === 0 ? null : taken;
  };
  const choice = (text: string, finish: string | null) => ({
    index: 0,
    text,
    logprobs: scores(),
    finish_reason: finish,
  });
  const frame = (fields: object) => `data: ${lineJson({ ...head, ...fields })}\n\n`;
  const chunk = (text: string, finish: string | null = null) =>
    frame({ choices: [choice(text, finish)], ...(includeUsage && { usage: null }) });
  const chunks = (segments: Segment[]) => segments.map((segment) => chunk(textOf(segment))).join('');
  const repeated = generation.echo && generation.prompt?.kind === 'raw' ? generation.prompt.text : '';

  return {
    headers: stream ? openai.streamHeaders : wholeHeaders,
    piece(event) {
      logprobs.keep(event);
      const segments = reading.read(event);
      if (!stream) return '';
      return event.kind === 'started' && repeated !== '' ? chunk(repeated) : chunks(segments);
    },
    end(settlement) {
      const usage = includeUsage ? frame({ choices: [], usage: usageOf(settlement) }) : '';
      return `${chunks(reading.rest())}${chunk('', finishOf(settlement))}${usage}data: [DONE]\n\n`;
    },
    whole(settlement) {
      reading.rest();
      const text = `${repeated}${reading.gathered.text}`;
      return lineJson({ ...head, choices: [choice(text, finishOf(settlement))], usage: usageOf(settlement) });
    },
  };
}

/** A raw prompt has neither thinking nor calls told apart. */
function textOf(segment: Segment): string {
  return segment.kind === 'text' ? segment.text : '';
}
