// The worker's settings, and Ollama's names for them.
import { describe, expect, it } from 'vitest';
import { readSettings } from '@berth/shared/config.ts';
import { workerSettings } from '../../worker/settings.ts';

const read = (env: Record<string, string>) => readSettings(workerSettings, env);

describe("the worker's settings", () => {
  it('have the defaults that the README tells', () => {
    expect(read({})).toMatchObject({
      numParallel: 4,
      loadedMax: 3,
      keepAliveMs: 300_000,
      contextTokens: 4096,
      host: '127.0.0.1',
      port: 0,
    });
  });

  it("read Ollama's names, and Berth's own before them", () => {
    const ollama = {
      OLLAMA_NUM_PARALLEL: '2',
      OLLAMA_MAX_LOADED_MODELS: '1',
      OLLAMA_KEEP_ALIVE: '30',
      OLLAMA_CONTEXT_LENGTH: '512',
    };
    expect(read(ollama)).toMatchObject({ numParallel: 2, loadedMax: 1, keepAliveMs: 30_000, contextTokens: 512 });
    expect(read({ ...ollama, NUM_PARALLEL: '8' }).numParallel).toBe(8);
  });

  it.each([
    ['5m', 300_000],
    ['1h30m', 5_400_000],
    ['300', 300_000],
    ['0', 0],
    ['-1', Infinity],
    ['-1m', Infinity],
  ])("reads a keep-alive of %s by Ollama's grammar", (text, ms) => {
    expect(read({ KEEP_ALIVE: text }).keepAliveMs).toBe(ms);
  });

  it.each([
    ['auto', { kind: 'auto', devices: null }],
    ['cpu', { kind: false, devices: null }],
    ['Vulkan', { kind: 'vulkan', devices: null }],
    ['0,1', { kind: 'cuda', devices: '0,1' }],
    ['GPU-8c1a2b3c-0000-1111-2222-333344445555', { kind: 'cuda', devices: 'GPU-8c1a2b3c-0000-1111-2222-333344445555' }],
  ])('take the GPU %s', (text, gpu) => expect(read({ GPU: text }).gpu).toEqual(gpu));

  it.each(['gpu0', '0;rm', ',', '-1'])('refuse the GPU %s', (text) =>
    expect(() => read({ GPU: text })).toThrow(/GPU: must be/),
  );
});
