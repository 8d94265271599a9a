// The routes that generate: read → serve, with the settling around it.
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import type { Exchange, Route } from './http.ts';
import type { Generating } from './parse.ts';

const openaiChat: Generating = { dialect: openai, path: '/v1/chat/completions', read: parseOpenaiChat };
const ollamaChat: Generating = { dialect: ollama, path: '/api/chat', read: parseOllamaChat };
const ollamaGenerate: Generating = { dialect: ollama, path: '/api/generate', read: parseOllamaGenerate };

/** llama-server answers OpenAI's paths without `/v1` too, and some clients rely on it. */
const generating: [path: string, Generating][] = [
  ['/v1/chat/completions', openaiChat],
  ['/chat/completions', openaiChat],
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
