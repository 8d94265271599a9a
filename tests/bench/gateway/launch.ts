// Processes of the benchmark: each pinned to a processor, each ended by its pid, none outlives this one.
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** The gateway under test has this processor for itself; everything else shares the other. */
export const gatewayCpu = 0;
export const harnessCpu = 1;

/** Pins a process to a processor; from util-linux. */
export const pinProgram = 'taskset';

const readyMsMax = 15_000;
const endMsMax = 5_000;

export interface Launched extends AsyncDisposable {
  readonly pid: number;
  readonly child: ChildProcess;
  /** The first message of a Node program, which says that it is ready. */
  readonly said: Record<string, unknown>;
}

export interface Launch {
  program: string;
  args: readonly string[];
  cpu: number;
  env?: NodeJS.ProcessEnv;
  /** A file descriptor for what the program writes; nowhere unless given. */
  output?: number;
  /** How it tells that it is ready: a message over IPC, or that it listens on a port. */
  ready: 'message' | { port: number };
}

const running = new Set<ChildProcess>();

/** For the end of this process, whatever its reason. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

/** Pins this process, and with it whatever it starts without saying otherwise. */
export function pinSelf(): void {
  execFileSync(pinProgram, ['-apc', String(harnessCpu), String(process.pid)], { stdio: 'ignore' });
}

/** @throws Error with the program's name when it does not become ready */
export async function launch({ program, args, cpu, env, output, ready }: Launch): Promise<Launched> {
  const out = output ?? 'ignore';
  const stdio: StdioOptions = ready === 'message' ? ['ignore', out, 'inherit', 'ipc'] : ['ignore', out, 'inherit'];
  const child = spawn(pinProgram, ['-c', String(cpu), program, ...args], { env: env ?? process.env, stdio });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const end = () => stop(child);
  try {
    const said = ready === 'message' ? await message(child, program) : await listening(child, program, ready.port);
    return { pid: child.pid ?? 0, child, said, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}

async function message(child: ChildProcess, program: string): Promise<Record<string, unknown>> {
  const signal = AbortSignal.timeout(readyMsMax);
  const ended = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`${program} ended before it was ready (${String(code)})`);
  });
  const [said] = (await Promise.race([once(child, 'message', { signal }), ended])) as [Record<string, unknown>];
  ended.catch(() => {});
  return said;
}

async function listening(child: ChildProcess, program: string, port: number): Promise<Record<string, never>> {
  const lastMs = performance.now() + readyMsMax;
  while (performance.now() < lastMs && child.exitCode === null) {
    const socket = connect(port, '127.0.0.1');
    const there = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (there) return {};
    await sleep(50);
  }
  throw new Error(`${program} does not listen on port ${port}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), endMsMax);
  await exited;
  clearTimeout(timer);
}

/** A port that was free a moment ago, for programs that cannot choose one and tell. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
