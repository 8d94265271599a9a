// The public API of llama.cpp as a reference for our own engine: one thread, nothing logged.
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';

export const llama = await getLlama({
  gpu: false,
  build: 'never',
  skipDownload: true,
  maxThreads: 1,
  logLevel: LlamaLogLevel.disabled,
});
