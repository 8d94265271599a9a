// Texts and their tokens, as the model's own vocabulary has them: what `/tokenize` and `/detokenize` answer.
import { lineJson } from '@berth/shared/dialects/json.ts';
import type { Tokenizing } from '@berth/shared/request.ts';
import type { Engine } from './engine/engine.ts';

/** llama-server's bodies. @throws Refusal `bad_request` for a token that the vocabulary does not have */
export async function tokenize(engine: Engine, task: Tokenizing): Promise<string> {
  const { tokens, text, pieces } = await engine.tokenize(task);
  if (task.kind === 'detokenize') return lineJson({ content: text });
  return lineJson({ tokens: pieces ? tokens.map((id, index) => ({ id, piece: pieces[index] })) : tokens });
}
