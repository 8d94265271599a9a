// A prompt in its model's context: what does not fit is refused, or forgets its oldest turns where the client wants that.
import { Refusal } from '@berth/shared/outcome.ts';
import type { ChatMessage, Prompt } from '@berth/shared/request.ts';
import type { EngineRequest } from '../engine.ts';

type Chat = Extract<Prompt, { kind: 'chat' }>;
type Read = (prompt: Prompt) => Uint32Array;

/** A conversation that forgets leaves this share of the context to its answer, unless it asks for less. */
const answerShare = 1 / 8;

/**
 * @param read turns a prompt into tokens
 * @throws Refusal `context_exceeded` when no room is left for an answer; `bad_request` for an empty prompt
 */
export function fittingPrompt(
  prompt: Prompt,
  { maxTokens }: Pick<EngineRequest, 'maxTokens'>,
  read: Read,
  contextTokens: number,
): Uint32Array {
  const tokens = read(prompt);
  if (tokens.length === 0) throw new Refusal('bad_request', 'the prompt is empty');
  const answerTokens = Math.min(maxTokens ?? Infinity, Math.floor(contextTokens * answerShare));
  const wanted = contextTokens - answerTokens;
  const remembered = prompt.kind === 'chat' && tokens.length > wanted ? remember(prompt, tokens, read, wanted) : tokens;
  if (remembered.length < contextTokens) return remembered;
  throw new Refusal(
    'context_exceeded',
    `the prompt has ${remembered.length} tokens, the context is ${contextTokens} for prompt and answer together: ` +
      'shorten the messages or choose a model with a larger context',
  );
}

/**
 * What the system says, and as many of the last turns as fit. A turn begins with the user, so that no result of a tool
 * is left without its call; the last one stays, whatever its length.
 */
function remember(chat: Chat, all: Uint32Array, read: Read, wanted: number): Uint32Array {
  const { messages, forgets, history } = chat;
  if (!forgets || history) return all;
  const turns = messages.flatMap(({ role }, index) => (role === 'user' && index > 0 ? [index] : []));
  const perCharacter = all.length / Math.max(1, charactersIn(messages));
  const likely = turns.findIndex((turn) => charactersIn(from(messages, turn)) * perCharacter <= wanted);
  let tokens = all;
  for (const turn of turns.slice(likely)) {
    tokens = read({ ...chat, messages: from(messages, turn) });
    if (tokens.length <= wanted) break;
  }
  return tokens;
}

function from(messages: readonly ChatMessage[], turn: number): ChatMessage[] {
  return messages.filter(({ role }, index) => index >= turn || role === 'system');
}

function charactersIn(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, { content }) => sum + content.length, 0);
}
