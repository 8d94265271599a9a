// One writer for a file that several workers of a machine may want: a lock beside it, whose holder shows that it lives.
import { rm, stat, utimes, writeFile } from 'node:fs/promises';
import type { Clock } from '@berth/shared/clock.ts';

const beatMs = 5_000;
/** A holder that was silent for so long has died. */
const staleMs = 30_000;
const lookEveryMs = 500;

/** Settles when the clock has gone on by so much. @throws the signal's reason */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => {
      timer[Symbol.dispose]();
      reject(signal.reason as Error);
    };
    const timer = clock.after(ms, () => {
      signal.removeEventListener('abort', gone);
      resolve();
    });
    signal.addEventListener('abort', gone, { once: true });
    if (signal.aborted) gone();
  });
}

/**
 * Waits until the lock is ours; disposing gives it back.
 * @param isDone another one has made the file meanwhile
 * @returns `null` = it is done
 * @throws the signal's reason; the system's error
 */
export async function locked(
  path: string,
  clock: Clock,
  isDone: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<AsyncDisposable | null> {
  while (!(await isDone())) {
    signal.throwIfAborted();
    const isOurs = await writeFile(path, '', { flag: 'wx' }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST') return false;
        throw error;
      },
    );
    if (isOurs) return holding(path, clock);
    const sinceMs = await stat(path).then(
      ({ mtimeMs }) => clock.now() - mtimeMs,
      () => 0,
    );
    if (sinceMs > staleMs) await rm(path, { force: true });
    else await pause(clock, lookEveryMs, signal);
  }
  return null;
}

function holding(path: string, clock: Clock): AsyncDisposable {
  const show = (): void => {
    const nowS = clock.now() / 1_000;
    utimes(path, nowS, nowS).catch(() => undefined); // it is told apart from a dead one by the next
    timer = clock.after(beatMs, show);
  };
  let timer: Disposable = clock.after(0, show);
  return {
    async [Symbol.asyncDispose]() {
      timer[Symbol.dispose]();
      await rm(path, { force: true });
    },
  };
}
