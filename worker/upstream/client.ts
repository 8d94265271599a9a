// The wire to a joined server: one connection for each request, and errors that say whether anything can have run.
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import type { Clock } from '@berth/shared/clock.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { linked } from '../abort.ts';
import { reasonOf } from '../reason.ts';

/** The connection was never made: nothing can have run. */
export class NotReached extends Error {
  override readonly name = 'NotReached';
}

/** It answered, but not as a server of models does. The message says what to do. */
export class WrongServer extends Error {
  override readonly name = 'WrongServer';
}

export interface Reply {
  status: number;
  /** Seconds after which it wants to be asked again; `null` = it did not say. */
  retryAfterS: number | null;
  body: AsyncIterable<Uint8Array>;
}

export interface Client {
  /** A bounded question of our own, answered with JSON. @throws NotReached, WrongServer, `Answered` for a status of 400 and above */
  ask(path: string, question?: Question): Promise<unknown>;
  /** A request of a client. @throws NotReached; the signal's reason; any other error when the connection broke */
  open(path: string, body: JsonObject, signal: AbortSignal): Promise<Reply>;
  close(): Promise<void>;
}

interface Question {
  /** Left out = GET. */
  body?: JsonObject;
  withinMs?: number;
  signal?: AbortSignal;
}

/** The server said no to a question of ours. */
export class Answered extends Error {
  override readonly name = 'Answered';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const connectMs = 2_000;
const askMs = 10_000;
/** An answer to a question of ours, and an error's body. */
const answerBytesMax = 8 * 1024 * 1024;

/**
 * @param origin scheme, host and path of the server, without a slash at the end
 * @param key what it wants as a bearer token; `null` = nothing
 */
export function createClient(origin: string, key: string | null, clock: Clock): Client {
  const { origin: host, pathname } = new URL(origin);
  const base = pathname.replace(/\/+$/, '');
  // No connection is used twice: one that the server closes just then could not be told from a death in mid-request.
  const agent = new Agent({
    connect: { timeout: connectMs },
    connections: null,
    pipelining: 0,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const credentials = key === null ? {} : { authorization: `Bearer ${key}` };
  const send = async (
    path: string,
    body: JsonObject | undefined,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> =>
    await agent
      .request({
        origin: host,
        path: `${base}${path}`,
        method: body === undefined ? 'GET' : 'POST',
        headers: { accept: '*/*', ...credentials, ...(body && { 'content-type': 'application/json' }) },
        body: body === undefined ? null : JSON.stringify(body),
        signal,
      })
      .catch((error: unknown) => {
        signal.throwIfAborted();
        throw wasNeverMade(error) ? new NotReached(`${origin} cannot be reached: ${reasonOf(error)}`) : error;
      });

  return {
    async ask(path, { body, withinMs = askMs, signal } = {}) {
      const late = new AbortController();
      using _timer = clock.after(withinMs, () => late.abort());
      using bound = linked([late.signal, ...(signal ? [signal] : [])]);
      try {
        const reply = await send(path, body, bound.signal);
        const text = await textOf(reply.body);
        if (reply.statusCode >= 400) throw new Answered(reply.statusCode, complaintOf(text, reply.statusCode));
        return jsonOf(text, `${origin}${path}`);
      } catch (error) {
        if (late.signal.aborted)
          throw new Error(`${origin}${path} did not answer within ${withinMs / 1_000} s`, { cause: error });
        throw error;
      }
    },
    async open(path, body, signal) {
      const { statusCode: status, headers, body: stream } = await send(path, body, signal);
      const after = Number(headers['retry-after']);
      return { status, retryAfterS: after > 0 ? after : null, body: stream };
    },
    close: () => agent.destroy(),
  };
}

/** Codes of errors that come before the first byte has left. */
const unmade = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'UND_ERR_CONNECT_TIMEOUT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_HAS_EXPIRED',
]);

function wasNeverMade(error: unknown): boolean {
  const codes = [error, ...(error instanceof AggregateError ? (error.errors as unknown[]) : [])];
  return codes.some((each) => each instanceof Error && 'code' in each && unmade.has(String(each.code)));
}

/** @throws Error when it is larger than an answer may be */
export async function textOf(body: AsyncIterable<Uint8Array>, bytesMax = answerBytesMax): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new Error(`the server's answer has more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function jsonOf(text: string, url: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const what = /^\s*</.test(text) ? 'a web page' : 'something that is not JSON';
    throw new WrongServer(`${url} answers with ${what}: is UPSTREAM the address and port of the model server itself?`);
  }
}

/** Most characters of a server's own words that are repeated. */
const wordsMax = 500;

/** What a server says in an error, in whichever form: OpenAI's, Ollama's, FastAPI's, or none. */
export function complaintOf(text: string, status: number): string {
  const words = wordsOf(text);
  return (words === '' ? `status ${status}` : words).slice(0, wordsMax);
}

function wordsOf(text: string): string {
  try {
    const body: unknown = JSON.parse(text);
    if (!isObject(body)) return '';
    const { error, message, detail } = body;
    for (const words of [isObject(error) ? error['message'] : error, message, detail]) {
      if (typeof words === 'string') return words;
      if (words !== undefined && words !== null) return JSON.stringify(words);
    }
    return '';
  } catch {
    return /^\s*</.test(text) ? 'it answered with a web page' : text.trim();
  }
}
