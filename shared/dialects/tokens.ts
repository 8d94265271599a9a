// What a request to `/tokenize` and `/detokenize`, llama-server's own, must look like.
import type { Generation, Tokenizing } from '../request.ts';
import { type Fields, fieldsOf, flag, text } from './check.ts';
import * as parts from './parts.ts';

/**
 * The body of `POST /tokenize`.
 * @throws Refusal `bad_request` naming the field
 */
export function parseTokenize(body: unknown): Generation {
  const request = fieldsOf(body, '');
  const pieces = request.optional('with_pieces', flag) === true;
  return generationOf(request, {
    kind: 'tokenize',
    text: request.required('content', text),
    first: request.optional('add_special', flag) ?? false,
    control: request.optional('parse_special', flag) ?? true,
    ...(pieces && { pieces }),
  });
}

/**
 * The body of `POST /detokenize`.
 * @throws Refusal `bad_request` naming the field
 */
export function parseDetokenize(body: unknown): Generation {
  const request = fieldsOf(body, '');
  return generationOf(request, { kind: 'detokenize', tokens: request.required('tokens', parts.tokens) });
}

/** llama-server has one model, so its clients name none: the gateway takes the only one then. */
function generationOf(request: Fields, tokenizing: Tokenizing): Generation {
  return {
    ...parts.noText,
    dialect: 'openai',
    endpoint: tokenizing.kind,
    model: request.optional('model', parts.modelName) ?? '',
    tokenizing,
  };
}
