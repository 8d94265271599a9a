// An engine opened and closed within bounds: one that hangs holds nobody up for ever.
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import { linked } from '../abort.ts';
import type { Engine } from '../engine/engine.ts';
import { reasonOf } from '../reason.ts';
import type { Entry } from './entry.ts';

/** Longest load before it counts as failed: Ollama's OLLAMA_LOAD_TIMEOUT. */
const loadMsMax = 300_000;
/** Longest wait for an engine to close, before the worker goes on without it. */
const closeMsMax = 10_000;

/** @throws what `open` throws; that it took too long; the signal's reason */
export async function openInTime(
  clock: Clock,
  closed: AbortSignal,
  open: (signal: AbortSignal) => Promise<Engine>,
): Promise<Engine> {
  const late = new AbortController();
  using _timer = clock.after(loadMsMax, () => late.abort(new Error(`it took more than ${loadMsMax / 1_000} s`)));
  using either = linked([late.signal, closed]);
  return await open(either.signal);
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
