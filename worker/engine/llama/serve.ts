// What the engine process does with its pipe: loads the model it is told, then runs requests until the pipe closes.
import type { Socket } from 'node:net';
import type { EngineOptions } from '../engine.ts';
import { openBinding } from './binding.ts';
import { cpuTuning, gpuTuning, openLoop } from './loop.ts';
import type { SlotLoop } from './loop.ts';
import { receiveLines, send } from './wire.ts';
import type { FromEngine, ToEngine } from './wire.ts';

/** Resolves when the load failed; rejects when the loop broke. Otherwise the process ends with its pipe. */
export async function serveEngine(pipe: Socket, now: () => number): Promise<void> {
  const opening = Promise.withResolvers<EngineOptions>();
  let loop: SlotLoop | null = null;
  receiveLines(pipe, (message: ToEngine) => {
    if (message.kind === 'open') opening.resolve(message.options);
    else if (message.kind === 'run') void loop?.submit(message.id, message.request);
    else loop?.abort(message.id);
  });
  const tell = (message: FromEngine): void => send(pipe, message);
  loop = await load(await opening.promise, now, tell);
  await loop?.run();
}

async function load(
  options: EngineOptions,
  now: () => number,
  tell: (message: FromEngine) => void,
): Promise<SlotLoop | null> {
  try {
    const binding = await openBinding(options);
    const tuning = options.gpu === false ? cpuTuning : gpuTuning;
    const loop = openLoop(
      binding,
      now,
      (events, step) => tell({ kind: 'events', events, ...(step && { step }) }),
      tuning,
    );
    const { contextTokens, slots, vramBytes } = binding;
    tell({ kind: 'ready', info: { contextTokens, slots, vramBytes } });
    return loop;
  } catch (error) {
    tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    return null;
  }
}
