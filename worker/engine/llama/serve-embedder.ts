// What the engine process of an embedding model does with its pipe. Refusals travel; anything else ends the process.
import type { EngineOptions } from '../engine.ts';
import { openEmbedder } from './embedder.ts';
import type { Embedder } from './embedder.ts';
import type { LoadedModel } from './load.ts';
import { refused } from './loop.ts';
import type { FromEngine, ToEngine } from './wire.ts';

/** Takes the messages that come after `open`. */
export type Receive = (message: ToEngine) => void;

/** @throws Refusal `load_failed` */
export async function serveEmbedder(
  loaded: LoadedModel,
  options: EngineOptions,
  now: () => number,
  tell: (message: FromEngine) => void,
): Promise<Receive> {
  const embedder = await openEmbedder(loaded, options);
  let steps = 0;
  let last: Promise<void> = Promise.resolve();

  const embed = async ({ id, input }: Extract<ToEngine, { kind: 'embed' }>): Promise<void> => {
    try {
      const startedMs = now();
      const { vector, tokens } = await embedder.embed(input);
      const step = { step: (steps += 1), ms: now() - startedMs, decoded: 0, prefilled: tokens };
      tell({ kind: 'events', events: [], steps: [step] });
      tell({ kind: 'embedded', id, result: { vector: textOf(vector), tokens } });
    } catch (error) {
      tell({ kind: 'embedded', id, result: refused(error) });
    }
  };

  tell({ kind: 'ready', info: embedder.info });
  return (message) => {
    if (message.kind === 'embed') last = last.then(() => embed(message));
    else if (message.kind === 'tokenize')
      tell({ kind: 'tokenized', id: message.id, result: translated(embedder, message) });
    else if (message.kind === 'run')
      tell({ kind: 'events', events: [[message.id, refused(new Error('it only embeds'))]], steps: [] });
  };
}

function translated(embedder: Embedder, { task }: Extract<ToEngine, { kind: 'tokenize' }>) {
  try {
    return embedder.translate(task);
  } catch (error) {
    return refused(error);
  }
}

/** Single precision, little-endian: what a model computes in, and what clients ask for. */
function textOf(vector: Float64Array): string {
  const bytes = Buffer.alloc(4 * vector.length);
  vector.forEach((value, index) => bytes.writeFloatLE(value, 4 * index));
  return bytes.toString('base64');
}
