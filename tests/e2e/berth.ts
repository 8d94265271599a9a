// Berth as its users start it: gateways, workers and `npm start` as processes of their own, ended by their pid.
import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { writeGguf } from '../models/gguf.ts';
import { scriptedModel } from '../models/scripted.ts';
import { gguf } from '../worker/gguf-file.ts';
import { eventually } from './eventually.ts';

export interface Berth extends AsyncDisposable {
  /** Origin that it listens on. */
  readonly url: string;
  readonly pid: number;
  /** What it wrote to its terminal so far, both streams together. */
  readonly output: string;
  readonly alive: boolean;
  /** How the process ended: an exit code, or a signal's name. */
  readonly ended: Promise<number | string>;
  kill(signal: NodeJS.Signals): void;
  /** Asks it to leave, and waits until it has. */
  stop(): Promise<void>;
}

export type Env = Record<string, string>;

export const root = resolve(import.meta.dirname, '../..');
export const demoPath = join(root, 'worker/models/demo/berth-demo.gguf');

/** Where processes that are given no folder of their own keep their state; in a test run it goes with that. */
const states = join(tmpdir(), `berth-states-${process.pid}`);
process.once('exit', () => rmSync(states, { recursive: true, force: true }));

/** Nothing of the caller's own settings: a developer's REDIS_URL or keys must not reach the processes of a test. */
export function cleanEnv(): Env {
  const kept = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'NODE_COMPILE_CACHE'].map((name) => [name, process.env[name]]);
  const given: Env = Object.fromEntries(kept.filter(([, value]) => value !== undefined));
  return { ...given, GPU: 'cpu', THREADS: '1', GATEWAY_PORT: '0', STATE_DIR: join(states, randomUUID()) };
}

export const startGateway = (env: Env): Promise<Berth> => startPart('gateway/start.mjs', env);

export const startWorker = (env: Env): Promise<Berth> => startPart('worker/start.mjs', env);

/** A gateway or a worker under a supervisor: this process, which hears over IPC where it listens. */
async function startPart(script: string, env: Env): Promise<Berth> {
  const child = fork(join(root, script), { env: { ...cleanEnv(), ...env }, execArgv: [], silent: true, cwd: root });
  const said = listenTo(child);
  const url = await new Promise<string>((ready, failed) => {
    child.once('message', (message: { url: string }) => ready(message.url));
    child.once('exit', (code, signal) => failed(new Error(`${script} ended (${signal ?? code}): ${said.text}`)));
  });
  return berthOf(child, url, said, (signal) => void child.kill(signal));
}

export interface Start {
  env?: Env;
  /** The command; `npm start` unless given. */
  command?: readonly [string, ...string[]];
  cwd?: string;
}

/** `npm start` in a process group of its own, as a terminal would make one. Settles when it says that it is ready. */
export async function startLocal(start: Start = {}): Promise<Berth> {
  const { child, said } = launch(start);
  const found = Promise.withResolvers<string>();
  said.onText = () => {
    const [, url] = /Berth is ready at (\S+)[\s\S]*Ctrl-C/.exec(said.text) ?? [];
    if (url !== undefined) found.resolve(url);
  };
  child.once('exit', (code, signal) => found.reject(new Error(`it ended (${signal ?? code}): ${said.text}`)));
  return berthOf(child, await found.promise, said, (signal) => signalGroup(child, signal));
}

/** `npm start` where it cannot start. @returns how it ended and what it said */
export async function startInVain(start: Start): Promise<{ code: number | string; output: string; pid: number }> {
  const { child, said } = launch(start);
  const code = await exitOf(child);
  return { code, output: said.text, pid: child.pid ?? 0 };
}

function launch({ env, command = [process.execPath, 'deploy/start.mjs'], cwd = root }: Start) {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    env: { ...cleanEnv(), ...env },
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return { child, said: listenTo(child) };
}

interface Said {
  text: string;
  onText: () => void;
}

/** Most characters that are kept: a process that says more than this in a test has gone wrong. */
const saidMax = 1_000_000;

function listenTo(child: ChildProcess): Said {
  const said: Said = { text: '', onText: () => undefined };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said.text = (said.text + text).slice(-saidMax);
      said.onText();
    });
  }
  return said;
}

async function exitOf(child: ChildProcess): Promise<number | string> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  return child.signalCode ?? child.exitCode ?? 'unknown';
}

/** Longest time that a stop may take; what runs in a test is short. */
const stopMs = 15_000;

function berthOf(child: ChildProcess, url: string, said: Said, kill: (signal: NodeJS.Signals) => void): Berth {
  const endWithUs = () => kill('SIGKILL');
  process.once('exit', endWithUs);
  const ended = exitOf(child).finally(() => process.off('exit', endWithUs));
  let killed = false;
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    kill('SIGCONT');
    kill('SIGTERM');
    const timer = setTimeout(() => kill('SIGKILL'), stopMs);
    await ended;
    clearTimeout(timer);
  };
  return {
    url,
    pid: child.pid ?? 0,
    get output() {
      return said.text;
    },
    get alive() {
      return !killed && child.exitCode === null && child.signalCode === null;
    },
    ended,
    kill(signal) {
      killed ||= signal === 'SIGKILL';
      kill(signal);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** To the launcher and everything that it started, as Ctrl-C in a terminal does. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

export interface Process {
  pid: number;
  parent: number;
  group: number;
  command: string;
}

/** Every process of this machine that can be looked at. */
export async function processes(): Promise<Process[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return (await Promise.all(pids.map(look))).flatMap((found) => found ?? []);
}

async function look(pid: string): Promise<Process | null> {
  const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  const [, state, parent, group] = /^\d+ \(.*\) (\S) (\d+) (\d+)/s.exec(await read('stat')) ?? [];
  const command = (await read('cmdline')).replaceAll('\0', ' ').trim();
  // A zombie has ended; only its parent has not looked yet.
  if (state === undefined || state === 'Z') return null;
  return { pid: Number(pid), parent: Number(parent), group: Number(group), command };
}

/** The processes of a group: a launcher's own, and all that it started. */
export async function groupOf(pid: number): Promise<Process[]> {
  return (await processes()).filter(({ group }) => group === pid);
}

/** The engine processes of a worker. */
export async function enginesOf(worker: number): Promise<Process[]> {
  return (await processes()).filter(({ parent, command }) => parent === worker && /engine/.test(command));
}

export interface Folder extends AsyncDisposable {
  path: string;
}

/** A folder of a test's own, which goes with it. */
export async function aFolder(): Promise<Folder> {
  const path = await mkdtemp(join(tmpdir(), 'berth-e2e-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** A folder with model files that only the echo engine can run. */
export async function echoModels(...names: string[]): Promise<Folder> {
  const folder = await aFolder();
  for (const name of names) await writeFile(join(folder.path, `${name}.gguf`), gguf());
  return folder;
}

/** What the long model says to everybody: a second of text and more, each word once. */
export const longText = Array.from({ length: 3_600 }, (_, index) => ` ${index}`).join('');

/** A folder with the model `long`, which the real engine runs. */
export async function longModel(): Promise<Folder> {
  const folder = await aFolder();
  const says = longText.split(/(?= )/);
  writeGguf(join(folder.path, 'long.gguf'), scriptedModel({ name: 'long', says }));
  return folder;
}

/** Waits until a gateway has so many workers that take requests. */
export async function workersReady(gateway: Berth, count: number): Promise<void> {
  await eventually(`${count} workers are ready`, async () => {
    const reply = await fetch(`${gateway.url}/health`);
    const { workers }: { workers: { state: string }[] } = JSON.parse(await reply.text());
    return workers.filter(({ state }) => state === 'ready').length === count;
  });
}

/**
 * Keeps all slots of the workers busy at once, so that each of them is told to load the model, and then lets go.
 * @returns who answered, of those answers that tell it: not those that waited for long
 */
export async function warmUp(url: string, workers: number, slots: number, model = 'm'): Promise<Set<string>> {
  const body = { model, prompt: '[[tokenDelayMs=20 repeat=10000]] busy ', stream: true };
  const off = new AbortController();
  const busy = Array.from({ length: workers * slots }, () =>
    fetch(`${url}/api/generate`, { method: 'POST', body: JSON.stringify(body), signal: off.signal }).then(
      ({ body: stream, headers }) => ({ stream, worker: headers.get('berth-worker') }),
    ),
  );
  const begun = await Promise.all(busy);
  off.abort();
  await Promise.all(begun.map(async ({ stream }) => stream?.cancel().catch(() => undefined)));
  const idle = async () => /^berth_slots\{.*state="held".*\} [1-9]/m.test(await (await fetch(`${url}/metrics`)).text());
  await eventually('the pool is idle', async () => !(await idle()));
  return new Set(begun.flatMap(({ worker }) => worker ?? []));
}
