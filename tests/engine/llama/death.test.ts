// What kills an engine kills nothing else: requests are told, the worker goes on, no process stays behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EngineDied } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { LlamaEngine } from '../../../worker/engine/llama/open.ts';
import { aRequest, collect, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';
import type { ModelFolder } from './models.ts';

let folder: ModelFolder;
let words: string;
beforeAll(() => {
  folder = modelFolder();
  words = folder.random('words.gguf');
});
afterAll(() => folder[Symbol.dispose]());

const openEngine = llamaEngines({ env: process.env });
const opened = (path = words): Promise<LlamaEngine> => openEngine({ ...someOptions, path }, unaborted());

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function gone(pid: number): Promise<void> {
  while (lives(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('an engine process that is killed', () => {
  test.each([0, 7, 40])('gives EngineDied to every request, killed after %i ms', async (afterMs) => {
    const engine = await opened();
    const answers = ['ba', 'be', 'bi'].map((text) => collect(engine, aRequest(text)));
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    process.kill(engine.pid, 'SIGKILL');
    for (const answer of await Promise.allSettled(answers)) {
      expect(answer).toMatchObject({ status: 'rejected', reason: expect.any(EngineDied) });
    }
    expect(await engine.died).toBeInstanceOf(EngineDied);
    await expect(collect(engine, aRequest('bo'))).rejects.toBeInstanceOf(EngineDied);
    expect(lives(engine.pid)).toBe(false);
  });

  test('does not end at Ctrl-C or a service manager’s stop: the worker decides', async () => {
    const engine = await opened();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(engine.pid, signal);
    expect((await collect(engine, aRequest('ba', { maxTokens: 5 }))).end.finish).toBe('length');
    await engine[Symbol.asyncDispose]();
    expect(lives(engine.pid)).toBe(false);
  });

  test('is gone after an unload, and a request that still ran is told', async () => {
    const engine = await opened();
    const answer = collect(engine, aRequest('ba'));
    await new Promise((resolve) => setTimeout(resolve, 10));
    await engine[Symbol.asyncDispose]();
    await expect(answer).rejects.toBeInstanceOf(EngineDied);
    expect(lives(engine.pid)).toBe(false);
  });

  test('ends by itself when its worker is killed', async () => {
    const script = `
      const { llamaEngines } = await import(${JSON.stringify(join(import.meta.dirname, '../../../worker/engine/llama/open.ts'))});
      const engine = await llamaEngines({ env: process.env })(JSON.parse(process.argv[1]), new AbortController().signal);
      console.log(engine.pid);
      setInterval(() => {}, 1000);`;
    const options = JSON.stringify({ ...someOptions, path: words });
    const worker = spawn(process.execPath, ['--input-type=module', '-e', script, options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line]: unknown[] = await once(worker.stdout, 'data');
    const pid = Number(String(line));
    expect(lives(pid)).toBe(true);
    worker.kill('SIGKILL');
    await gone(pid);
    expect(lives(pid)).toBe(false);
  });
});

describe('a load that fails', () => {
  test('of a file that is not there names it', async () => {
    await expect(opened(folder.path('missing.gguf'))).rejects.toMatchObject({
      outcome: 'load_failed',
      message: expect.stringContaining('missing.gguf'),
    });
  });

  test.each([
    ['empty', () => Buffer.alloc(0)],
    ['no GGUF', () => Buffer.from('this is not a model, however long it may be'.repeat(100))],
    ['cut in the middle', (whole: Buffer) => whole.subarray(0, whole.length / 2)],
    ['cut in the header', (whole: Buffer) => whole.subarray(0, 2000)],
    [
      'with an absurd count',
      (whole: Buffer) => Buffer.concat([whole.subarray(0, 16), Buffer.alloc(8, 0xff), whole.subarray(24)]),
    ],
    // head_count = 0 ends llama.cpp's process by an assertion that nobody can catch.
    ['that ends its process', (whole: Buffer) => withValue(whole, 'llama.attention.head_count', 0)],
  ])('of a file %s is a refusal that says what to do', async (name, spoil) => {
    const path = folder.path(`${name}.gguf`);
    writeFileSync(path, spoil(readFileSync(words)));
    await expect(opened(path)).rejects.toMatchObject({
      outcome: 'load_failed',
      message: expect.stringMatching(/Check|check/),
    });
  });

  test('that is aborted ends with the signal’s reason and leaves no process', async () => {
    const abort = new AbortController();
    const opening = openEngine({ ...someOptions, path: words }, abort.signal);
    setTimeout(() => abort.abort(new Error('no longer wanted')), 60);
    await expect(opening).rejects.toThrow('no longer wanted');
  });

  test.skipIf(process.platform === 'darwin')('on a GPU that is not there never falls back to the CPU', async () => {
    await expect(openEngine({ ...someOptions, path: words, gpu: 'metal' }, unaborted())).rejects.toMatchObject({
      outcome: 'load_failed',
      message: expect.stringContaining('metal'),
    });
  });
});

/** Overwrites a 32-bit value behind its key in the header. */
function withValue(whole: Buffer, key: string, value: number): Buffer {
  const spoiled = Buffer.from(whole);
  spoiled.writeUInt32LE(value, spoiled.indexOf(key) + key.length + 4);
  return spoiled;
}
