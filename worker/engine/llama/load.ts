// Loads a model and makes its context by node-llama-cpp's public API; every failure says what to do.
import { existsSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { getLlama, GgufInsights, LlamaLogLevel, readGgufFileInfo } from 'node-llama-cpp';
import type { Llama, LlamaContext, LlamaModel } from 'node-llama-cpp';
import { Refusal } from '@berth/shared/outcome.ts';
import { partsOf } from '../../models/parts.ts';
import { OutOfMemory } from '../engine.ts';
import type { EngineOptions } from '../engine.ts';
import { fitInto } from './fit.ts';
import type { Shape } from './fit.ts';

/** Tokens of one batch: the compute buffers grow with it, and beyond it prefill gains nothing on a CPU. */
const batchTokensMax = 512;

export interface LoadedModel {
  llama: Llama;
  model: LlamaModel;
  /** Memory of the device that a context may still take. */
  freeBytes: () => Promise<number>;
  /** What model and context take of the device's memory. */
  memoryBytes: (context: { memoryUsage: { ram: number; vram: number } }) => number;
  /** In place of the file's own; `null` = the file's. */
  template: string | null;
}

/**
 * @param freeBytes stands in for what the device says is free; `null` = ask it
 * @throws Refusal `load_failed` with what is wrong and what to do; OutOfMemory
 */
export async function loadModel(
  options: EngineOptions,
  freeBytes: number | null,
  onProgress: () => void = () => {},
): Promise<LoadedModel> {
  const llama = await openLlama(options);
  const free = freeBytes ?? (await memoryFree(llama, options.gpu));
  const model = await openModel(llama, options, free, onProgress);
  const { ram, vram } = model.memoryUsage;
  return {
    llama,
    model,
    freeBytes: async () => (freeBytes === null ? memoryFree(llama, options.gpu) : freeBytes - ram - vram),
    memoryBytes: ({ memoryUsage }) => (options.gpu === false ? ram + memoryUsage.ram : vram + memoryUsage.vram),
    template: options.template ?? null,
  };
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

async function openModel(
  llama: Llama,
  options: EngineOptions,
  freeBytes: number,
  onProgress: () => void,
): Promise<LlamaModel> {
  const { path, gpu } = options;
  if (!existsSync(path)) throw new Refusal('load_failed', `there is no model file ${basename(path)}`);
  const gpuLayers = gpu === false ? 0 : (options.gpuLayers ?? 'max');
  const weightsBytes =
    gpuLayers === 'max' || gpu === false ? bytesOfParts(path) : await bytesOnGpu(llama, path, gpuLayers);
  const numbers = `${basename(path)} needs ${gigabytes(weightsBytes)} for its weights, and ${memoryOf(gpu, freeBytes)}`;
  if (weightsBytes > freeBytes) throw new OutOfMemory(`${numbers}. ${smaller}`, weightsBytes - freeBytes);
  try {
    // Memory of the process's own, not the file's pages: only that may lie in large pages (process.ts).
    const useMmap = gpu === false ? false : 'auto';
    return await llama.loadModel({ modelPath: path, gpuLayers, onLoadProgress: onProgress, useMmap });
  } catch (error) {
    throw new Refusal(
      'load_failed',
      `the model cannot be loaded: ${said(error)}. ${numbers}. Check that the file is a complete GGUF model.`,
    );
  }
}

/** Weights are read as they lie in the file, so its size is what they take; a split model counts as a whole. */
export function bytesOfParts(path: string): number {
  return partsOf(path).reduce((sum, part) => sum + (statSync(part, { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** Of a model of which only some layers go to the GPU: node-llama-cpp's estimate, from the file's header. */
async function bytesOnGpu(llama: Llama, path: string, gpuLayers: number): Promise<number> {
  const insights = await GgufInsights.from(await readGgufFileInfo(path, { logWarnings: false }), llama);
  return (await insights.estimateModelResourceRequirementsV2({ gpuLayers: Math.min(gpuLayers, insights.totalLayers) }))
    .gpuVram;
}

/**
 * A context that fits: fewer sequences than wanted, or shorter ones, where memory is short. What it takes is
 * node-llama-cpp's estimate, which has llama.cpp lay the buffers out without allocating them.
 *
 * @throws Refusal `load_failed` when not even one short sequence fits
 */
export async function openContext({ model, freeBytes }: LoadedModel, options: EngineOptions): Promise<LlamaContext> {
  const { gpu, path, slots, threads, adapters = [] } = options;
  const contextTokens = Math.max(2, Math.min(options.contextTokens, model.trainContextSize));
  const adapterBytes = adapters.reduce((sum, { path }) => sum + bytesOfParts(path), 0);
  const free = (await freeBytes()) - adapterBytes;
  const bytesOf = (shape: Shape) => contextBytes(model.fileInsights, { gpu, gpuLayers: model.gpuLayers }, shape);
  const fit = await fitInto(free, { slots, contextTokens }, bytesOf);
  const isShort = fit.kind === 'fits' && fit.shape.contextTokens < contextTokens;
  if (fit.kind === 'too_large' || (isShort && options.whole)) {
    const needsBytes = fit.kind === 'too_large' ? fit.needsBytes : await bytesOf({ slots: 1, contextTokens });
    const needs = `one slot of ${basename(path)} needs ${gigabytes(needsBytes)} beside its weights`;
    throw new OutOfMemory(`${needs}, and ${memoryOf(gpu, free)}. ${smaller}`, needsBytes - free);
  }
  const { shape } = fit;
  try {
    return await model.createContext({
      contextSize: { min: Math.min(256, shape.contextTokens), max: shape.contextTokens },
      sequences: shape.slots,
      batchSize: batchTokensMax,
      threads,
      failedCreationRemedy: { retries: 2, autoContextSizeShrink: 0.5 },
      ...(adapters.length > 0 && {
        lora: { adapters: adapters.map(({ path, scale }) => ({ filePath: path, scale })) },
      }),
    });
  } catch (error) {
    const beside =
      adapters.length > 0 ? ` with its adapters ${adapters.map((each) => basename(each.path)).join(', ')}` : '';
    throw new Refusal(
      'load_failed',
      `${shape.slots} slots of ${shape.contextTokens} tokens cannot be made for ${basename(path)}${beside}: ` +
        `${said(error)}; ${memoryOf(gpu, free)}. ` +
        (beside === '' ? 'Lower NUM_PARALLEL or CONTEXT_LENGTH.' : 'Check that the adapters were made for this model.'),
    );
  }
}

export async function contextBytes(
  insights: GgufInsights,
  { gpu, gpuLayers }: Pick<EngineOptions, 'gpu'> & { gpuLayers: number },
  shape: Shape,
): Promise<number> {
  const { cpuRam, gpuVram } = await insights.estimateContextResourceRequirementsV2({
    contextSize: shape.contextTokens,
    sequences: shape.slots,
    batchSize: batchTokensMax,
    modelGpuLayers: gpuLayers,
  });
  return gpu === false ? cpuRam : gpuVram;
}

const smaller = 'Lower CONTEXT_LENGTH or MAX_LOADED_MODELS, or choose a smaller quantisation.';

/** What the device has left: for a GPU without the reserve that the package keeps, for the CPU what a container may take. */
async function memoryFree(llama: Llama, gpu: EngineOptions['gpu']): Promise<number> {
  if (gpu !== false) return (await llama.getVramState()).free - llama.vramPaddingSize;
  return Math.min((await llama.getRamState()).free, process.availableMemory());
}

function memoryOf(gpu: EngineOptions['gpu'], bytes: number): string {
  return `${gigabytes(Math.max(0, bytes))} of ${gpu === false ? 'memory' : 'GPU memory'} are free`;
}

/** One line that names the error and nothing else. */
export function said(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!.slice(0, 300);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
