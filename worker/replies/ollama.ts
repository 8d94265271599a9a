// Engine events → Ollama's chat and generate replies, as lines of JSON or one object.
import { lineJson } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { rfc3339 } from '@berth/shared/dialects/rfc3339.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { keptLogprobs } from './logprobs.ts';
import {
  type Ending,
  type Reading,
  type Reply,
  type ReplyContext,
  finishOf,
  readEvents,
  wholeHeaders,
} from './reply.ts';
import type { Segment } from './stage.ts';
import type { Call } from './tools/input.ts';

type Body = Record<string, unknown>;

/**
 * A reply to `POST /api/chat` or `/api/generate`. The last object carries the counts and durations, and of generate the
 * tokens of prompt and answer, which a next request may begin with.
 * @param reading how events become segments, where that is not told by the model
 */
export function ollamaReply(
  generation: Generation,
  context: ReplyContext,
  reading: Reading = readEvents(generation, context),
): Reply {
  const shape = generation.endpoint === 'chat' ? chatShape : generateShape;
  const head = (nowMs: number): Body => ({ model: generation.model, created_at: rfc3339(nowMs) });
  const logprobs = keptLogprobs(generation);
  /** What has been kept since the last line. */
  const scores = (): Body => {
    const kept = logprobs.take() ?? [];
    return kept.length > 0 ? { logprobs: kept } : {};
  };
  let calls = 0;
  let tokens: number[] | undefined;

  const line = (segment: Segment, nowMs: number): string => {
    const parts = segment.kind === 'call' ? { calls: [callOf(segment, context.id, calls++)] } : textPart(segment);
    return `${lineJson({ ...head(nowMs), ...shape(parts), done: false, ...scores() })}\n`;
  };
  const lines = (segments: Segment[], nowMs: number) => segments.map((segment) => line(segment, nowMs)).join('');
  const last = (parts: Parts, settlement: Settlement, ending: Ending): string =>
    lineJson({
      ...head(ending.nowMs),
      ...shape(parts),
      ...endOf(settlement, ending),
      ...(tokens && { context: tokens }),
      ...scores(),
    });

  return {
    headers: generation.stream ? ollama.streamHeaders : wholeHeaders,
    piece(event, nowMs) {
      logprobs.keep(event);
      if (event.kind === 'end') tokens = event.context;
      const segments = reading.read(event);
      return generation.stream ? lines(segments, nowMs) : '';
    },
    end: (settlement, ending) => `${last({}, settlement, ending)}\n`,
    whole(settlement, ending) {
      const { text, thinking, calls } = reading.gathered;
      const all = { text, thinking, calls: calls.map((call, index) => callOf(call, context.id, index)) };
      return last(all, settlement, ending);
    },
  };
}

interface Parts {
  text?: string;
  thinking?: string;
  calls?: Body[];
}

/** Calls come whole here, so there are no pieces of any. */
function textPart(segment: Exclude<Segment, Call>): Parts {
  if (segment.kind === 'begins') return {};
  return segment.kind === 'thinking' ? { thinking: segment.text } : { text: segment.text };
}

function chatShape({ text = '', thinking = '', calls = [] }: Parts): Body {
  const message = {
    role: 'assistant',
    content: text,
    ...(thinking !== '' && { thinking }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
  return { message };
}

/** Generate has no tools, so no calls. */
function generateShape({ text = '', thinking = '' }: Parts): Body {
  return { response: text, ...(thinking !== '' && { thinking }) };
}

/** The arguments are an object here, not text. */
function callOf(call: Call, id: string, index: number): Body {
  return { id: `call_${id}_${index}`, function: { index, name: call.name, arguments: call.arguments } };
}

/** Counts and durations only where something was generated, as Ollama has it. */
function endOf(settlement: Settlement, { totalMs }: Ending): Body {
  const finish = finishOf(settlement);
  if (finish === 'load' || finish === 'unload') return { done: true, done_reason: finish };
  return {
    done: true,
    done_reason: finish,
    total_duration: nanoseconds(totalMs),
    load_duration: nanoseconds(settlement.loadMs),
    prompt_eval_count: settlement.promptTokens,
    prompt_eval_duration: nanoseconds(settlement.prefillMs),
    eval_count: settlement.outputTokens,
    eval_duration: nanoseconds(settlement.decodeMs),
  };
}

/** Whole and never 0, not even for a model that was loaded: Ollama's own tests and rate displays divide by them. */
function nanoseconds(durationMs: number): number {
  return Math.max(1, Math.round(durationMs * 1e6));
}
