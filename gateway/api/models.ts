// What the cluster has: OpenAI's and Ollama's lists of models, made from the roster so that it looks like one server.
import type { Clock } from '@berth/shared/clock.ts';
import {
  canonicalModel,
  ollamaPs,
  ollamaTags,
  ollamaVersion,
  openaiModel,
  openaiModels,
} from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import type { Exchange, Route } from '../http.ts';
import type { Roster } from '../workers/roster.ts';

interface Options {
  roster: Roster;
  clock: Clock;
}

export function modelRoutes({ roster, clock }: Options): Route[] {
  const list = ({ reply }: Exchange) => reply.json(200, JSON.stringify(openaiModels(roster.models())));
  const one = ({ reply, rest }: Exchange) => {
    const card = roster.models().find(({ name }) => name === canonicalModel(rest));
    if (!card) throw modelNotFound(rest);
    reply.json(200, JSON.stringify(openaiModel(card)));
  };
  const tags = ({ reply }: Exchange) => reply.json(200, JSON.stringify(ollamaTags(roster.models())));
  const ps = ({ reply }: Exchange) =>
    reply.json(200, JSON.stringify(ollamaPs(roster.models().filter(({ loaded }) => loaded), clock.now())));
  const running = ({ reply }: Exchange) =>
    reply.json(200, 'Ollama is running', { 'content-type': 'text/plain; charset=utf-8' });

  const readOpenai = { method: 'GET', scope: 'models:read', dialect: openai } as const;
  const readOllama = { method: 'GET', scope: 'models:read', dialect: ollama } as const;
  const everyone = { scope: 'public', dialect: ollama } as const;
  return [
    { ...readOpenai, path: '/v1/models', handle: list },
    { ...readOpenai, path: '/models', handle: list },
    { ...readOpenai, path: '/v1/models/*', handle: one },
    { ...readOllama, path: '/api/tags', handle: tags },
    { ...readOllama, method: 'HEAD', path: '/api/tags', handle: tags },
    { ...readOllama, path: '/api/ps', handle: ps },
    { ...everyone, method: 'GET', path: '/api/version', handle: ({ reply }) => reply.json(200, JSON.stringify(ollamaVersion())) },
    // Clients sniff this sentence to find out what they speak to.
    { ...everyone, method: 'GET', path: '/', handle: running },
    { ...everyone, method: 'HEAD', path: '/', handle: running },
  ];
}
