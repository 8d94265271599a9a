// What the engine process does with its pipe: loads the model it is told, then runs requests until the pipe closes.
import { stat } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { OutOfMemory } from '../engine.ts';
import type { EngineOptions } from '../engine.ts';
import { bindNative, internalsFault } from './binding.ts';
import type { Binding } from './binding.ts';
import { loadModel, openContext } from './load.ts';
import type { LoadedModel } from './load.ts';
import { openLoop, refused } from './loop.ts';
import type { LoopOutlet, SlotLoop } from './loop.ts';
import { openPromptCache } from './prompt-cache.ts';
import { bindPublic } from './public.ts';
import { selfTest } from './selftest.ts';
import { serveEmbedder } from './serve-embedder.ts';
import type { Receive } from './serve-embedder.ts';
import { cpuTuning, gpuTuning } from './tuning.ts';
import { translate } from './vocabulary.ts';
import { receiveLines, send } from './wire.ts';
import type { FromEngine, OpenMessage, ToEngine } from './wire.ts';

type Tell = (message: FromEngine) => void;

const progressEveryMs = 1_000;

/**
 * Resolves when the load failed; rejects when the loop broke. Otherwise the process ends with its pipe.
 *
 * @param inOrder whether this process has one native thread only
 */
export async function serveEngine(pipe: Socket, now: () => number, inOrder: boolean): Promise<void> {
  const opening = Promise.withResolvers<OpenMessage>();
  const tell: Tell = (message) => send(pipe, message);
  let loaded: Loaded | null = null;
  let embedder: Receive | null = null;
  receiveLines(pipe, (message: ToEngine) => {
    if (message.kind === 'open') opening.resolve(message);
    else if (embedder !== null) embedder(message);
    else if (message.kind === 'run') void loaded?.loop.submit(message.id, message.request);
    else if (message.kind === 'threads') loaded?.binding.useThreads(message.count);
    else if (message.kind === 'close') loaded?.loop.close();
    else if (message.kind === 'abort') loaded?.loop.abort(message.id);
    else if (message.kind === 'tokenize' && loaded) tell(translated(loaded.binding, message));
  });
  const open = await opening.promise;
  if (open.options.embeds) {
    embedder = await loadEmbedder(open, now, tell);
    return;
  }
  loaded = await load(open, now, inOrder, tell);
  if (loaded === null) return;
  await loaded.loop.run();
  pipe.destroy();
}

async function loadEmbedder(
  { options, freeBytes }: OpenMessage,
  now: () => number,
  tell: Tell,
): Promise<Receive | null> {
  try {
    return await serveEmbedder(await loadModel(options, freeBytes, progress(tell)), options, now, tell);
  } catch (error) {
    tell(failure(error));
    return null;
  }
}

function failure(error: unknown): FromEngine {
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'failed', message, ...(error instanceof OutOfMemory && { missingBytes: error.missingBytes }) };
}

/** The loader tells each per cent and more; the worker only has to know that it goes on. */
function progress(tell: Tell): () => void {
  let toldMs = 0;
  return () => {
    const nowMs = performance.now();
    if (nowMs - toldMs < progressEveryMs) return;
    toldMs = nowMs;
    tell({ kind: 'progress' });
  };
}

function translated(binding: Binding, { id, task }: Extract<ToEngine, { kind: 'tokenize' }>): FromEngine {
  try {
    return { kind: 'tokenized', id, result: translate(binding, task) };
  } catch (error) {
    return { kind: 'tokenized', id, result: refused(error) };
  }
}

interface Loaded {
  binding: Binding;
  loop: SlotLoop;
}

async function load(open: OpenMessage, now: () => number, inOrder: boolean, tell: Tell): Promise<Loaded | null> {
  const { options, tuning, freeBytes } = open;
  try {
    const binding = await openBinding(open, await loadModel(options, freeBytes, progress(tell)), now, inOrder, tell);
    const tuned = { ...(options.gpu === false ? cpuTuning : gpuTuning), ...tuning };
    const outlet: LoopOutlet = (events, steps) => tell({ kind: 'events', events, steps });
    const loop = openLoop(binding, now, outlet, tuned, await openCache(options, binding, now, tell));
    const { contextTokens, slots, vramBytes, memoryBytes } = binding;
    if (slots < options.slots)
      tell({ kind: 'note', message: `it has ${slots} of ${options.slots} slots: no more fit` });
    tell({ kind: 'ready', info: { contextTokens, slots, vramBytes, memoryBytes } });
    return { binding, loop };
  } catch (error) {
    tell(failure(error));
    return null;
  }
}

async function openCache(options: EngineOptions, binding: Binding, now: () => number, tell: Tell) {
  if (!options.promptCache) return null;
  const { path, contextTokens, slots, gpu } = options;
  const files = [path, ...(options.adapters ?? []).map((adapter) => adapter.path)];
  const versions = await Promise.all(
    files.map(async (file) => stat(file).then(({ mtimeMs, size }) => [mtimeMs, size])),
  );
  const scales = (options.adapters ?? []).map(({ scale }) => scale);
  const identity = [...files, ...versions.flat(), ...scales, contextTokens, slots, String(gpu), binding.version];
  const note = (message: string): void => tell({ kind: 'note', message });
  return openPromptCache({ ...options.promptCache, identity, binding, now, note });
}

/** The internals where they are as expected and pass the test; else the public API with one sequence. */
async function openBinding(
  { options, publicOnly }: OpenMessage,
  loaded: LoadedModel,
  now: () => number,
  inOrder: boolean,
  tell: Tell,
): Promise<Binding> {
  if (!publicOnly) {
    const context = await openContext(loaded, options);
    let fault = await internalsFault(loaded, context);
    if (fault === null) {
      const binding = bindNative(loaded, context, inOrder);
      const result = await selfTest(binding, now);
      tell({ kind: 'note', message: result.note });
      if (result.fault === null) return binding;
      fault = result.fault;
    }
    tell({ kind: 'note', message: `running one request at a time: ${fault}` });
    await context.dispose();
  }
  return bindPublic(loaded, await openContext(loaded, { ...options, slots: 1 }));
}
