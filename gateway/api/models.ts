// What the pool has: OpenAI's and Ollama's lists of models, made from the roster so that it looks like one server.
import type { Clock } from '@berth/shared/clock.ts';
import {
  canonicalModel,
  modelOfPath,
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
import { sees } from '../policy/key.ts';
import type { Roster } from '../workers/roster.ts';

interface Options {
  roster: Roster;
  clock: Clock;
}

export function modelRoutes({ roster, clock }: Options): Route[] {
  const seen = ({ owner }: Exchange) => roster.cards().filter(({ name }) => sees(owner.rights, name));
  const find = (asked: string, { owner }: Exchange) => {
    const card = roster.model(canonicalModel(asked))[0]?.card;
    if (!card || !sees(owner.rights, card.name)) throw modelNotFound(asked);
    return card;
  };
  const answer = (body: (exchange: Exchange) => unknown) => (exchange: Exchange) =>
    exchange.reply.json(200, JSON.stringify(body(exchange)));
  const list = answer((exchange) => openaiModels(seen(exchange)));
  const tags = answer((exchange) => ollamaTags(seen(exchange)));
  const version = answer(() => ollamaVersion());

  const one = (exchange: Exchange) => {
    const asked = modelOfPath(exchange.rest);
    exchange.reply.json(200, JSON.stringify(openaiModel(find(asked, exchange), asked)));
  };
  const running = ({ reply }: Exchange) =>
    reply.json(200, 'Ollama is running', { 'content-type': 'text/plain; charset=utf-8' });

  const readOpenai = { method: 'GET', scope: 'models:read', dialect: openai } as const;
  const readOllama = { method: 'GET', scope: 'models:read', dialect: ollama } as const;
  const everyone = { method: 'GET', scope: 'public', dialect: ollama } as const;
  return [
    { ...readOpenai, path: '/v1/models', handle: list },
    { ...readOpenai, path: '/models', handle: list },
    { ...readOpenai, path: '/v1/models/*', handle: one },
    { ...readOpenai, path: '/models/*', handle: one },
    { ...readOllama, path: '/api/tags', handle: tags },
    { ...readOllama, path: '/api/tags', method: 'HEAD', handle: tags },
    { ...readOllama, path: '/api/ps', handle: answer((exchange) => ollamaPs(seen(exchange), clock.now())) },
    { ...everyone, path: '/api/version', handle: version },
    { ...everyone, path: '/api/version', method: 'HEAD', handle: version },
    // Clients sniff this sentence to find out what they speak to.
    { ...everyone, path: '/', handle: running },
    { ...everyone, path: '/', method: 'HEAD', handle: running },
  ];
}
