// `berth doctor size`: the memory that a model needs with so many slots of such a length, before a GPU is bought for it.
import { Failed, Misused } from '../command.ts';
import type { Command } from '../command.ts';
import { wholeNumber } from '../number.ts';
import { table } from '../table.ts';
import { size } from './finding.ts';

const text = { type: 'string' } as const;

export const sizeModel: Command = {
  name: 'doctor size',
  about: 'tells the memory that a model file needs: weights, and slots times context',
  help: `  --slots N        requests at a time, NUM_PARALLEL (4)
  --context N      tokens of each, CONTEXT_LENGTH (4096)
  --memory GIB     how many slots of that context fit into so much GPU memory
  --json           for a program; also when the result is piped

It is the estimate that a worker goes by when it loads the file, made by llama.cpp itself; on a GPU leave about 0.5 GiB for
the driver. The file is read, not loaded, and no GPU is needed.

  berth doctor size /models/llama-3.1-8b-q4_k_m.gguf --slots 8 --context 8192`,
  options: { slots: text, context: text, memory: text, json: { type: 'boolean' } },
  words: ['FILE'],
  async run({ words: [path = ''], options }, world) {
    const wanted = {
      slots: wholeNumber('slots', options['slots'], 4, 256),
      contextTokens: wholeNumber('context', options['context'], 4_096, 16_777_216),
    };
    const memory = options['memory'];
    const memoryBytes = memory === undefined ? null : gibibytes(String(memory));
    // The engine's own eyes, only where they are needed: they take a while to open.
    const { fitInto } = await import('../../worker/engine/llama/fit.ts');
    const { sizeOf } = await import('../../worker/engine/llama/size.ts');
    await using model = await sizeOf(path).catch((error: Error) => {
      throw new Failed(`${path} cannot be read as a model: ${error.message.split('\n', 1)[0]}`);
    });
    const contextTokens = Math.min(wanted.contextTokens, model.trainedTokens ?? Infinity);
    const shape = { ...wanted, contextTokens };
    const contextBytes = await model.contextBytes(shape);
    const fit =
      memoryBytes === null
        ? null
        : await fitInto(memoryBytes - model.weightsBytes, { slots: 256, contextTokens }, model.contextBytes);
    const fits = fit === null ? null : fit.kind === 'fits' ? fit.shape : { slots: 0, contextTokens };
    const { weightsBytes } = model;
    const found = { ...shape, weightsBytes, contextBytes, needsBytes: weightsBytes + contextBytes, fits };
    if (options['json'] === true || !world.terminal) return world.say(JSON.stringify(found, null, 2));
    const rows = [
      ['weights', size(weightsBytes)],
      [`${shape.slots} slots of ${contextTokens} tokens`, size(contextBytes)],
      ['together', size(found.needsBytes)],
      ...(fits === null
        ? []
        : [[`fit into ${String(memory)} GiB`, `${fits.slots} slots of ${fits.contextTokens} tokens`]]),
    ];
    world.say(table(rows));
    if (contextTokens < wanted.contextTokens) world.say(`The model was trained for ${contextTokens} tokens, no more.`);
  },
};

function gibibytes(value: string): number {
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0;
  if (number > 0) return number * 2 ** 30;
  throw new Misused(`--memory must be a number of GiB such as 24, not "${value}"`);
}
