// The routes that generate or compute: how each is read, and how an engine's answer is written.
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { parseOllamaEmbed, parseOllamaEmbeddings, parseOpenaiEmbeddings } from '@berth/shared/dialects/embeddings.ts';
import { ollama, parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { parseDetokenize, parseTokenize } from '@berth/shared/dialects/tokens.ts';
import type { Generation } from '@berth/shared/request.ts';
import { completionReply } from './replies/completions.ts';
import { ollamaReply } from './replies/ollama.ts';
import { openaiReply } from './replies/openai.ts';
import type { Reply, ReplyContext } from './replies/reply.ts';

/** One route: how its requests are read and its replies written. */
export interface Endpoint {
  dialect: Dialect;
  parse: (body: unknown) => Generation;
  /** `null` = the answer is computed, not generated. */
  reply: ((generation: Generation, context: ReplyContext) => Reply) | null;
}

/** The paths and bodies are the client's own: a gateway forwards the bytes that it has validated. */
export const endpoints: Readonly<Record<string, Endpoint>> = {
  '/v1/chat/completions': { dialect: openai, parse: parseOpenaiChat, reply: openaiReply },
  '/v1/completions': { dialect: openai, parse: parseOpenaiCompletion, reply: completionReply },
  '/v1/embeddings': { dialect: openai, parse: parseOpenaiEmbeddings, reply: null },
  '/tokenize': { dialect: openai, parse: parseTokenize, reply: null },
  '/detokenize': { dialect: openai, parse: parseDetokenize, reply: null },
  '/api/embed': { dialect: ollama, parse: parseOllamaEmbed, reply: null },
  '/api/embeddings': { dialect: ollama, parse: parseOllamaEmbeddings, reply: null },
  '/api/chat': { dialect: ollama, parse: parseOllamaChat, reply: ollamaReply },
  '/api/generate': { dialect: ollama, parse: parseOllamaGenerate, reply: ollamaReply },
};
