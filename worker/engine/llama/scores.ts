// Log-probabilities of the tokens of one answer: what the model itself gave them, before any sampling setting.
import type { TokenScore } from '../engine.ts';

/** A row of logits, as far as it was asked for. */
export interface RowScores {
  /** Log-probability of the token that was chosen. */
  chosen: number;
  /** The most probable tokens, best first. */
  top: readonly (readonly [token: number, logprob: number])[];
}

/** Scores that wait for their text: a token is told when the text that it is part of is. */
export interface ScoreTrail {
  /** @param textChars characters of text that this token has completed; 0 while one is open */
  push(token: number, scores: RowScores, textChars: number): void;
  /** The scores of the tokens that the next `textChars` characters are made of. */
  take(textChars: number): TokenScore[];
}

export function scoreTrail(bytesOf: (token: number) => Uint8Array): ScoreTrail {
  const waiting: { startsAt: number; score: TokenScore }[] = [];
  let pushedChars = 0;
  let takenChars = 0;
  const entry = (token: number, logprob: number) => {
    const bytes = bytesOf(token);
    return { token: Buffer.from(bytes).toString(), logprob: bounded(logprob), bytes: Array.from(bytes) };
  };
  return {
    push(token, { chosen, top }, textChars) {
      const score = { ...entry(token, chosen), top: top.map(([other, logprob]) => entry(other, logprob)) };
      waiting.push({ startsAt: pushedChars, score });
      pushedChars += textChars;
    },
    take(textChars) {
      takenChars += textChars;
      const whole = waiting.findIndex(({ startsAt }) => startsAt >= takenChars);
      return waiting.splice(0, whole < 0 ? waiting.length : whole).map(({ score }) => score);
    },
  };
}

/** What OpenAI says for "too improbable to tell"; JSON has no infinity. */
const logprobMin = -9999;

function bounded(logprob: number): number {
  return Number.isFinite(logprob) ? Math.max(logprobMin, logprob) : logprobMin;
}

/**
 * From logits to log-probabilities over the whole vocabulary.
 * @param pairs token, logit, token, logit …: the best `topCount` first, then the others that were asked for
 * @param weight the sum of exp(logit − greatest logit) over the vocabulary
 */
export function rowScores(pairs: readonly number[], weight: number, token: number, topCount: number): RowScores {
  const logits = Array.from({ length: pairs.length / 2 }, (_, at) => [pairs[2 * at]!, pairs[2 * at + 1]!] as const);
  const greatest = logits.reduce((most, [, logit]) => Math.max(most, logit), -Infinity);
  const logprobOf = (logit: number): number => Math.min(0, logit - greatest - Math.log(weight));
  const chosen = logits.find(([other]) => other === token)?.[1] ?? -Infinity;
  return {
    chosen: logprobOf(chosen),
    top: logits.slice(0, topCount).map(([other, logit]) => [other, logprobOf(logit)]),
  };
}
