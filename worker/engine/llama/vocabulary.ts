// Texts and tokens of a loaded model, without running it.
import type { Tokenizing } from '@berth/shared/request.ts';
import type { Tokenized } from '../engine.ts';
import type { Binding } from './binding.ts';
import { knownTokens, withFirst } from './template.ts';

/** @throws Refusal `bad_request` for a token that the vocabulary does not have */
export function translate({ prompts, spell }: Binding, task: Tokenizing): Tokenized {
  if (task.kind === 'detokenize') {
    const tokens = knownTokens(prompts, task.tokens, 'tokens');
    return { tokens: task.tokens, text: spell(tokens) };
  }
  const bare = prompts.tokenize(task.text, task.control);
  return { tokens: Array.from(task.first ? withFirst(prompts, bare) : bare), text: task.text };
}
