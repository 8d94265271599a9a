// Anthropic's dialect: what errors and waiting look like. No request of it is answered yet, but each is refused in it.
import type { Refusal } from '../outcome.ts';
import { type Dialect, statusOf } from './dialect.ts';
import { type JsonObject, lineJson } from './json.ts';

export const anthropic: Dialect = {
  name: 'anthropic',
  streamHeaders: {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
    'x-accel-buffering': 'no',
  },
  errorBody: (refusal, requestId) => lineJson(errorOf(refusal, requestId)),
  errorFrame: (refusal, requestId) => `event: error\ndata: ${lineJson(errorOf(refusal, requestId))}\n\n`,
  waitFrame: () => 'event: ping\ndata: {"type":"ping"}\n\n',
};

function errorOf(refusal: Refusal, requestId: string): JsonObject {
  const type = typeOfStatus[statusOf(refusal, 'anthropic')] ?? 'api_error';
  return { type: 'error', error: { type, message: refusal.message }, request_id: requestId };
}

/** Anthropic's clients choose their class of error by the status, and show this word. */
const typeOfStatus: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  405: 'invalid_request_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};
