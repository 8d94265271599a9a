// What fits into memory: fewer slots first, then shorter ones, then a refusal with the numbers.
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fitInto } from '../../../worker/engine/llama/fit.ts';
import type { Shape } from '../../../worker/engine/llama/fit.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { LlamaEngine } from '../../../worker/engine/llama/open.ts';
import { sizeOf } from '../../../worker/engine/llama/size.ts';
import type { ModelSize } from '../../../worker/engine/llama/size.ts';
import { aRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const bytesOf = async ({ slots, contextTokens }: Shape): Promise<number> => 1000 + slots * contextTokens;
const fit = (freeBytes: number, slots = 4, contextTokens = 2048) =>
  fitInto(freeBytes, { slots, contextTokens }, bytesOf);

describe('a context', () => {
  test('is as wanted where there is room, else has fewer slots, else is shorter', async () => {
    expect(await fit(1e6)).toEqual({ kind: 'fits', shape: { slots: 4, contextTokens: 2048 } });
    expect(await fit(1000 + 3 * 2048)).toEqual({ kind: 'fits', shape: { slots: 3, contextTokens: 2048 } });
    expect(await fit(1000 + 2047)).toEqual({ kind: 'fits', shape: { slots: 1, contextTokens: 1792 } });
    expect(await fit(1000 + 256)).toEqual({ kind: 'fits', shape: { slots: 1, contextTokens: 256 } });
  });

  test('that does not fit at all tells what the smallest would need', async () => {
    expect(await fit(1255)).toEqual({ kind: 'too_large', needsBytes: 1256 });
    expect(await fit(0, 4, 64)).toEqual({ kind: 'too_large', needsBytes: 1064 });
  });

  test('never takes more than is free, and one slot more would', async () => {
    const count = fc.integer({ min: 1, max: 64 });
    await fc.assert(
      fc.asyncProperty(count, fc.integer({ min: 2, max: 9000 }), fc.nat(700_000), async (slots, tokens, free) => {
        const result = await fit(free, slots, tokens);
        if (result.kind === 'too_large') return result.needsBytes > free;
        const { shape } = result;
        const more = { ...shape, slots: shape.slots + 1 };
        const full = shape.slots === slots || shape.contextTokens < tokens || (await bytesOf(more)) > free;
        return full && shape.slots <= slots && shape.contextTokens <= tokens && (await bytesOf(shape)) <= free;
      }),
    );
  });
});

const slotOf = async ({ contextBytes }: ModelSize): Promise<number> =>
  (await contextBytes({ slots: 8, contextTokens: 2048 })) - (await contextBytes({ slots: 7, contextTokens: 2048 }));

describe('an engine', () => {
  const folder = modelFolder();
  let path = '';
  const engines: LlamaEngine[] = [];
  beforeAll(() => {
    path = folder.random('words.gguf', { parameters: 4e6 });
  });
  afterAll(async () => {
    for (const engine of engines) await engine[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });
  const notes: string[] = [];
  const opened = async (freeBytes?: number, env: Record<string, string> = {}): Promise<LlamaEngine> => {
    const note = (said: string): void => void notes.push(said);
    const open = llamaEngines({ env: { ...process.env, ...env }, note, ...(freeBytes !== undefined && { freeBytes }) });
    const engine = await open({ ...someOptions, path, slots: 8 }, unaborted());
    engines.push(engine);
    return engine;
  };

  test('with less memory than all its slots need has fewer, says so, and answers', async () => {
    const engine = await opened(34 * 2 ** 20);
    expect(engine.info.slots).toBeGreaterThanOrEqual(1);
    expect(engine.info.slots).toBeLessThan(8);
    expect(engine.info.contextTokens).toBe(2048);
    expect(notes.join()).toContain(`it has ${engine.info.slots} of 8 slots`);
    expect((await collect(engine, aRequest('ba', { maxTokens: 3 }))).end.usage.outputTokens).toBe(3);
  });

  test('has just as many slots as were foretold from the file alone', async () => {
    await using model = await sizeOf(path);
    const needsBytes = model.weightsBytes + (await model.contextBytes({ slots: 8, contextTokens: 2048 }));
    // What llama.cpp adds to the weights when they are loaded is little beside a slot.
    const [slotBytes, slack] = [await slotOf(model), 2 ** 19];
    expect((await opened(needsBytes + slack)).info.slots).toBe(8);
    expect((await opened(needsBytes - slack)).info.slots).toBe(7);
    expect(slotBytes).toBeGreaterThan(2 * slack);
  });

  test('that does not fit is refused with what it needs and what is free', async () => {
    await expect(opened(2 ** 20)).rejects.toMatchObject({
      outcome: 'load_failed',
      message: expect.stringMatching(/needs 0\.0\d GiB for its weights, and 0\.00 GiB of memory are free/),
    });
    await expect(opened(17 * 2 ** 20)).rejects.toMatchObject({
      outcome: 'load_failed',
      message: expect.stringMatching(/one slot of words\.gguf needs 0\.\d\d GiB beside its weights, and 0\.00 GiB/),
    });
  });

  test.runIf(process.platform === 'linux')('sees the GPUs of its worker, and none of its secrets', async () => {
    const engine = await opened(undefined, { CUDA_VISIBLE_DEVICES: 'GPU-7', CLUSTER_SECRET: 'of the pool' });
    const seen = readFileSync(`/proc/${engine.pid}/environ`, 'utf8').split('\0');
    expect(seen).toContain('CUDA_VISIBLE_DEVICES=GPU-7');
    expect(seen.filter((line) => line.includes('of the pool'))).toEqual([]);
    expect(engine.info.slots).toBe(8);
  });
});
