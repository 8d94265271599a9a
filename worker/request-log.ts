// What the worker's log says of a request, under the ids of the client, the ledger and the trace.
import type { IncomingHttpHeaders } from 'node:http';
import type { Call } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import { traceFields, traceOf } from '@berth/shared/trace.ts';

/** The id that the client was told; `null` when it does not look like one of a gateway's. */
export function requestIdOf(headers: IncomingHttpHeaders): string | null {
  const id = headers['x-request-id'];
  return typeof id === 'string' && /^[\w-]{1,64}$/.test(id) ? id : null;
}

/** The gateway's log has one line per request already, so this is for `debug`. */
export function noteRequest(
  { log, clock, random }: { log: Log; clock: Clock; random: Random },
  { lease, model }: Call,
  headers: IncomingHttpHeaders,
  outcome: Outcome,
  acceptedMs: number,
): void {
  const totalMs = Math.round(clock.monotonic() - acceptedMs);
  const ids = { request: requestIdOf(headers), lease, ...traceFields(traceOf(headers, random)) };
  log.debug('request', { outcome, model, totalMs, ...ids });
}
