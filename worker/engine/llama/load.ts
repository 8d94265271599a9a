// Loads a model and makes its context by node-llama-cpp's public API; every failure says what to do.
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import type { Llama, LlamaContext, LlamaModel } from 'node-llama-cpp';
import { Refusal } from '@berth/shared/outcome.ts';
import type { EngineOptions } from '../engine.ts';

/** Tokens of one batch: the compute buffers grow with it, and beyond it prefill gains nothing on a CPU. */
const batchTokensMax = 512;

/** The smallest context that is worth starting with when memory is short. */
const contextTokensMin = 256;

export interface LoadedModel {
  llama: Llama;
  model: LlamaModel;
}

/** @throws Refusal `load_failed` with what is wrong and what to do */
export async function loadModel(options: EngineOptions): Promise<LoadedModel> {
  const llama = await openLlama(options);
  return { llama, model: await openModel(llama, options) };
}

async function openLlama({ gpu, threads }: EngineOptions): Promise<Llama> {
  const advice =
    gpu === false ? 'Reinstall node-llama-cpp.' : 'Check its driver and runtime libraries, or use the CPU.';
  const device = gpu === false ? 'the CPU' : gpu;
  const options = { build: 'never', skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error } as const;
  let llama: Llama;
  try {
    llama = await getLlama({ ...options, gpu, maxThreads: threads });
  } catch (error) {
    throw new Refusal('load_failed', `llama.cpp for ${device} does not start here: ${said(error)}. ${advice}`);
  }
  // The package goes on with the CPU when the wanted device has no binary: ten times slower, and nobody is told.
  if (llama.gpu === gpu) return llama;
  throw new Refusal('load_failed', `llama.cpp for ${device} does not start here. ${advice}`);
}

async function openModel(llama: Llama, { path, gpu }: EngineOptions): Promise<LlamaModel> {
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size;
  if (sizeBytes === undefined) throw new Refusal('load_failed', `there is no model file ${basename(path)}`);
  try {
    return await llama.loadModel({ modelPath: path, gpuLayers: gpu === false ? 0 : 'max' });
  } catch (error) {
    throw new Refusal(
      'load_failed',
      `the model ${basename(path)} (${gigabytes(sizeBytes)}) cannot be loaded: ${said(error)}. ${await memory(llama, gpu)}` +
        'Check that the file is a complete GGUF model.',
    );
  }
}

/** @throws Refusal `load_failed` when the sequences do not fit into the memory */
export async function openContext(model: LlamaModel, options: EngineOptions): Promise<LlamaContext> {
  const wanted = Math.max(2, Math.min(options.contextTokens, model.trainContextSize));
  try {
    return await model.createContext({
      contextSize: { min: Math.min(contextTokensMin, wanted), max: wanted },
      sequences: options.slots,
      batchSize: batchTokensMax,
      threads: options.threads,
      failedCreationRemedy: { retries: 2, autoContextSizeShrink: 0.5 },
    });
  } catch (error) {
    throw new Refusal(
      'load_failed',
      `${options.slots} slots of ${wanted} tokens do not fit beside ${basename(options.path)}: ${said(error)}. ` +
        `${await memory(model.llama, options.gpu)}Lower NUM_PARALLEL or the context.`,
    );
  }
}

async function memory(llama: Llama, gpu: EngineOptions['gpu']): Promise<string> {
  if (gpu === false) return '';
  const { total, free } = await llama.getVramState();
  return `The GPU has ${gigabytes(free)} free of ${gigabytes(total)}. `;
}

/** One line that names the error and nothing else. */
export function said(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!.slice(0, 300);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
