// What the pool has: OpenAI's and Ollama's lists of models, made from the roster so that it looks like one server.
import type { ModelCard } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import {
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
import { copiesFor } from './copies.ts';
import type { Shelf } from './copies.ts';

interface Options extends Shelf {
  clock: Clock;
}

export function modelRoutes({ clock, ...shelf }: Options): Route[] {
  const { roster, aliases } = shelf;
  const seen = ({ owner }: Exchange) => roster.cards().filter(({ name }) => sees(owner.rights, name));
  /** An alias is listed like a model of its own, so that clients can choose it. */
  const listed = (exchange: Exchange): ModelCard[] => {
    const { rights } = exchange.owner;
    const named = aliases
      .names()
      .flatMap((name) => copiesFor(name, rights, shelf).map(({ card }) => ({ ...card, name })));
    return [...seen(exchange), ...named];
  };
  const answer = (body: (exchange: Exchange) => unknown) => (exchange: Exchange) =>
    exchange.reply.json(200, JSON.stringify(body(exchange)));
  const list = answer((exchange) => openaiModels(listed(exchange)));
  const tags = answer((exchange) => ollamaTags(listed(exchange)));
  const version = answer(() => ollamaVersion());

  const one = (exchange: Exchange) => {
    const asked = modelOfPath(exchange.rest);
    const [copy] = copiesFor(asked, exchange.owner.rights, shelf);
    if (!copy) throw modelNotFound(asked);
    exchange.reply.json(200, JSON.stringify(openaiModel(copy.card, asked)));
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
