// Whether a prompt fits into a context, before anybody counts its tokens. Pure.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Prompt } from '@berth/shared/request.ts';

/** Code has about three characters a token and other scripts than Latin fewer: on this side nothing is lost. */
const charsPerTokenLikely = 2;

/** Contexts of one model over the pool, tokens of one slot. */
export interface Contexts {
  least: number;
  most: number;
}

/** @returns true when a worker with this context would likely refuse the prompt: another one is asked, if there is one */
export function isTooLong(chars: number, contextTokens: number): boolean {
  return chars / charsPerTokenLikely > contextTokens;
}

/**
 * Refuses what no worker can take, before it waits for one.
 * 1. A body with fewer bytes than the context has tokens fits: each token is a byte at least.
 * 2. Tokens do not reach over white space, so words are the fewest tokens that a text can have.
 * 3. A chat that forgets is shortened by the worker.
 * @throws Refusal `context_exceeded`
 */
export function checkContext(prompt: Prompt | null, bodyBytes: number, { most }: Contexts): void {
  if (prompt === null || bodyBytes <= most) return; // 1
  if (prompt.kind === 'chat' && prompt.forgets) return; // 3
  const tokens = leastTokens(prompt);
  if (tokens < most) return;
  const [at, count] = [prompt.kind === 'chat' ? 'messages' : 'prompt', `at least ${tokens} tokens`];
  throw new Refusal('context_exceeded', `${at} has ${count}, the largest context of this model here is ${most}`, {
    param: at,
  });
}

function leastTokens(prompt: Prompt): number {
  if (prompt.kind === 'tokens') return prompt.tokens.length;
  if (prompt.kind === 'chat') return prompt.messages.reduce((sum, { content }) => sum + wordsOf(content), 0); // 2
  return prompt.kind === 'raw' ? wordsOf(prompt.text) : wordsOf(prompt.before) + wordsOf(prompt.after);
}

function wordsOf(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}
