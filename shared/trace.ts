// W3C trace context: who asked whom. Taken from the caller, one step further for whom we ask. Pure but for chance.
import type { IncomingHttpHeaders } from 'node:http';
import type { Random } from './random.ts';

/** Our step in a trace that the caller began. */
export interface Trace {
  traceId: string;
  /** Our own step. */
  spanId: string;
  /** The caller's. */
  parentId: string;
  /** Two hex digits; the last bit says that the trace is recorded. */
  flags: string;
  /** What other systems keep in the trace; `null` = nothing. */
  state: string | null;
}

/** Longest `tracestate` that is passed on, as the standard asks for at least. */
const stateCharsMax = 512;

/** `null` when the caller sent none, or none that is right: then nobody is misled. */
export function traceOf(headers: IncomingHttpHeaders, random: Random): Trace | null {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string') return null;
  // A later version may have more fields behind the known ones.
  const found = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(traceparent);
  const [, version, traceId = '', parentId = '', flags = '', more] = found ?? [];
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) return null;
  const kept = typeof tracestate === 'string' && tracestate.length <= stateCharsMax && /^[ -~]+$/.test(tracestate);
  return { traceId, spanId: random.id(), parentId, flags, state: kept ? tracestate : null };
}

/** The headers for whom we ask. */
export function traceHeaders(trace: Trace | null | undefined): Record<string, string> {
  if (!trace) return {};
  const { traceId, spanId, flags, state } = trace;
  return { traceparent: `00-${traceId}-${spanId}-${flags}`, ...(state !== null && { tracestate: state }) };
}

/** The fields of a log line. */
export function traceFields(trace: Trace | null | undefined): { trace?: string; span?: string; parent?: string } {
  return trace ? { trace: trace.traceId, span: trace.spanId, parent: trace.parentId } : {};
}
