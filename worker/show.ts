// `POST /api/show` of a gateway: what the file of a model says. It takes no slot, for nothing runs.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Problem } from '@berth/shared/announcement.ts';
import type { Call } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { parseOllamaShow } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { cardOf } from './cards.ts';
import type { EngineOptions } from './engine/engine.ts';
import { readBody } from './serve.ts';
import type { Catalog } from './models/catalog.ts';
import type { Residency } from './models/residency.ts';
import { GatewayGone, createOutbox } from './outbox.ts';
import { reasonOf } from './reason.ts';
import { showBody } from './replies/show.ts';

export interface ShowKit {
  catalog: Catalog;
  residency: Residency;
  /** What engines are opened with. */
  engine: Pick<EngineOptions, 'contextTokens'>;
  /** All that a model's file says, as JSON. */
  wholeFacts: (path: string) => Promise<string>;
  /** Why models cannot be served, or not as they were meant to be. */
  problems: () => readonly Problem[];
  clock: Clock;
}

/** Never rejects. */
export async function serveShow(
  { catalog, residency, engine, wholeFacts, problems, clock }: ShowKit,
  { model: name }: Call,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const outbox = createOutbox({ response, dialect: ollama, clock, lastReply: () => false });
  try {
    const { model: asked, verbose } = parseOllamaShow(parseJson(await readBody(request)));
    const model = await catalog.find(name);
    if (model === null) throw modelNotFound(asked);
    const resident = residency.residents().find((each) => each.name === name);
    const card = cardOf(model, resident, { contextTokens: engine.contextTokens, failed: residency.failed });
    const found = problems().filter((each) => each.model === name || each.model === '');
    const reasons = [card.failed?.reason ?? [], ...found.map(({ reason }) => reason)].flat();
    const body = showBody(card, model, verbose ? await wholeFacts(model.path) : null, reasons);
    const length = Buffer.byteLength(body);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': length }).end(body);
  } catch (error) {
    if (error instanceof GatewayGone) return;
    outbox.refuse(error instanceof Refusal ? error : new Refusal('worker_failed', reasonOf(error)), '');
  }
}
