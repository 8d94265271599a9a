// From a seat to the client: one signed request to the worker, its bytes passed on, its settlement read.
import { decodeNotStarted, nobody, signCall } from '@berth/shared/auth.ts';
import type { Call } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import {
  clientHeaders,
  decodeStarted,
  notStartedHeader,
  refusalHeader,
  slotHeader,
  startedHeader,
} from '@berth/shared/headers.ts';
import type { Started } from '@berth/shared/headers.ts';
import { Refusal, decodeRefusal } from '@berth/shared/outcome.ts';
import { decodeSettlement, settlementTrailer } from '@berth/shared/settlement.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { traceHeaders } from '@berth/shared/trace.ts';
import { Agent } from 'undici';
import type { Dispatcher } from 'undici';
import type { Job } from './job.ts';
import type { Seat } from './place.ts';
import type { Reply } from './reply.ts';

/**
 * How a try on a worker ended. `busy`: nothing started, and the worker is not to blame. `broken`: it failed before the
 * first byte of an answer, and `died` when it was the engine's process; after the first byte there is no ending,
 * `forward` throws.
 */
type Ending =
  | { kind: 'settled'; settlement: Settlement }
  | { kind: 'busy' }
  | { kind: 'broken'; mayHaveStarted: boolean; died: boolean; why: string };

/** @throws Refusal when the worker refused or the answer was cut; ClientGone */
export type Forward = (job: Job, seat: Seat, reply: Reply, written: Written) => Promise<Ending>;

/** What has been written down of the job, and who hears of its first byte. */
interface Written {
  readonly coldMs: number;
  readonly firstByte: () => void;
}

interface Options {
  /** Signs the calls. */
  secret: string;
  gateway: string;
  clock: Clock;
  log: Log;
}

/** A worker that does not take a connection in this time is not there; shorter than the ledger's grace for a lease. */
const connectMs = 1_000;
/** Below the worker's own keep-alive, so that the worker never closes a connection which is being used again. */
const idleMs = 30_000;

/** What a worker answers to a call that is no generation. */
export type Answer = Dispatcher.ResponseData;

/** One pool of connections for all workers. A silent worker is cut by its beats, so no time limit is set here. */
export function createAgent(): Agent {
  return new Agent({
    connect: { timeout: connectMs },
    connections: null,
    pipelining: 1,
    keepAliveTimeout: idleMs,
    keepAliveMaxTimeout: idleMs,
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

/** Tells a worker something that needs no answer: whoever tells sees by its beats what came of it. */
export type Tell = (origin: string, what: string, call?: Partial<Call>) => Promise<void>;

export function createTell(agent: Agent, { secret, clock }: Pick<Options, 'secret' | 'clock'>): Tell {
  return async (origin, what, call = {}) => {
    const path = `/internal/${what}`;
    const headers = signCall(secret, 'POST', path, { ...nobody, ...call }, clock.now());
    const request = {
      origin,
      path,
      method: 'POST',
      headers,
      headersTimeout: connectMs,
      bodyTimeout: connectMs,
    } as const;
    await agent.request(request).then(
      ({ body }) => body.dump(),
      () => {},
    );
  };
}

export function createForward(agent: Agent, options: Options): Forward {
  return async (job, seat, reply, { coldMs, firstByte }) => {
    if (seat.url === '') {
      seat.giveBack = 'refused';
      return { kind: 'busy' };
    }
    const blame = (why: string) => options.log.warn('a worker failed', { worker: seat.worker, request: job.id, why });
    const seatedMs = options.clock.monotonic();
    const waitMs = Math.round(seatedMs - job.arrivedMs);
    const why = (started: Started | null) => {
      if (started === null) return whyHeaders(seat, options.gateway, waitMs, null);
      // The worker tells the whole load, though it may have been over before there was a slot.
      const loadMs = Math.max(coldMs, Math.min(started.loadMs, coldMs + options.clock.monotonic() - seatedMs));
      return whyHeaders(seat, options.gateway, waitMs, { ...started, loadMs });
    };
    const { promise, resolve, reject } = Promise.withResolvers<Ending>();
    agent.dispatch(requestOf(job, seat, options), exchange({ seat, reply, why, firstByte, blame, resolve, reject }));
    return promise;
  };
}

/** Built from scratch: a path of ours, our headers, the validated body with its own length. */
function requestOf(job: Job, seat: Seat, { secret, gateway, clock }: Options): Dispatcher.DispatchOptions {
  const call = {
    lease: seat.lease,
    epoch: seat.epoch,
    model: job.model,
    owner: { team: job.owner.team, key: job.owner.key, gateway },
    ...(seat.alone && { alone: true as const }),
    ...(job.outputMax !== undefined && { outputMax: job.outputMax }),
    ...(job.contextMax !== undefined && { contextMax: job.contextMax }),
  };
  return {
    origin: seat.url,
    path: job.path,
    method: 'POST',
    headers: {
      ...signCall(secret, 'POST', job.path, call, clock.now()),
      'content-type': 'application/json',
      'content-length': String(job.body.length),
      'x-request-id': job.id,
      ...traceHeaders(job.trace),
    },
    body: job.body,
  };
}

interface Exchange {
  seat: Seat;
  reply: Reply;
  /** Headers that tell the client why it was answered there, from what the worker knows at the first token. */
  why: (started: Started | null) => Record<string, string>;
  firstByte: () => void;
  /** Writes down what the worker did. */
  blame: (why: string) => void;
  resolve: (ending: Ending) => void;
  reject: (reason: Error) => void;
}

/**
 * The two sides of a running request, tied together.
 * 1. The client's departure or the worker's death aborts the upstream; the worker frees its slot by itself then.
 * 2. A client that reads slowly pauses the worker's stream, and no byte is kept here.
 * 3. Without the settlement the reply was cut, however clean its end looked.
 * 4. A dead worker looks like the emptiest one: it gets nothing more until it beats again.
 */
function exchange({ seat, reply, why, firstByte, blame, resolve, reject }: Exchange): Dispatcher.DispatchHandler {
  let upstream: Dispatcher.DispatchController | undefined;
  let sent = false;
  let status = 0;
  let headers: Record<string, string | string[] | undefined> = {};

  const ends = [reply.signal, seat.life];
  const reasonToEnd = () => ends.find(({ aborted }) => aborted)?.reason as Error | undefined;
  const abort = () => upstream?.abort(reasonToEnd() ?? new Error('aborted')); // 1
  for (const signal of ends) signal.addEventListener('abort', abort, { once: true });
  const untie = () => {
    for (const signal of ends) signal.removeEventListener('abort', abort);
    reply.onDrain(() => {});
  };
  const finish = (ending: Ending) => {
    untie();
    resolve(ending);
  };
  const fail = (reason: Error) => {
    untie();
    reject(reason);
  };
  const broken = (why: string, died = false) => {
    blame(why);
    finish({ kind: 'broken', mayHaveStarted: sent, died, why });
  };
  const cut = (why: string, died = false) => {
    blame(why);
    fail(new Refusal(died ? 'engine_died' : 'worker_failed', `the answer was cut: ${why}`));
  };

  return {
    onRequestStart(controller) {
      upstream = controller;
      if (reasonToEnd()) return abort();
      // From here on the worker may know of the request, and frees the slot by itself when the connection closes.
      sent = true;
      reply.onDrain(() => controller.resume());
    },
    onResponseStart(_controller, statusCode, responseHeaders) {
      status = statusCode;
      headers = responseHeaders;
      if (status !== 200) return;
      firstByte();
      reply.head({ ...headOf(headers), ...why(decodeStarted(single(headers[startedHeader]))) });
    },
    onResponseData(controller, chunk) {
      if (status === 200 && !reply.write(chunk)) controller.pause(); // 2
    },
    onResponseEnd(_controller, trailers) {
      if (status !== 200) return refused();
      const settlement = decodeSettlement(single(trailers[settlementTrailer]));
      if (settlement === null) {
        const refusal = decodeRefusal(single(trailers[refusalHeader]));
        if (refusal?.outcome === 'cancelled') return fail(refusal);
        return cut(refusal?.message ?? 'no settlement', refusal?.outcome === 'engine_died'); // 3
      }
      reply.end();
      finish({ kind: 'settled', settlement });
    },
    onResponseError(_controller, error) {
      if (reply.signal.aborted) {
        if (sent) seat.giveBack = 'entrusted'; // 1
        return fail(reply.signal.reason as Error);
      }
      if (status === 200) return cut(`worker ${seat.worker} broke off`);
      seat.giveBack = 'refused'; // 4
      broken(error.message);
    },
  };

  /** The worker answered, but not with an answer: it did not start, it failed, or the request is at fault. */
  function refused(): void {
    if (decodeNotStarted(single(headers[notStartedHeader])) !== null) {
      seat.giveBack = 'refused';
      return finish({ kind: 'busy' });
    }
    const refusal = decodeRefusal(single(headers[refusalHeader]));
    const died = refusal?.outcome === 'engine_died';
    if (refusal !== null && refusal.outcome !== 'worker_failed' && !died) return fail(refusal);
    broken(refusal?.message ?? `status ${status}`, died);
  }
}

function whyHeaders(
  { worker, placement }: Seat,
  gateway: string,
  waitMs: number,
  started: Started | null,
): Record<string, string> {
  return {
    [clientHeaders.worker]: worker,
    [clientHeaders.gateway]: gateway,
    [clientHeaders.reason]: placement,
    [clientHeaders.waitMs]: String(waitMs),
    ...(started && {
      [clientHeaders.loadMs]: String(Math.round(started.loadMs)),
      [clientHeaders.promptTokens]: String(started.promptTokens),
      [clientHeaders.reusedTokens]: String(started.cachedTokens),
    }),
  };
}

/** What of a worker's head reaches the client. */
const passedOn = ['content-type', 'cache-control', 'x-accel-buffering', slotHeader];

function headOf(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  return Object.fromEntries(
    passedOn.flatMap((name) => {
      const value = single(headers[name]);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}
