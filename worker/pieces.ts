// How long the pieces of an answer come after each other.
import type { Clock } from '@berth/shared/clock.ts';
import type { EngineEvent } from './engine/engine.ts';
import type { Metrics } from './metrics.ts';

interface Options {
  clock: Clock;
  metrics: Pick<Metrics, 'piece'>;
}

/** The same events; the time between two pieces is told to the metrics. */
export async function* timedPieces(
  { clock, metrics }: Options,
  model: string,
  events: AsyncIterable<EngineEvent>,
): AsyncGenerator<EngineEvent> {
  let beforeMs: number | null = null;
  for await (const event of events) {
    if (event.kind === 'text') {
      const nowMs = clock.monotonic();
      if (beforeMs !== null) metrics.piece(model, nowMs - beforeMs, event.tokens);
      beforeMs = nowMs;
    }
    yield event;
  }
}
