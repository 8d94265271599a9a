// What a model is, in full: only a worker that has its file knows, so one is asked; it takes no slot for that.
import { signCall } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { canonicalModel, parseOllamaShow } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { refusalHeader } from '@berth/shared/headers.ts';
import { Refusal, decodeRefusal } from '@berth/shared/outcome.ts';
import type { createAgent } from '../forward.ts';
import { readBody } from '../http.ts';
import type { Exchange, Route } from '../http.ts';
import { sees } from '../policy/key.ts';
import type { Rights } from '../policy/key.ts';
import { copiesFor } from './copies.ts';
import type { Shelf } from './copies.ts';

interface Options extends Shelf {
  agent: ReturnType<typeof createAgent>;
  /** Signs the calls. */
  secret: string;
  gateway: string;
  clock: Clock;
}

/** A body that only names a model. */
const nameBytesMax = 64 * 1_024;
/** For one worker's answer. The whole vocabulary is read from the file anew, in the turn of the file's checks. */
const askMs = 5_000;
const askVerboseMs = 30_000;

export function showRoutes(options: Options): Route[] {
  const show = async (exchange: Exchange) => {
    const body = await readBody(exchange, nameBytesMax);
    const { model: asked, verbose } = parseOllamaShow(parseJson(body));
    const copies = copiesFor(asked, exchange.owner.rights, options);
    if (copies.length === 0) throw absent(asked, exchange.owner.rights, options);
    for (const { worker, card } of copies) {
      const answer = await ask(options, worker.url, card.name, body, exchange, verbose ? askVerboseMs : askMs);
      if (answer !== null) return exchange.reply.json(200, answer);
    }
    throw new Refusal('worker_failed', 'no worker that has the model answers: try again');
  };
  return [{ scope: 'models:read', dialect: ollama, method: 'POST', path: '/api/show', handle: show }];
}

/** A file that is there and cannot be used is told of to those who might use the model. */
function absent(asked: string, rights: Rights, { roster }: Options): Refusal {
  const model = canonicalModel(asked);
  const [why] = sees(rights, model) ? roster.problems(model) : [];
  if (why === undefined) return modelNotFound(asked);
  return new Refusal('model_not_found', `model '${asked}' cannot be used: ${why}`, { param: 'model' });
}

/** The worker's answer; `null` when it does not give one. @throws Refusal; ClientGone by the reply's signal */
async function ask(
  { agent, secret, gateway, clock }: Options,
  origin: string,
  model: string,
  body: Buffer,
  { owner, reply }: Exchange,
  ms: number,
): Promise<string | null> {
  const late = new AbortController();
  using _timer = clock.after(ms, () => late.abort());
  const call = { lease: '', epoch: '', model, owner: { team: owner.team, key: owner.key, gateway } };
  const path = '/api/show';
  try {
    const answer = await agent.request({
      origin,
      path,
      method: 'POST',
      headers: { ...signCall(secret, 'POST', path, call, clock.now()), 'content-type': 'application/json' },
      body,
      signal: AbortSignal.any([late.signal, reply.signal]),
    });
    const text = await answer.body.text();
    if (answer.statusCode === 200) return text;
    const header = answer.headers[refusalHeader];
    const refusal = decodeRefusal(Array.isArray(header) ? header[0] : header);
    if (refusal) throw refusal;
    return null;
  } catch (error) {
    reply.signal.throwIfAborted();
    if (error instanceof Refusal) throw error;
    return null;
  }
}
