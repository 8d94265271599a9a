// The life of a request on a worker, whatever runs it: slot → work → reply. What a scope opens, its end closes.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import type { WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { slotHeader } from '@berth/shared/headers.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { ActivityLog, Progress } from './activity.ts';
import { EngineDied } from './engine/engine.ts';
import { leaveUnlessRead } from './leave.ts';
import type { Metrics } from './metrics.ts';
import { NotStartedHere } from './models/not-started.ts';
import { GatewayGone, createOutbox } from './outbox.ts';
import type { Outbox } from './outbox.ts';
import { reasonOf } from './reason.ts';
import { noteRequest, requestIdOf } from './request-log.ts';
import type { Slot, Slots } from './slots.ts';

/** What every request needs, whatever runs it. */
export interface ServeKit {
  activity: ActivityLog;
  ledger: WorkerLedger;
  metrics: Metrics;
  clock: Clock;
  random: Random;
  log: Log;
  /** Aborts with a refusal when running requests are to be cut: the drain took too long. */
  cut: AbortSignal;
  /** Beats soon: the ledger shall learn the truth, as after each answer "not started, busy", or has something to say. */
  onNews: () => void;
}

export interface Exchange {
  request: IncomingMessage;
  outbox: Outbox;
  slot: Slot;
  /** Where the work writes down how far it is; its signal is one of those that end it. */
  progress: Progress;
  acceptedMs: number;
}

/** The end of a reply, to be written when everything it held has been given back. */
export interface Answer {
  headers: Readonly<Record<string, string>>;
  text: string;
  settlement: Settlement;
}

/** What is done in the slot. @throws Refusal, NotStartedHere, GatewayGone, EngineDied */
export type Work = (exchange: Exchange) => Promise<Answer>;

/** Largest body that is read. The gateway's own bound is lower and is the client's; this one guards memory. */
const bodyBytesMax = 64 * 1024 * 1024;

/** Answers one request. Never rejects; the slot is free before the last byte leaves. */
export async function serve(
  kit: ServeKit,
  slots: Slots,
  dialect: Dialect,
  call: Call,
  request: IncomingMessage,
  response: ServerResponse,
  work: Work,
): Promise<void> {
  const { clock } = kit;
  const acceptedMs = clock.monotonic();
  const lastReply = (): boolean => slots.state === 'draining';
  const outbox = createOutbox({ response, dialect, clock, lastReply });
  const slot = slots.take(call.epoch, { id: call.lease, model: call.model, ...call.owner });
  if (typeof slot === 'string') return refuseStart(kit, outbox, new NotStartedHere(slot));
  response.setHeader(slotHeader, slot.number);
  const who = { request: requestIdOf(request.headers) ?? call.lease, call, slot: slot.number, slots };
  const progress = kit.activity.begin(who);
  const outcome = await answer(kit, call, { request, outbox, slot, progress, acceptedMs }, work);
  if (outcome !== null) {
    kit.metrics.ended(outcome);
    noteRequest(kit, call, request.headers, outcome, acceptedMs);
  }
  await leaveUnlessRead(kit, call.lease, (clock.monotonic() - acceptedMs) / 1_000, outbox, response);
}

/** How the request ended; `null` when it was not started after all. */
async function answer(kit: ServeKit, call: Call, exchange: Exchange, work: Work): Promise<Outcome | null> {
  const { outbox, slot } = exchange;
  using _progress = exchange.progress;
  try {
    const { headers, text, settlement } = await work(exchange);
    slot[Symbol.dispose]();
    outbox.end(headers, text, settlement);
    kit.metrics.settled(call.model, settlement, requestIdOf(exchange.request.headers));
    return 'ok';
  } catch (error) {
    slot[Symbol.dispose]();
    return fail(kit, outbox, call.lease, error);
  }
}

/** What the key may have, also where the client or the model's defaults name more, or nothing. */
export function bounded(generation: Generation, outputMax: number | undefined): Generation {
  if (outputMax === undefined) return generation;
  return { ...generation, maxTokens: Math.min(generation.maxTokens ?? Infinity, outputMax) };
}

/** @throws Refusal `body_too_large`; GatewayGone */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > bodyBytesMax) break;
      chunks.push(chunk);
    }
  } catch {
    throw new GatewayGone('the gateway broke off its request');
  }
  if (bytes > bodyBytesMax) throw new Refusal('body_too_large', `the body has more than ${bodyBytesMax} bytes`);
  return Buffer.concat(chunks);
}

function refuseStart(kit: ServeKit, outbox: Outbox, { why }: NotStartedHere): void {
  outbox.notStarted(why);
  kit.metrics.refused(why);
  if (why !== 'stale') kit.onNews();
}

function fail(kit: ServeKit, outbox: Outbox, requestId: string, error: unknown): Outcome | null {
  if (outbox.signal.aborted || error instanceof GatewayGone) return 'client_gone';
  if (error instanceof NotStartedHere) {
    refuseStart(kit, outbox, error);
    return null;
  }
  const refusal = refusalOf(error);
  if (refusal.outcome === 'internal') kit.log.error('a request failed', { lease: requestId, reason: reasonOf(error) });
  outbox.refuse(refusal, requestId);
  return refusal.outcome;
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  if (error instanceof EngineDied) return new Refusal('engine_died', 'the model stopped working on this request');
  return new Refusal('internal', 'the worker failed on this request; its log says why');
}
