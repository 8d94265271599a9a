// A child process that is kept running: started, asked to be ready, started again after a crash, told to leave.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

export interface Ready {
  ready: true;
  url: string;
  key?: string;
  keyPath?: string;
}

export interface Child {
  /** The first word of the process; rejects when it ends before it is ready. */
  readonly ready: Promise<Ready>;
  /** Sends SIGTERM and waits until the process has ended. */
  stop(): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

interface Options {
  name: string;
  /** Absolute path of its launcher. */
  script: string;
  env: Record<string, string | undefined>;
  /** Options of Node itself. */
  execArgv?: string[];
  say: (line: string) => void;
}

/** Pause before a restart: doubles with each crash up to the bound, and starts anew after a quiet minute. */
const pauseMs = { first: 500, most: 30_000, quiet: 60_000 };

export function keepRunning({ name, script, env, execArgv = [], say }: Options): Child {
  const { promise: ready, resolve, reject } = Promise.withResolvers<Ready>();
  let child: ChildProcess;
  let stopping = false;
  let wasReady = false;
  let waitMs = pauseMs.first;
  let timer: NodeJS.Timeout | undefined;
  // Its own port and id stay the same over a restart, so that the others find it again.
  let kept: Record<string, string> = {};

  const start = () => {
    const startedMs = performance.now();
    child = fork(script, { env: { ...env, ...kept }, execArgv });
    child.on('message', (message: Ready) => {
      if (!message.ready) return;
      wasReady = true;
      if (env['GATEWAY_PORT'] === '0') kept = { GATEWAY_PORT: new URL(message.url).port };
      resolve(message);
    });
    const ended = (how: string) => {
      if (stopping) return;
      if (!wasReady) return reject(new Error(`${name} did not start (${how})`));
      if (performance.now() - startedMs > pauseMs.quiet) waitMs = pauseMs.first;
      say(`${name} ended (${how}); it is started again in ${waitMs / 1_000} s`);
      timer = setTimeout(start, waitMs);
      waitMs = Math.min(waitMs * 2, pauseMs.most);
    };
    child.on('exit', (code, signal) => ended(signal ?? `exit code ${code}`));
    // The system could not make a process: too many of them, or no memory. Then there is no exit either.
    child.on('error', (error) => child.pid === undefined && ended(error.message));
  };
  start();

  return {
    ready,
    async stop() {
      stopping = true;
      clearTimeout(timer);
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
    },
    kill() {
      stopping = true;
      clearTimeout(timer);
      child.kill('SIGKILL');
    },
  };
}
