// Ollama's routes that change a server's models: on a team's server they are the operator's, and say so.
import { ollamaPulled, parseOllamaPull } from '@berth/shared/dialects/catalog.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { ollama } from '@berth/shared/dialects/ollama.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { readBody } from '../http.ts';
import type { Exchange, Route } from '../http.ts';
import { copiesFor } from './copies.ts';
import type { Shelf } from './copies.ts';

/** A body that only names a model. */
const nameBytesMax = 64 * 1_024;

const forbidden = [
  ['POST', '/api/copy'],
  ['DELETE', '/api/delete'],
  ['POST', '/api/create'],
  ['POST', '/api/push'],
  ['POST', '/api/blobs/*'],
  ['HEAD', '/api/blobs/*'],
] as const;

export function libraryRoutes(shelf: Shelf): Route[] {
  /** What is there already is pulled at once, as Ollama has it; clients read the statuses up to `success`. */
  const pull = async (exchange: Exchange) => {
    const { model, stream } = parseOllamaPull(parseJson(await readBody(exchange, nameBytesMax)));
    const [copy] = copiesFor(model, exchange.owner.rights, shelf);
    if (!copy) throw notPulled(model);
    const lines = ollamaPulled(copy.card).map((status) => `${JSON.stringify(status)}\n`);
    if (stream) exchange.reply.json(200, lines.join(''), { ...ollama.streamHeaders });
    else exchange.reply.json(200, lines.at(-1)?.trimEnd() ?? '');
  };
  const refuse = () => {
    throw new Refusal(
      'forbidden',
      "models are not changed over this API: on a team's server that is the operator's, in the workers' MODELS_DIR",
    );
  };
  const infer = { scope: 'infer', dialect: ollama } as const;
  return [
    { ...infer, method: 'POST', path: '/api/pull', handle: pull },
    ...forbidden.map(([method, path]): Route => ({ ...infer, method, path, handle: refuse })),
  ];
}

function notPulled(model: string): Refusal {
  return new Refusal(
    'model_not_found',
    `model '${model}' not found: models are not pulled here yet, put its GGUF file into a worker's MODELS_DIR`,
    { param: 'model' },
  );
}
