// Texts and tokens of a loaded model, without running it.
import type { Tokenizing } from '@berth/shared/request.ts';
import type { Tokenized } from '../engine.ts';
import type { Binding } from './binding.ts';
import { knownTokens, withFirst } from './template.ts';

/** @throws Refusal `bad_request` for a token that the vocabulary does not have */
export function translate({ prompts, spell, bytesOf }: Binding, task: Tokenizing): Tokenized {
  if (task.kind === 'detokenize') {
    const tokens = knownTokens(prompts, task.tokens, 'tokens');
    return { tokens: task.tokens, text: spell(tokens) };
  }
  const bare = prompts.tokenize(task.text, task.control);
  const tokens = Array.from(task.first ? withFirst(prompts, bare) : bare);
  const pieceOf = (token: number) => pieceOfBytes(bytesOf(token)) ?? spell(Uint32Array.of(token));
  return { tokens, text: task.text, ...(task.pieces && { pieces: tokens.map(pieceOf) }) };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `null` for a token without bytes: a control token. */
function pieceOfBytes(bytes: Uint8Array): string | number[] | null {
  if (bytes.length === 0) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    return Array.from(bytes);
  }
}
