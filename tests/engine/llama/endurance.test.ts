// Two thousand requests of every kind, many abandoned: each ends, and the engine's process does not grow. Prompts lose
// their slots all the time, so the prompt cache is at work. `npm run bench:memory` shows the figures.
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EngineRequest } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { LlamaEngine } from '../../../worker/engine/llama/open.ts';
import { aRawRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder, publicOnly } from './models.ts';

const folder = modelFolder();
const cache = folder.path('cache');
mkdirSync(cache);
let engine: LlamaEngine;
beforeAll(async () => {
  const path = folder.random('words.gguf');
  const promptCache = { folder: cache, bytesMax: 4 * 2 ** 20 };
  const open = llamaEngines({ env: process.env, publicOnly });
  engine = await open({ ...someOptions, path, slots: 8, promptCache }, unaborted());
});
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'] };

const requests = Number(process.env['REQUESTS'] ?? 2_000);

/** Long and short, of five scopes, every ninth with a schema. */
function aMixedRequest(index: number): EngineRequest {
  return aRawRequest(`${'ba be bi bo '.repeat(1 + (index % 9) * 3)}${index}`, {
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

test.runIf(process.platform === 'linux')('every request ends and the memory stays', { timeout: 600_000 }, async () => {
  const loaded = residentMiB();
  const endings = await askAll(0, 500);
  const before = residentMiB();
  endings.push(...(await askAll(500, requests)));
  const after = residentMiB();
  expect(endings).toHaveLength(requests);
  expect(endings.filter((ending) => ending === 'ended').length).toBeGreaterThan(requests * 0.85);
  expect(after - before).toBeLessThan(24);
  await engine[Symbol.asyncDispose]();
  expect(() => process.kill(engine.pid, 0)).toThrow('ESRCH');
  const cached = bytesIn(cache);
  expect(cached).toBeLessThanOrEqual(4 * 2 ** 20);
  if (process.env['FIGURES'] === undefined) return;
  const [first, middle, last] = [loaded, before, after].map((mib) => mib.toFixed(1));
  console.log(
    `resident, MiB: loaded ${first}, after 500 requests ${middle}, after ${requests} ${last}, unloaded 0 (no process)`,
  );
  console.log(`prompt cache, MiB: ${(cached / 2 ** 20).toFixed(1)} of 4.0`);
});

function bytesIn(path: string): number {
  const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
  return names
    .map((name) => statSync(join(path, name)))
    .reduce((sum, info) => sum + (info.isFile() ? info.size : 0), 0);
}
