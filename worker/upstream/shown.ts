// What `POST /api/show` tells of a joined server's model: an Ollama's own words, else what is known of it.
import type { Call } from '@berth/shared/auth.ts';
import { parseOllamaShow } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { lineJson, parseJson } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { noDefaults } from '../models/defaults.ts';
import { GatewayGone, createOutbox } from '../outbox.ts';
import { reasonOf } from '../reason.ts';
import { showBody } from '../replies/show.ts';
import { readBody } from '../serve.ts';
import type { RelayKit } from './sending.ts';
import type { JoinedModel } from './survey.ts';

/** Never rejects. */
export async function showJoined(
  { client, shelf, clock }: RelayKit,
  { model: name }: Call,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const outbox = createOutbox({ response, dialect: ollama, clock, lastReply: () => false });
  try {
    const { model: asked, verbose } = parseOllamaShow(parseJson(await readBody(request)));
    const model = shelf.find(name);
    if (model === null) throw modelNotFound(asked);
    const isOllama = shelf.seen?.kind === 'ollama';
    const body = isOllama
      ? lineJson(await client.ask('/api/show', { body: { model: model.id, verbose } }))
      : known(model);
    const length = Buffer.byteLength(body);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': length }).end(body);
  } catch (error) {
    if (error instanceof GatewayGone) return;
    outbox.refuse(error instanceof Refusal ? error : new Refusal('worker_failed', reasonOf(error)), '');
  }
}

function known({ id: _id, chatTemplate, ...model }: JoinedModel): string {
  const { architecture, trainedTokens } = model;
  const facts = {
    'general.architecture': architecture,
    [`${architecture}.context_length`]: trainedTokens ?? model.contextTokens,
  };
  const card = { ...model, evictable: false, failed: null };
  return showBody(card, { header: { chatTemplate, facts, parameters: 0 }, defaults: noDefaults }, null);
}
