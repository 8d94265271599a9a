// What a model takes on a device before it is loaded there: the same estimate as a load goes by, from the file alone.
import { GgufInsights, LlamaLogLevel, getLlama, readGgufFileInfo } from 'node-llama-cpp';
import { bytesOfParts, contextBytes } from './load.ts';
import type { Shape } from './fit.ts';

export interface ModelSize {
  weightsBytes: number;
  /** Context that the model was trained for, tokens; `null` = its file does not say. */
  trainedTokens: number | null;
  /** Keys and values of so many slots of so many tokens each, with the buffers that a step needs. */
  contextBytes: (shape: Shape) => Promise<number>;
}

/** Needs no GPU: llama.cpp lays its buffers out on the processor, without allocating them. @throws Error when it is no model */
export async function sizeOf(path: string): Promise<ModelSize & AsyncDisposable> {
  const quiet = { progressLogs: false, logLevel: LlamaLogLevel.error } as const;
  const file = await readGgufFileInfo(path, { sourceType: 'filesystem', logWarnings: false });
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, ...quiet });
  const insights = await GgufInsights.from(file, llama);
  return {
    weightsBytes: bytesOfParts(path),
    trainedTokens: insights.trainContextSize ?? null,
    contextBytes: (shape) => contextBytes(insights, { gpu: false, gpuLayers: 0 }, shape),
    [Symbol.asyncDispose]: () => llama.dispose(),
  };
}
