// The routes that generate: read → serve, with the settling around it.
import { parseOllamaEmbed, parseOllamaEmbeddings, parseOpenaiEmbeddings } from '@berth/shared/dialects/embeddings.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { parseDetokenize, parseTokenize } from '@berth/shared/dialects/tokens.ts';
import type { Exchange, Route } from './http.ts';
import type { Generating } from './parse.ts';

const openaiChat: Generating = { dialect: openai, path: '/v1/chat/completions', read: parseOpenaiChat };
const openaiCompletion: Generating = { dialect: openai, path: '/v1/completions', read: parseOpenaiCompletion };
/** They take a slot like any other request, for a moment: the model may have to be loaded. */
const tokenize: Generating = { dialect: openai, path: '/tokenize', read: parseTokenize };
const detokenize: Generating = { dialect: openai, path: '/detokenize', read: parseDetokenize };
const openaiEmbeddings: Generating = { dialect: openai, path: '/v1/embeddings', read: parseOpenaiEmbeddings };
const ollamaEmbed: Generating = { dialect: ollama, path: '/api/embed', read: parseOllamaEmbed };
const ollamaEmbeddings: Generating = { dialect: ollama, path: '/api/embeddings', read: parseOllamaEmbeddings };
const ollamaChat: Generating = { dialect: ollama, path: '/api/chat', read: parseOllamaChat };
const ollamaGenerate: Generating = { dialect: ollama, path: '/api/generate', read: parseOllamaGenerate };

/** llama-server answers OpenAI's paths without `/v1` too, and some clients rely on it. */
const generating: [path: string, Generating][] = [
  ['/v1/chat/completions', openaiChat],
  ['/chat/completions', openaiChat],
  ['/v1/completions', openaiCompletion],
  ['/completions', openaiCompletion],
  ['/v1/embeddings', openaiEmbeddings],
  ['/embeddings', openaiEmbeddings],
  ['/api/embed', ollamaEmbed],
  ['/api/embeddings', ollamaEmbeddings],
  ['/tokenize', tokenize],
  ['/v1/tokenize', tokenize],
  ['/detokenize', detokenize],
  ['/v1/detokenize', detokenize],
  ['/api/chat', ollamaChat],
  ['/api/generate', ollamaGenerate],
];

export function generatingRoutes(run: (route: Generating, exchange: Exchange) => Promise<void>): Route[] {
  return generating.map(([path, route]) => ({
    method: 'POST',
    path,
    scope: 'infer',
    dialect: route.dialect,
    handle: (exchange) => run(route, exchange),
  }));
}
