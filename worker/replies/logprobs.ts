// Scores of tokens as both families write them, kept until there is text to send them with.
import type { Generation } from '@berth/shared/request.ts';
import type { EngineEvent, TokenScore } from '../engine/engine.ts';

export interface Logprobs {
  /** Keeps an event's scores. */
  keep(event: EngineEvent): void;
  /** What was kept and not taken yet, of every token in order; `null` when none were asked for. */
  take(): object[] | null;
}

/** Tokens of thinking and of tool calls have their scores too: they go with the text that comes next. */
export function keptLogprobs({ topLogprobs }: Generation): Logprobs {
  let kept: TokenScore[] = [];
  return {
    keep(event) {
      if (event.kind === 'text' && event.scores !== undefined) kept.push(...event.scores);
    },
    take() {
      if (topLogprobs === undefined) return null;
      const entries = kept.map(({ top, ...score }) => ({ ...score, top_logprobs: top }));
      kept = [];
      return entries;
    },
  };
}

/** A choice's `logprobs` in OpenAI's replies. */
export function openaiLogprobs(entries: object[] | null): { content: object[]; refusal: null } | null {
  return entries === null ? null : { content: entries, refusal: null };
}
