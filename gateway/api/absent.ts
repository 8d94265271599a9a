// What is asked of a path that is not here: in which dialect, and with which sentence.
import { anthropic } from '@berth/shared/dialects/anthropic.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { Refusal } from '@berth/shared/outcome.ts';

/** How the one who asks for a path speaks; OpenAI's form is what most clients of unknown paths understand. */
export function dialectOf(path: string): Dialect {
  // The second is an Ollama client that was given OpenAI's address.
  if (/^(\/v1)?\/api\//.test(path)) return ollama;
  return /^(\/v1)?\/messages(\/|$)/.test(path) ? anthropic : openai;
}

/** APIs that clients look for, and what to use in their place. */
const absent: readonly [path: RegExp, sentence: string][] = [
  [/^\/v1\/api\//, 'for an Ollama client, leave /v1 out of the address'],
  [/^\/api\/v1\//, 'for an OpenAI client, leave /api out of the address'],
  [/^\/v1\/v1\//, 'the address has /v1 twice'],
  [/\/\//, 'the address has a slash too many'],
  [/.\/$/, 'leave out the slash at its end'],
  [/^(\/v1)?\/responses(\/|$)/, 'the Responses API is not served yet: use /v1/chat/completions'],
  [/^(\/v1)?\/messages(\/|$)/, "Anthropic's Messages API is not served yet: use /v1/chat/completions"],
  [/^(\/v1)?\/(rerank|reranking|score)$/, 'no model here can rerank yet'],
  [/^(\/v1)?\/audio\//, 'no model here can hear or speak'],
  [/^(\/v1)?\/images\//, 'no model here can draw'],
  [/^(\/v1)?\/moderations$/, 'no model here moderates'],
  [/^(\/v1)?\/(files|batches|fine_tuning|vector_stores|assistants|threads)(\/|$)/, 'nothing is stored here'],
];

export function notFound(method: string, path: string): Refusal {
  const sentence = absent.find(([pattern]) => pattern.test(path))?.[1];
  const nothing = `there is nothing at ${method} ${path}`;
  return new Refusal('route_not_found', sentence === undefined ? nothing : `${nothing}: ${sentence}`);
}
