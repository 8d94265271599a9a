// The life of one generation on a worker: slot → parse → model → engine → reply. What a scope opens, its end closes.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import type { WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import type { Generation, Prompt } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { linked } from './abort.ts';
import { checkPrompts, requestsOf, settledTogether } from './answers.ts';
import { compute } from './compute.ts';
import { atItsField } from './answer-format.ts';
import { EngineDied } from './engine/engine.ts';
import type { EngineEvent, EngineUsage } from './engine/engine.ts';
import { leaveUnlessRead } from './leave.ts';
import type { Metrics } from './metrics.ts';
import { isEmbedder } from './models/catalog.ts';
import type { Catalog, Model } from './models/catalog.ts';
import { withDefaults } from './models/defaults.ts';
import { NotStartedHere } from './models/residency.ts';
import type { Residency, Use } from './models/residency.ts';
import { GatewayGone, createOutbox } from './outbox.ts';
import type { Outbox } from './outbox.ts';
import { reasonOf } from './reason.ts';
import { noteRequest, requestIdOf } from './request-log.ts';
import type { Reply, ReplyContext } from './replies/reply.ts';
import { thoughtsOf } from './replies/thinking.ts';
import { syntaxOf } from './replies/tools/families.ts';
import type { Slot, Slots } from './slots.ts';
import type { Solitude } from './models/solitude.ts';
import { timedPieces } from './pieces.ts';
import { nothingRan, rounded } from './spent.ts';
import type { Watchdog } from './watchdog.ts';

/** One route: how its requests are read and its replies written. */
export interface Endpoint {
  dialect: Dialect;
  parse: (body: unknown) => Generation;
  /** `null` = the answer is computed, not generated. */
  reply: ((generation: Generation, context: ReplyContext) => Reply) | null;
}

export interface Kit {
  slots: Slots;
  /** Slots of requests for embedding models. */
  embedSlots: Slots;
  catalog: Catalog;
  residency: Residency;
  solitude: Solitude;
  watchdog: Watchdog;
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

/** Largest body that is read. The gateway's own bound is lower and is the client's; this one guards memory. */
const bodyBytesMax = 64 * 1024 * 1024;

/** Answers one generation request. Never rejects; the slot is free before the last byte leaves. */
export async function serveGeneration(
  kit: Kit,
  endpoint: Endpoint,
  call: Call,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { clock } = kit;
  const acceptedMs = clock.monotonic();
  const slots = laneOf(kit, call.model);
  const lastReply = (): boolean => slots.state === 'draining';
  const outbox = createOutbox({ response, dialect: endpoint.dialect, clock, lastReply });
  const slot = slots.take(call.epoch, { id: call.lease, model: call.model, ...call.owner });
  if (typeof slot === 'string') return refuseStart(kit, outbox, new NotStartedHere(slot));
  const outcome = await answer(kit, endpoint, call, { request, outbox, slot, acceptedMs });
  if (outcome !== null) {
    kit.metrics.ended(outcome);
    noteRequest(kit, call, request.headers, outcome, acceptedMs);
  }
  await leaveUnlessRead(kit, call.lease, (clock.monotonic() - acceptedMs) / 1_000, outbox, response);
}

/** A lane is a worker of its own to the ledger, which gives its leases by model. */
function laneOf({ slots, embedSlots, catalog }: Kit, model: string): Slots {
  return catalog.models().some((known) => known.name === model && isEmbedder(known)) ? embedSlots : slots;
}

interface Exchange {
  request: IncomingMessage;
  outbox: Outbox;
  slot: Slot;
  acceptedMs: number;
}

/** How the request ended; `null` when it was not started after all. */
async function answer(kit: Kit, endpoint: Endpoint, call: Call, exchange: Exchange): Promise<Outcome | null> {
  const { outbox, slot } = exchange;
  try {
    const { headers, text, settlement } = await run(kit, endpoint, call, exchange);
    slot[Symbol.dispose]();
    outbox.end(headers, text, settlement);
    kit.metrics.settled(call.model, settlement, requestIdOf(exchange.request.headers));
    return 'ok';
  } catch (error) {
    slot[Symbol.dispose]();
    return fail(kit, outbox, call.lease, error);
  }
}

/** The end of a reply, to be written when everything it held has been given back. */
export interface Answer {
  headers: Readonly<Record<string, string>>;
  text: string;
  settlement: Settlement;
}

async function run(kit: Kit, endpoint: Endpoint, call: Call, exchange: Exchange): Promise<Answer> {
  const asked = endpoint.parse(parseJson(await readBody(exchange.request)));
  const model = await modelFor(kit, call.model, asked);
  const generation = bounded(withDefaults(model.defaults, asked), call.outputMax);
  using both = linked([exchange.outbox.signal, kit.cut]);
  using _place = await kit.solitude.enter(model.name, call.alone === true, both.signal);
  if (endpoint.reply === null) return await compute(kit, model, generation, both.signal, exchange.acceptedMs);
  const createdMs = kit.clock.now();
  const thoughts = thoughtsOf(model.header.chatTemplate);
  const syntax = syntaxOf(model.header.chatTemplate);
  const reply = endpoint.reply(generation, { id: call.lease, createdMs, thoughts, syntax });
  const started = { ...exchange, generation, reply, signal: both.signal };
  const { pending, settlement } =
    generation.prompt === null
      ? await loadOnly(kit, model, started)
      : await generate(kit, model, call.owner.team, generation.prompt, started);
  const ending = { nowMs: kit.clock.now(), totalMs: kit.clock.monotonic() - exchange.acceptedMs };
  const text = generation.stream ? pending + reply.end(settlement, ending) : reply.whole(settlement, ending);
  return { headers: reply.headers, text, settlement };
}

/** What the key may have, also where the client or the model's defaults name more, or nothing. */
function bounded(generation: Generation, outputMax: number | undefined): Generation {
  if (outputMax === undefined) return generation;
  return { ...generation, maxTokens: Math.min(generation.maxTokens ?? Infinity, outputMax) };
}

interface Started extends Exchange {
  generation: Generation;
  reply: Reply;
  signal: AbortSignal;
}

interface Ran {
  /** Text that was not written yet. */
  pending: string;
  settlement: Settlement;
}

/** Ollama's empty prompt: the model is loaded, or with a keep-alive of 0 unloaded when it is idle. */
async function loadOnly({ residency }: Kit, model: Model, { generation, signal }: Started): Promise<Ran> {
  if (generation.keepAliveMs === 0) {
    residency.unload(model.name);
    return { pending: '', settlement: { ...nothingRan, finish: 'unload', loadMs: 0 } };
  }
  using use = await residency.use(model, generation.keepAliveMs, signal);
  return { pending: '', settlement: { ...nothingRan, finish: 'load', loadMs: use.loadMs } };
}

async function generate(kit: Kit, model: Model, team: string, prompt: Prompt, started: Started): Promise<Ran> {
  const { generation, signal } = started;
  const seed = generation.sampling.seed ?? kit.random.integer(2 ** 32);
  const requests = requestsOf(generation, prompt, { template: model.header.chatTemplate, seed, team });
  using use = await kit.residency.use(model, generation.keepAliveMs, signal);
  await checkPrompts(use.engine, [prompt, ...(generation.morePrompts ?? [])]);
  const settlements: Settlement[] = [];
  let pending = '';
  for (const request of requests) {
    const events = kit.watchdog.watch(model.name, use.engine, use.engine.generate(request, signal));
    const timed = timedPieces(kit, model.name, events);
    const ran = await relay(kit, timed, use, started, pending).catch((error: unknown) => {
      throw atItsField(error, generation);
    });
    settlements.push(ran.settlement);
    pending = ran.pending;
  }
  return { pending, settlement: settledTogether(settlements, generation) };
}

/**
 * The engine's events of one answer → text on the wire. The head waits for the first token, so that what fails before
 * it is a true HTTP error that the gateway may try elsewhere.
 * @param before text of the answer before that was not written yet
 */
async function relay(
  kit: Kit,
  events: AsyncIterable<EngineEvent>,
  use: Use,
  started: Started,
  before: string,
): Promise<Ran> {
  const { generation, reply, outbox, acceptedMs } = started;
  let pending = before;
  let firstMs: number | null = null;
  for await (const event of events) {
    pending += reply.piece(event, kit.clock.now());
    if (event.kind === 'started') continue;
    firstMs ??= kit.clock.monotonic();
    if (event.kind === 'end') {
      const ttftMs = firstMs - acceptedMs;
      return { pending, settlement: settle(event.finish, event.usage, ttftMs, use.loadMs) };
    }
    if (!generation.stream || pending === '') continue;
    await outbox.write(reply.headers, pending);
    pending = '';
  }
  throw new EngineDied('the engine stopped without an end');
}

function settle(finish: 'stop' | 'length', usage: EngineUsage, ttftMs: number, loadMs: number): Settlement {
  const { promptTokens, cachedTokens, outputTokens, prefillMs, decodeMs } = usage;
  const times = {
    ttftMs: rounded(ttftMs),
    prefillMs: rounded(prefillMs),
    decodeMs: rounded(decodeMs),
    loadMs: rounded(loadMs),
  };
  return { finish, promptTokens, cachedTokens, outputTokens, ...times };
}

async function modelFor({ catalog }: Kit, name: string, generation: Generation): Promise<Model> {
  const model = await catalog.find(name);
  if (model === null) throw modelNotFound(generation.model);
  const needed = generation.embedding ? 'embedding' : 'completion';
  if (generation.tokenizing || model.capabilities.includes(needed)) return model;
  throw new Refusal('bad_request', `model '${generation.model}' does not support ${generation.endpoint}`, {
    param: 'model',
  });
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

function refuseStart(kit: Kit, outbox: Outbox, { why }: NotStartedHere): void {
  outbox.notStarted(why);
  kit.metrics.refused(why);
  if (why !== 'stale') kit.onNews();
}

function fail(kit: Kit, outbox: Outbox, requestId: string, error: unknown): Outcome | null {
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
