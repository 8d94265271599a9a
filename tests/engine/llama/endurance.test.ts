// Two thousand requests of every kind, many abandoned: each ends, and the engine's process does not grow.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineRequest } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { LlamaEngine } from '../../../worker/engine/llama/open.ts';
import { aRawRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
let engine: LlamaEngine;
beforeAll(async () => {
  const path = folder.random('words.gguf');
  engine = await llamaEngines({ env: process.env })({ ...someOptions, path, slots: 8 }, unaborted());
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };

/** Long and short, of five scopes, every ninth with a schema. */
function aMixedRequest(index: number): EngineRequest {
  return aRawRequest(`${'ba be bi bo '.repeat(1 + (index % 9))}${index}`, {
    maxTokens: 1 + (index % 12),
    cacheScope: `scope ${index % 5}`,
    ...(index % 9 === 0 ? { format: { kind: 'schema', schema } } : {}),
  });
}

/** Every seventh is abandoned at some moment. */
async function ask(index: number): Promise<'ended' | 'abandoned'> {
  const gone = new AbortController();
  const timer = index % 7 === 0 ? setTimeout(() => gone.abort(new Error('gone')), index % 11) : undefined;
  try {
    await collect(engine, aMixedRequest(index), gone.signal);
    return 'ended';
  } catch (error) {
    if (!gone.signal.aborted) throw error;
    return 'abandoned';
  } finally {
    clearTimeout(timer);
  }
}

/** Ten clients that ask one after the other: two more than there are slots. */
async function askAll(from: number, to: number): Promise<string[]> {
  const indexes = Array.from({ length: to - from }, (_, index) => from + index).values();
  const endings: string[] = [];
  const client = async (): Promise<void> => {
    for (const index of indexes) endings.push(await ask(index));
  };
  await Promise.all(Array.from({ length: 10 }, client));
  return endings;
}

function residentMiB(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${engine.pid}/status`, 'utf8'))?.[1]) / 1024;
}

test.runIf(process.platform === 'linux')('every request ends and the memory stays', { timeout: 90_000 }, async () => {
  const endings = await askAll(0, 500);
  const before = residentMiB();
  endings.push(...(await askAll(500, 2000)));
  expect(endings).toHaveLength(2000);
  expect(endings.filter((ending) => ending === 'ended').length).toBeGreaterThan(1700);
  expect(residentMiB() - before).toBeLessThan(24);
});
