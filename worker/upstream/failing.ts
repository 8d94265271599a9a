// How a joined server says no, in whichever words, and what that means for the request and for the server.
import { isObject } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { NotStartedHere } from '../models/not-started.ts';
import { object, text } from './listed.ts';
import type { Pulse } from './pulse.ts';

type Judge = Pick<Pulse, 'down' | 'suspect'>;

/**
 * 1. The request is at fault: the server's words reach the client.
 * 2. The server takes nothing now, or not from us: nothing ran, and it is out of rotation.
 * 3. The server failed: it is asked whether it works, and the gateway may try elsewhere.
 */
export function refusalOf(pulse: Judge, status: number, words: string): Refusal | NotStartedHere {
  if (status === 413) return new Refusal('body_too_large', words); // 1
  if (status === 404) {
    pulse.suspect();
    return new Refusal('model_not_found', words, { param: 'model' });
  }
  if (status === 400 || status === 422 || status === 501) {
    return new Refusal(isTooLong(words) ? 'context_exceeded' : 'bad_request', words);
  }
  if (status === 401 || status === 403) {
    pulse.down(`it wants a key, or another one: set UPSTREAM_KEY (it says: ${words})`); // 2
    return new NotStartedHere('busy');
  }
  if (status === 429 || status === 503) {
    pulse.down(`it takes nothing: ${words}`);
    return new NotStartedHere('busy');
  }
  pulse.suspect(); // 3
  return new Refusal('worker_failed', `the joined server failed: ${words}`);
}

/** llama-server, vLLM and OpenAI each have a sentence of their own. */
function isTooLong(words: string): boolean {
  return /context (size|length|window)|maximum (context|model) length|max_model_len|input length .*exceed/i.test(words);
}

/** @throws Refusal `worker_failed` for an error, or for what no server of models says */
export function readFrame(pulse: Judge, frame: string): JsonObject {
  const value = parsed(frame);
  const problem = value === null ? 'it sends something that is not JSON' : errorIn(value);
  if (value !== null && problem === null) return value;
  pulse.suspect();
  throw new Refusal('worker_failed', `the joined server failed: ${problem}`);
}

export function parsed(frame: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(frame);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** The words of an error in mid-stream; `null` = it is none. Some of llama-server's have no field `error` around them. */
function errorIn(frame: JsonObject): string | null {
  const { error, message, code, choices } = frame;
  if (error !== undefined && error !== null)
    return text(object(error)['message']) || text(error) || JSON.stringify(error);
  return typeof message === 'string' && code !== undefined && choices === undefined ? message : null;
}
