// Has model files checked in a process of its own, one after the other; a process that dies of one is replaced.
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { BadGguf } from './gguf-input.ts';
import type { GgufHeader } from './gguf.ts';

/** @throws BadGguf for a file that cannot be a model, or an Error when it cannot be read */
export type CheckFile = (path: string) => Promise<GgufHeader>;

/** A file whose header is wanted, or all that it says. */
export type CheckTask = string | { factsOf: string };

export type CheckReply =
  | { kind: 'good'; header: GgufHeader }
  | { kind: 'facts'; json: string }
  | { kind: 'bad' | 'failed'; message: string };

export interface Checker extends Disposable {
  readonly check: CheckFile;
  /** All that a file says, long arrays too, as JSON: megabytes, made anew at each call. @throws as `check`; Refusal `queue_full` */
  readonly wholeFacts: (path: string) => Promise<string>;
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
/** Each takes megabytes, and the checks of new files wait behind them. */
const wholeMax = 4;
/** A header of the largest size fits in many times. */
const heapMiB = 256;

export function createChecker({
  clock,
  script = join(import.meta.dirname, 'checker-child.ts'),
}: CheckerOptions): Checker {
  let child: ChildProcess | null = null;
  let idle: Disposable | null = null;
  let last: Promise<unknown> = Promise.resolve();
  let wholeNow = 0;

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

  const ask = async <T>(task: CheckTask, read: (reply: CheckReply) => T): Promise<T> => {
    idle?.[Symbol.dispose]();
    child ??= start();
    try {
      return read(await answerOf(child, task, clock));
    } catch (error) {
      if (!(error instanceof BadGguf)) stop(); // it may hang, or be in pieces
      throw error;
    } finally {
      idle = clock.after(idleMs, stop);
    }
  };
  const inTurn = <T>(task: CheckTask, read: (reply: CheckReply) => T): Promise<T> => {
    const answer = last.then(() => ask(task, read));
    last = answer.catch(() => undefined);
    return answer;
  };
  return {
    check: (path) => inTurn(path, headerOf),
    wholeFacts: async (path) => {
      if (wholeNow >= wholeMax) throw new Refusal('queue_full', 'too many ask for all of a model: ask again');
      wholeNow += 1;
      return await inTurn({ factsOf: path }, factsOf).finally(() => (wholeNow -= 1));
    },
    [Symbol.dispose]: () => {
      idle?.[Symbol.dispose]();
      stop();
    },
  };
}

function headerOf(reply: CheckReply): GgufHeader {
  if (reply.kind === 'good') return reply.header;
  throw failureOf(reply);
}

function factsOf(reply: CheckReply): string {
  if (reply.kind === 'facts') return reply.json;
  throw failureOf(reply);
}

function failureOf(reply: CheckReply): Error {
  if (reply.kind === 'bad') return new BadGguf(reply.message);
  return new Error(reply.kind === 'failed' ? reply.message : 'the process that checks files answered something else');
}

/** @throws Error when the file ends the process or takes too long */
async function answerOf(child: ChildProcess, task: CheckTask, clock: Clock): Promise<CheckReply> {
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
    child.send(task, (error) => error && failed(error));
    return await answer.promise;
  } finally {
    child.off('message', answer.resolve).off('exit', died).off('error', failed);
  }
}
