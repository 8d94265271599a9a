// What a dialect is to the process that answers in it, and what every dialect's refusals have in common.
import { type DialectName, Refusal, refusals } from '../outcome.ts';
import type { Generation } from '../request.ts';

export interface WaitContext {
  /** The model's name as the client wrote it. */
  model: string;
  /** Estimated place in the queue, 1 = next; `null` = unknown. */
  place: number | null;
  /** Half of all who stand there wait no longer than this, ms; `null` = unknown. */
  expectedMs: number | null;
  nowMs: number;
  /** Left out, the frame suits every endpoint of the dialect. */
  endpoint?: Generation['endpoint'];
}

export interface Dialect {
  readonly name: DialectName;
  /** The body of an error reply; its content type is always `application/json`. */
  errorBody(refusal: Refusal, requestId: string): string;
  /** A frame that reports an error in the middle of a stream; after it the socket is destroyed, never ended. */
  errorFrame(refusal: Refusal, requestId: string): string;
  /** Head of a streamed reply: content type and cache headers. */
  readonly streamHeaders: Readonly<Record<string, string>>;
  /** A frame that tells a waiting client that it still waits, harmless to every client. */
  waitFrame(context: WaitContext): string;
}

/** A wait for a person to read: whole seconds, at least one. */
export function secondsOf(ms: number): number {
  return Math.max(1, Math.round(ms / 1_000));
}

export function statusOf(refusal: Refusal, dialect: DialectName): number {
  return refusals[refusal.outcome][dialect];
}

/** LangChain gives up at once without Retry-After, and others ignore 60 s and more (measured with the clients). */
const retryAfterMinS = 1;
const retryAfterMaxS = 30;
const retryAfterUnknownS = 2;

/** Endings that no repetition mends. The others (a slow body, a dead worker, a bug) are left to the client. */
const hopeless: ReadonlySet<Refusal['outcome']> = new Set([
  'bad_request',
  'context_exceeded',
  'unauthorized',
  'forbidden',
  'key_not_found',
  'misdirected',
  'budget_spent',
  'route_not_found',
  'model_not_found',
  'method_not_allowed',
  'body_too_large',
  'load_failed',
  'cancelled',
] as const);

/** Headers that tell a client whether and when to try again. Jitter is the caller's, in `retryAfterS`. */
export function headersOf(refusal: Refusal): Record<string, string> {
  if (hopeless.has(refusal.outcome)) return { 'x-should-retry': 'false' };
  if (!refusals[refusal.outcome].retryable) return {};
  const wantedS = refusal.retryAfterS ?? retryAfterUnknownS;
  const seconds = Math.min(retryAfterMaxS, Math.max(retryAfterMinS, wantedS));
  return { 'retry-after': String(Math.ceil(seconds)), 'retry-after-ms': String(Math.round(seconds * 1000)) };
}

/**
 * In Ollama's words, which its clients compare.
 * @param model the name as the client wrote it, already checked
 * @param meant the model that this name stands for, if it is another
 */
export function modelNotFound(model: string, meant?: string): Refusal {
  const why = meant === undefined ? '' : `: it stands for '${meant}', which no worker has`;
  return new Refusal('model_not_found', `model '${model}' not found${why}`, { param: 'model' });
}
