// The process of an engine: how it is started, and how it says why it ended.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { EngineDied } from '../engine.ts';
import type { EngineOptions } from '../engine.ts';

/** Everything else (keys, addresses of the cluster) is none of a native library's business. */
const envNames =
  'PATH HOME TMPDIR LANG LC_ALL NODE_COMPILE_CACHE LD_LIBRARY_PATH XDG_CACHE_HOME CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_CACHE_PATH CUDA_HOME NVIDIA_VISIBLE_DEVICES GGML_VK_VISIBLE_DEVICES VK_ICD_FILENAMES'.split(
    ' ',
  );

/**
 * glibc asks Linux for large pages (`MADV_HUGEPAGE`) for what is allocated, from 2.35 on; elsewhere it says nothing. A
 * processor reads a model's weights once for each token, and in pages of 4 KiB looks most of them up in vain.
 */
const largePages = { GLIBC_TUNABLES: 'glibc.malloc.hugetlb=1' };

/** Bytes of the process's last words that are kept for the message about its death. */
const lastWordsMax = 2048;

/** @param env of the worker */
export function startProcess(env: Readonly<Record<string, string | undefined>>, options: EngineOptions): ChildProcess {
  const known = envNames.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]));
  return spawn(process.execPath, [join(import.meta.dirname, 'child.ts')], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: {
      ...Object.fromEntries(known),
      ...(options.devices !== undefined && { CUDA_VISIBLE_DEVICES: options.devices }),
      UV_THREADPOOL_SIZE: String(nativeThreads(options)),
      ...(options.gpu === false && largePages),
    },
  });
}

/**
 * On a CPU, whose processors are the model's, one: it goes from a batch to its samples by itself. Beside a GPU rows are
 * sampled at once on as many threads as there are processors; more only wake each other up.
 */
function nativeThreads({ gpu, slots }: EngineOptions): number {
  return gpu === false ? 1 : Math.min(slots, availableParallelism()) + 1;
}

/** Resolves when the process has ended, with the reason. */
export async function exitOf(child: ChildProcess, pipe: Socket, model: string): Promise<EngineDied> {
  const words = lastWords(child);
  pipe.on('error', () => pipe.destroy());
  const ended = Promise.withResolvers<string>();
  child.once('error', (error) => ended.resolve(`could not be started: ${error.message}`));
  child.once('exit', (code, signal) =>
    ended.resolve(signal === null ? `ended with code ${code}` : `ended by ${signal}`),
  );
  const how = await ended.promise;
  pipe.destroy();
  const said = words();
  return new EngineDied(`the engine process of ${model} ${how}${said === '' ? '' : `: ${said}`}`);
}

/** Of what the process wrote to its terminal, the line that says why it ended, or else the last. */
function lastWords(child: ChildProcess): () => string {
  let tail = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8');
    stream?.on('data', (text: string) => (tail = (tail + text).slice(-lastWordsMax)));
  }
  return () => {
    const lines = tail.split('\n').map((line) => line.trim());
    return (
      lines.findLast((line) => /GGML_ASSERT|GGML_ABORT|Error:/.test(line)) ??
      lines.findLast((line) => line !== '') ??
      ''
    );
  };
}
