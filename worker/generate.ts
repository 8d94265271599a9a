// A generation by an engine of our own, in the slot that it has: parse → model → engine → reply.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from '@berth/shared/auth.ts';
import { encodeStarted, startedHeader } from '@berth/shared/headers.ts';
import { lackOf } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { milestonesOf } from '@berth/shared/prefix.ts';
import type { Milestone } from '@berth/shared/prefix.ts';
import { hasMedia } from '@berth/shared/request.ts';
import type { Generation, Prompt } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { linked } from './abort.ts';
import { checkPrompts, requestsOf, settledTogether } from './answers.ts';
import { compute } from './compute.ts';
import { atItsField } from './answer-format.ts';
import { endpoints } from './endpoints.ts';
import type { Endpoint } from './endpoints.ts';
import { EngineDied } from './engine/engine.ts';
import type { EngineEvent, EngineUsage } from './engine/engine.ts';
import { holdSlot } from './hold.ts';
import { isEmbedder } from './models/catalog.ts';
import type { Catalog, Model } from './models/catalog.ts';
import { withDefaults } from './models/defaults.ts';
import type { Residency } from './models/residency.ts';
import type { Use } from './models/waiters.ts';
import type { Handlers } from './http.ts';
import type { Reply } from './replies/reply.ts';
import { thoughtsOf } from './replies/thinking.ts';
import { syntaxOf } from './replies/tools/families.ts';
import { bounded, readBody, serve } from './serve.ts';
import type { Answer, Exchange, ServeKit, Work } from './serve.ts';
import type { Slots } from './slots.ts';
import type { Solitude } from './models/solitude.ts';
import { ownPages } from './pages.ts';
import { timedPieces } from './pieces.ts';
import { serveShow } from './show.ts';
import type { ShowKit } from './show.ts';
import type { Prefixes } from './prefixes.ts';
import { nothingRan, rounded } from './spent.ts';
import type { Watchdog } from './watchdog.ts';

export interface Kit extends ServeKit {
  slots: Slots;
  /** Slots of requests for embedding models. */
  embedSlots: Slots;
  catalog: Catalog;
  residency: Residency;
  solitude: Solitude;
  watchdog: Watchdog;
  /** Hears which prompts are cached now. */
  prefixes: Pick<Prefixes, 'began'>;
}

/** What a worker with engines of its own answers. */
export function engineHandlers(kit: Kit & ShowKit): Handlers {
  return {
    generate(path) {
      const endpoint = Object.hasOwn(endpoints, path) ? endpoints[path] : undefined;
      return endpoint && ((call, request, response) => serveGeneration(kit, endpoint, call, request, response));
    },
    show: (call, request, response) => serveShow(kit, call, request, response),
    hold: (call, request, response) => holdSlot(kit, laneOf(kit, call.model), call, request, response),
    pages: ownPages({ slots: kit.slots, scrape: (accept) => kit.metrics.scrape(kit, accept) }),
    scrape: (accept) => kit.metrics.scrape(kit, accept),
  };
}

/** Answers one generation request. Never rejects. */
export async function serveGeneration(
  kit: Kit,
  endpoint: Endpoint,
  call: Call,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const work: Work = (exchange) => run(kit, endpoint, call, exchange);
  await serve(kit, laneOf(kit, call.model), endpoint.dialect, call, request, response, work);
}

/** A lane is a worker of its own to the ledger, which gives its leases by model. */
function laneOf({ slots, embedSlots, catalog }: Kit, model: string): Slots {
  return catalog.models().some((known) => known.name === model && isEmbedder(known)) ? embedSlots : slots;
}

async function run(kit: Kit, endpoint: Endpoint, call: Call, exchange: Exchange): Promise<Answer> {
  const asked = endpoint.parse(parseJson(await readBody(exchange.request)));
  const model = await modelFor(kit, call.model, asked);
  const generation = bounded(withDefaults(model.defaults, asked), call.outputMax);
  using both = linked([exchange.outbox.signal, kit.cut, exchange.progress.signal]);
  using _place = await kit.solitude.enter(model.name, call.alone === true, both.signal);
  if (endpoint.reply === null) return await compute(kit, model, generation, both.signal, exchange.acceptedMs);
  const createdMs = kit.clock.now();
  const thoughts = thoughtsOf(model.header.chatTemplate);
  const syntax = syntaxOf(model.header.chatTemplate);
  const reply = endpoint.reply(generation, { id: call.lease, createdMs, thoughts, syntax });
  const milestones = milestonesOf(call.owner.team, model.name, asked);
  const started = { ...exchange, model: model.name, milestones, generation, reply, signal: both.signal };
  const { pending, settlement } =
    generation.prompt === null
      ? await loadOnly(kit, model, started)
      : await generate(kit, model, call, generation.prompt, started);
  const ending = { nowMs: kit.clock.now(), totalMs: kit.clock.monotonic() - exchange.acceptedMs };
  const text = generation.stream ? pending + reply.end(settlement, ending) : reply.whole(settlement, ending);
  return { headers: reply.headers, text, settlement };
}

interface Started extends Exchange {
  /** Canonical name of the model. */
  model: string;
  /** Of the prompt as the client wrote it, which is what gateways see. */
  milestones: readonly Milestone[];
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

async function generate(kit: Kit, model: Model, call: Call, prompt: Prompt, started: Started): Promise<Ran> {
  const { generation, signal, progress } = started;
  const seed = generation.sampling.seed ?? kit.random.integer(2 ** 32);
  const { owner, contextMax } = call;
  const asking = { template: model.header.chatTemplate, seed, team: owner.team, contextMax };
  const requests = requestsOf(generation, prompt, asking);
  using use = await kit.residency.use(model, generation.keepAliveMs, signal);
  progress.loaded(generation.maxTokens === null ? null : generation.maxTokens * requests.length);
  await checkPrompts(use.engine, [prompt, ...(generation.morePrompts ?? [])], contextMax);
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
  const { generation, reply, outbox, progress, acceptedMs } = started;
  let pending = before;
  let firstMs: number | null = null;
  for await (const event of events) {
    progress.note(event);
    pending += reply.piece(event, kit.clock.now());
    if (event.kind === 'started') {
      if (before === '') began(kit, use, started, event);
      continue;
    }
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

/** What is known before the first token: told with the head, and remembered for the conversation's next turn. */
function began(
  { prefixes }: Kit,
  { loadMs }: Use,
  { outbox, model, milestones }: Started,
  { promptTokens, cachedTokens }: Extract<EngineEvent, { kind: 'started' }>,
): void {
  outbox.tell({ [startedHeader]: encodeStarted({ promptTokens, cachedTokens, loadMs: rounded(loadMs) }) });
  prefixes.began(model, milestones, cachedTokens);
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
  // The gateway asks what all copies of a model can do together; a joined server's may see, and no engine here can.
  const blind = hasMedia(generation) ? lackOf(generation, [model]) : null;
  if (blind) throw blind;
  const needed = generation.embedding ? 'embedding' : 'completion';
  if (generation.tokenizing || model.capabilities.includes(needed)) return model;
  throw new Refusal('bad_request', `model '${generation.model}' does not support ${generation.endpoint}`, {
    param: 'model',
  });
}
