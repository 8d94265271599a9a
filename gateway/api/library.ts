// Ollama's routes that change a server's models, over all workers: pull, delete, copy; what is made elsewhere is refused.
import type { ModelCard } from '@berth/shared/announcement.ts';
import {
  canonicalModel,
  ollamaPulled,
  parseOllamaCopy,
  parseOllamaDelete,
  parseOllamaPull,
} from '@berth/shared/dialects/catalog.ts';
import type { PullStatus } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { readBody } from '../http.ts';
import type { Exchange, Route } from '../http.ts';
import { sees } from '../policy/key.ts';
import { askAll, processesOf } from './ask-worker.ts';
import type { AskOptions } from './ask-worker.ts';
import { copiesFor } from './copies.ts';
import type { Shelf } from './copies.ts';
import { pullOn } from './pull.ts';

interface Options extends AskOptions, Shelf {
  log: Log;
  /** Asks the ledger anew what the workers announce. */
  refresh: () => Promise<void>;
}

/** A body that only names a model. */
const nameBytesMax = 64 * 1_024;
/** Until all gateways know what has changed: a beat and a session. */
const knownMsMax = 5_000;
const lookEveryMs = 100;

const forbidden = [
  ['POST', '/api/create'],
  ['POST', '/api/push'],
  ['POST', '/api/blobs/*'],
  ['HEAD', '/api/blobs/*'],
] as const;

export function libraryRoutes(options: Options): Route[] {
  const { roster, clock, log, refresh } = options;
  const read = async (exchange: Exchange): Promise<unknown> => parseJson(await readBody(exchange, nameBytesMax));
  /** Lets this gateway know what the workers have done, so that the next request finds it. */
  const until = async (isSo: () => boolean): Promise<void> => {
    const endMs = clock.monotonic() + knownMsMax;
    for (await refresh(); !isSo() && clock.monotonic() < endMs; await refresh())
      await new Promise<void>((resolve) => clock.after(lookEveryMs, resolve));
  };
  /** The workers that have the model under this very name: an alias is no model that could go. */
  const holders = (asked: string, { owner }: Exchange) => {
    const model = canonicalModel(asked);
    const copies = sees(owner.rights, model) ? roster.model(model) : [];
    if (copies.length === 0) throw modelNotFound(asked);
    return { model, workers: processesOf(copies.map(({ worker }) => worker)) };
  };

  /**
   * 1. For who may not bring models, what is there already is pulled at once, as clients pull before they ask; they
   *    read the statuses up to `success`. So is what goes by an alias, or lies where nobody pulls.
   * 2. Else the workers that have it compare it with its source, and take what has changed.
   * 3. What is nowhere every worker that keeps models pulls into its own folder; those that share one fetch it once.
   */
  const pull = async (exchange: Exchange) => {
    const { model: asked, stream } = parseOllamaPull(await read(exchange));
    const { rights } = exchange.owner;
    const [copy] = copiesFor(asked, rights, options);
    const model = canonicalModel(asked);
    const having = copy ? roster.model(model).map(({ worker }) => worker) : roster.workers();
    const workers = processesOf(having.filter(({ pulls, state }) => pulls === true && state !== 'draining')); // 2, 3
    if (copy && (workers.length === 0 || !rights.scopes.includes('models:write')))
      return told(exchange, stream, copy.card); // 1
    if (workers.length === 0) throw notPulled(asked);
    if (!rights.scopes.includes('models:write') || !sees(rights, model)) throw notAllowed(asked);
    const say = speaker(exchange, stream);
    const { failed } = await pullOn(options, workers, model, exchange, say);
    await until(() => roster.model(model).length > 0);
    for (const { worker, refusal } of failed) {
      log.warn('a worker could not pull a model', { worker, model, reason: refusal.message });
      say({ status: `not on ${worker}: ${refusal.message}` });
    }
    for (const status of ['verifying sha256 digest', 'writing manifest', 'success']) say({ status });
    if (stream) exchange.reply.end();
    else exchange.reply.json(200, '{"status":"success"}');
  };
  const remove = async (exchange: Exchange) => {
    const { model, workers } = holders(parseOllamaDelete(await read(exchange)).model, exchange);
    await askAll(options, workers, { method: 'DELETE', path: '/api/delete', model }, exchange);
    log.info('a model was deleted', { model, key: exchange.owner.key });
    await until(() => roster.model(model).length === 0);
    exchange.reply.json(200, '');
  };
  const copy = async (exchange: Exchange) => {
    const { source, destination } = parseOllamaCopy(await read(exchange));
    const { model, workers } = holders(source, exchange);
    const name = canonicalModel(destination);
    if (!sees(exchange.owner.rights, name)) throw notAllowed(destination);
    if (roster.model(name).length > 0) throw new Refusal('bad_request', `there is a model '${name}' already`);
    const body = Buffer.from(JSON.stringify({ source: model, destination: name }));
    await askAll(options, workers, { method: 'POST', path: '/api/copy', model, body }, exchange);
    await until(() => roster.model(name).length > 0);
    exchange.reply.json(200, '');
  };
  const refuse = () => {
    throw new Refusal('forbidden', "models are not made over this API: put their files into the workers' MODELS_DIR");
  };
  const infer = { scope: 'infer', dialect: ollama } as const;
  const write = { scope: 'models:write', dialect: ollama } as const;
  return [
    { ...infer, method: 'POST', path: '/api/pull', handle: pull },
    { ...write, method: 'DELETE', path: '/api/delete', handle: remove },
    { ...write, method: 'POST', path: '/api/copy', handle: copy },
    ...forbidden.map(([method, path]): Route => ({ ...infer, method, path, handle: refuse })),
  ];
}

function told({ reply }: Exchange, stream: boolean, card: ModelCard): void {
  const lines = ollamaPulled(card).map((status) => `${JSON.stringify(status)}\n`);
  if (stream) reply.json(200, lines.join(''), { ...ollama.streamHeaders });
  else reply.json(200, lines.at(-1)?.trimEnd() ?? '');
}

/** Nothing is said before there is progress, so that what fails first is a true HTTP error. */
function speaker({ reply }: Exchange, stream: boolean): (status: PullStatus) => void {
  let first = 'pulling manifest';
  return (status) => {
    if (!stream) return;
    reply.head(ollama.streamHeaders);
    if (first !== '') reply.write(`${JSON.stringify({ status: first })}\n`);
    first = '';
    reply.write(`${JSON.stringify(status)}\n`);
  };
}

function notPulled(model: string): Refusal {
  const advice = "no worker here pulls models: put its GGUF file into a worker's MODELS_DIR, or set that to a folder";
  return new Refusal('model_not_found', `model '${model}' not found: ${advice}`, { param: 'model' });
}

function notAllowed(model: string): Refusal {
  return new Refusal(
    'forbidden',
    `'${model}' is not here, and this key may not bring it: that takes the scope models:write`,
  );
}
