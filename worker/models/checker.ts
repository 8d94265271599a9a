// Has model files checked in a process of its own, one after the other; a process that dies of one is replaced.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Clock } from '@berth/shared/clock.ts';
import { BadGguf } from './gguf-input.ts';
import type { GgufHeader } from './gguf.ts';

/** @throws BadGguf for a file that cannot be a model, or an Error when it cannot be read */
export type CheckFile = (path: string) => Promise<GgufHeader>;

export type CheckReply = { kind: 'good'; header: GgufHeader } | { kind: 'bad' | 'failed'; message: string };

export interface Checker extends Disposable {
  readonly check: CheckFile;
}

export interface CheckerOptions {
  clock: Clock;
  /** Stands in for the process's script: for tests of what kills it. */
  script?: string;
}

/** The largest header that is read at all, from a slow disk or over a network. */
const fileMsMax = 30_000;
/** Between the scans there is nothing to check, and a process costs 40 MB. */
const idleMs = 2_000;
/** A header of the largest size fits in many times. */
const heapMiB = 256;

export function createChecker({
  clock,
  script = join(import.meta.dirname, 'checker-child.ts'),
}: CheckerOptions): Checker {
  let child: ChildProcess | null = null;
  let idle: Disposable | null = null;
  let last: Promise<unknown> = Promise.resolve();

  const stop = (): void => {
    child?.kill('SIGKILL');
    child = null;
  };
  const start = (): ChildProcess =>
    fork(script, {
      env: {},
      execArgv: [`--max-old-space-size=${heapMiB}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });

  const ask = async (path: string): Promise<GgufHeader> => {
    idle?.[Symbol.dispose]();
    child ??= start();
    try {
      return headerOf(await answerOf(child, path, clock));
    } catch (error) {
      if (!(error instanceof BadGguf)) stop(); // it may hang, or be in pieces
      throw error;
    } finally {
      idle = clock.after(idleMs, stop);
    }
  };
  return {
    check: (path) => {
      const answer = last.then(() => ask(path));
      last = answer.catch(() => undefined);
      return answer;
    },
    [Symbol.dispose]: () => {
      idle?.[Symbol.dispose]();
      stop();
    },
  };
}

function headerOf(reply: CheckReply): GgufHeader {
  if (reply.kind === 'good') return reply.header;
  throw reply.kind === 'bad' ? new BadGguf(reply.message) : new Error(reply.message);
}

/** @throws Error when the file ends the process or takes too long */
async function answerOf(child: ChildProcess, path: string, clock: Clock): Promise<CheckReply> {
  const answer = Promise.withResolvers<CheckReply>();
  const died = (code: number | null, signal: string | null): void =>
    answer.reject(new Error(`the process that checked it ended (${signal ?? `code ${code}`}): the file is damaged`));
  const failed = (error: Error): void => answer.reject(error);
  using _late = clock.after(fileMsMax, () =>
    answer.reject(
      new Error(`checking it took more than ${fileMsMax / 1_000} s: the file is damaged, or its disk too slow`),
    ),
  );
  child.once('message', answer.resolve).once('exit', died).once('error', failed);
  try {
    child.send(path, (error) => error && failed(error));
    return await answer.promise;
  } finally {
    child.off('message', answer.resolve).off('exit', died).off('error', failed);
  }
}
