// The peer: llama.cpp's own server, built from the very source that node-llama-cpp was built from.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoopFigures } from './loop.ts';

const root = join(import.meta.dirname, '../../..');
const cache = join(root, '.cache/llama-server');
const bundle = join(root, 'node_modules/node-llama-cpp/llama/gitRelease.bundle');
const binary = join(cache, 'build/bin/llama-server');
/** As node-llama-cpp's prebuilt binaries, where it matters: release, no OpenMP. Native, which helps the peer if anybody. */
const switches = [
  '-DCMAKE_BUILD_TYPE=Release',
  '-DGGML_NATIVE=ON',
  '-DGGML_OPENMP=OFF',
  '-DLLAMA_OPENSSL=OFF',
  '-DLLAMA_BUILD_IS_DEV=OFF',
  '-DLLAMA_BUILD_TESTS=OFF',
  '-DLLAMA_BUILD_EXAMPLES=OFF',
  '-DLLAMA_BUILD_UI=OFF',
  '-DLLAMA_USE_PREBUILT_UI=OFF',
];

const readyMsMax = 30_000;
/** The loop by itself does 240 steps, which the 150M model has done in 40 s. */
const loopMsMax = 120_000;

/** Whatever ends the run, an error or a signal included, ends its servers. */
const alive = new Set<ChildProcess>();
process.once('exit', () => alive.forEach((child) => child.kill('SIGKILL')));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));

/** Builds it once into `.cache`; on two cores that takes ten minutes. @throws Error that says what is missing */
export function buildPeer(): void {
  if (existsSync(binary)) return;
  console.log('building llama-server from the source that node-llama-cpp carries: about ten minutes, once');
  mkdirSync(cache, { recursive: true });
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { cwd: cache, stdio: 'inherit' });
  if (!existsSync(join(cache, 'source'))) run('git', 'clone', '--quiet', bundle, 'source');
  run('cmake', '-S', 'source', '-B', 'build', ...switches);
  run('cmake', '--build', 'build', '--target', 'llama-server', '--parallel');
}

export interface Server extends AsyncDisposable {
  port: number;
  pid: number;
}

/** @param slots each with a context of its own, as ours */
export async function startPeer(model: string, slots: number, contextTokens: number): Promise<Server> {
  const port = await freePort();
  const memory = ['-c', `${slots * contextTokens}`, '-np', `${slots}`, '--no-kv-unified', '--cache-ram', '0'];
  const args = ['-m', model, ...memory, '-t', '1', '-tb', '1', '--host', '127.0.0.1', '--port', `${port}`];
  const child = start(binary, [...args, '-fit', 'off', '--log-disable'], ['ignore', 'ignore', 'inherit']);
  await ready(port, () => child.exitCode !== null);
  return { port, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => ended(child) };
}

/** Ours, in a process of its own like the peer. */
export async function startOurs(model: string, slots: number, contextTokens: number, chunk: number): Promise<Server> {
  const args = [join(import.meta.dirname, 'ours.ts'), model, `${slots}`, `${contextTokens}`, `${chunk}`];
  const child = start(process.execPath, args, ['ignore', 'pipe', 'inherit']);
  const port = await new Promise<number>((resolve, reject) => {
    const failed = (): void => reject(new Error('our engine did not start'));
    child.stdout?.once('data', (text) => resolve(Number(String(text))));
    child.once('exit', failed);
    setTimeout(failed, readyMsMax).unref();
  });
  return { port, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => ended(child) };
}

/** The loop alone, in a process of its own whose pipe is read and forgotten. */
export function measureLoop(model: string, contextTokens: number): LoopFigures {
  const args = [join(import.meta.dirname, 'loop.ts'), model, `${contextTokens}`];
  const { stdout } = spawnSync(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
    encoding: 'utf8',
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' }, // as the worker starts an engine on a CPU
    timeout: loopMsMax,
    killSignal: 'SIGKILL',
    maxBuffer: 2 ** 26,
  });
  if (stdout === '') throw new Error(`it told nothing within ${loopMsMax / 1000} s`);
  return JSON.parse(stdout) as LoopFigures;
}

function start(program: string, args: readonly string[], stdio: StdioOptions): ChildProcess {
  const child = spawn(program, args, { stdio });
  alive.add(child);
  child.once('exit', () => alive.delete(child));
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await exit;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ready(port: number, failed: () => boolean): Promise<void> {
  for (const until = performance.now() + readyMsMax; ;) {
    if (failed() || performance.now() > until) throw new Error('llama-server did not start');
    const reply = await fetch(`http://127.0.0.1:${port}/health`).catch(() => null);
    if (reply?.ok) return;
    await sleep(50);
  }
}
