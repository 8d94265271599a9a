// One question to a joined server on behalf of a client: what it needs, what ends it, and how long it may be silent.
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { NotStartedHere } from '../models/not-started.ts';
import { reasonOf } from '../reason.ts';
import type { Exchange, ServeKit } from '../serve.ts';
import { NotReached, complaintOf, textOf } from './client.ts';
import type { Client, Reply } from './client.ts';
import { refusalOf } from './failing.ts';
import type { Asked } from './passage.ts';
import type { Pulse } from './pulse.ts';
import type { Shelf } from './shelf.ts';

export interface RelayKit extends ServeKit {
  client: Client;
  shelf: Shelf;
  pulse: Pulse;
  /** Longest silence in an answer. */
  silenceMs: number;
}

/** A request of which the server is asked, and what ends it. */
export interface Sent extends Asked {
  exchange: Exchange;
  signal: AbortSignal;
  /** Asks the server. @throws NotStartedHere, Refusal, the signal's reason */
  ask: (path: string, body: JsonObject) => Promise<Reply>;
  /** Bytes of the answer have come. */
  heard: () => void;
}

/** @throws NotStartedHere when nothing can have run: the gateway takes the request back with its age */
export async function send(kit: RelayKit, path: string, body: JsonObject, signal: AbortSignal): Promise<Reply> {
  const { client, pulse } = kit;
  const reply = await client.open(path, body, signal).catch((error: unknown) => {
    if (signal.aborted) throw error;
    pulse.down(reasonOf(error));
    if (error instanceof NotReached) throw new NotStartedHere('busy');
    throw new Refusal('worker_failed', `the joined server broke off: ${reasonOf(error)}`);
  });
  if (reply.status === 200) return reply;
  const words = complaintOf(await textOf(reply.body).catch(() => ''), reply.status);
  throw refusalOf(pulse, reply.status, words);
}

/** An answer of any kind. What is put together for a client, or made of vectors, is held. */
const answerBytesMax = 256 * 1024 * 1024;

/** The same bytes, each a sign of life. @throws Refusal `worker_failed` when there is no end of them */
export async function* heard(body: AsyncIterable<Uint8Array>, sign: () => void): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    sign();
    bytes += chunk.length;
    if (bytes > answerBytesMax) {
      throw new Refusal('worker_failed', `the joined server's answer has more than ${answerBytesMax} bytes`);
    }
    yield chunk;
  }
}

interface Silence extends Disposable {
  /** Aborts with a Refusal when nothing was heard for as long as the bound. */
  signal: AbortSignal;
  heard: () => void;
}

export function boundSilence({ clock, pulse, silenceMs }: RelayKit): Silence {
  const late = new AbortController();
  let sinceMs = clock.monotonic();
  let timer: Disposable;
  /** One timer for many bytes: when it fires, it looks how long ago the last ones came. */
  const watch = (ms: number): void => {
    timer = clock.after(ms, () => {
      const restMs = silenceMs - (clock.monotonic() - sinceMs);
      if (restMs > 0) return watch(restMs);
      pulse.suspect();
      late.abort(new Refusal('worker_failed', `the joined server was silent for ${silenceMs / 1_000} s`));
    });
  };
  watch(silenceMs);
  return {
    signal: late.signal,
    heard() {
      sinceMs = clock.monotonic();
      pulse.sign();
    },
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  };
}
