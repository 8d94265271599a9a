// Scores of tokens as both families write them, kept until there is text to send them with.
import type { Generation } from '@berth/shared/request.ts';
import type { EngineEvent, TokenScore } from '../engine/engine.ts';

interface ScoredToken extends Omit<TokenScore, 'top'> {
  top_logprobs: TokenScore['top'];
}

export interface Logprobs {
  /** Keeps an event's scores. */
  keep(event: EngineEvent): void;
  /** What was kept and not taken yet, of every token in order; `null` when none were asked for. */
  take(): ScoredToken[] | null;
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
export function openaiLogprobs(entries: ScoredToken[] | null): { content: ScoredToken[]; refusal: null } | null {
  return entries === null ? null : { content: entries, refusal: null };
}

/** A choice's `logprobs` in `/v1/completions`: columns, with each token's place in the text of the whole choice. */
export function columns(entries: ScoredToken[] | null, startsAt: number) {
  if (entries === null) return null;
  let offset = startsAt;
  const offsets = entries.map(({ token }) => (offset += token.length) - token.length);
  return {
    tokens: entries.map(({ token }) => token),
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: entries.map(({ top_logprobs: top }) =>
      Object.fromEntries(top.map(({ token, logprob }) => [token, logprob])),
    ),
    text_offset: offsets,
  };
}
