// An engine opened and closed within bounds: one that hangs holds nobody up for ever.
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import { linked } from '../abort.ts';
import type { Engine } from '../engine/engine.ts';
import { reasonOf } from '../reason.ts';
import type { Entry } from './entry.ts';

/** Longest time in which a load makes no progress before it counts as failed: Ollama's OLLAMA_LOAD_TIMEOUT. */
const stallMsMax = 300_000;
/** Longest load that makes progress. */
const loadMsMax = 3_600_000;
/** Longest wait for an engine to close, before the worker goes on without it. */
const closeMsMax = 10_000;

/** @throws what `open` throws; that it took too long; the signal's reason */
export async function openInTime(
  clock: Clock,
  closed: AbortSignal,
  open: (signal: AbortSignal, onProgress: () => void) => Promise<Engine>,
): Promise<Engine> {
  const late = new AbortController();
  const end = (ms: number, what: string) =>
    clock.after(ms, () =>
      late.abort(new Error(`it ${what} ${ms / 1_000} s: its disk is too slow, or the file damaged`)),
    );
  let stalled = end(stallMsMax, 'made no progress for');
  using _timer = end(loadMsMax, 'took more than');
  using either = linked([late.signal, closed]);
  const goesOn = (): void => {
    stalled[Symbol.dispose]();
    stalled = end(stallMsMax, 'made no progress for');
  };
  try {
    return await open(either.signal, goesOn);
  } finally {
    stalled[Symbol.dispose]();
  }
}

/** Never rejects. */
export async function closeInTime(clock: Clock, log: Log, { engine, model }: Entry): Promise<void> {
  const late = Promise.withResolvers<'late'>();
  using _timer = clock.after(closeMsMax, () => late.resolve('late'));
  try {
    const end = await Promise.race([engine?.[Symbol.asyncDispose](), late.promise]);
    if (end === 'late') log.error('an engine does not close', { model: model.name });
  } catch (error) {
    log.error('an engine closed with an error', { model: model.name, reason: reasonOf(error) });
  }
}
