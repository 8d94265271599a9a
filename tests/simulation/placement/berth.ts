// Berth in virtual time: the production's gateways, ledger, placement, residency and beats around engines that take time.
import type { Clock } from '@berth/shared/clock.ts';
import { openai } from '@berth/shared/dialects/openai.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { silentLog } from '@berth/shared/log.ts';
import { milestonesOf } from '@berth/shared/prefix.ts';
import type { Random } from '@berth/shared/random.ts';
import { createComebacks } from '../../../gateway/comeback.ts';
import { createEstimate } from '../../../gateway/estimate.ts';
import type { Tell } from '../../../gateway/forward.ts';
import type { Job } from '../../../gateway/job.ts';
import { createMemoryLedger } from '../../../gateway/ledger/memory.ts';
import { createLoads } from '../../../gateway/loads.ts';
import type { Loads } from '../../../gateway/loads.ts';
import { createPlace } from '../../../gateway/place.ts';
import type { Journey, Place } from '../../../gateway/place.ts';
import { openSession } from '../../../gateway/session.ts';
import { createUpkeep } from '../../../gateway/upkeep.ts';
import { createWaitingRoom } from '../../../gateway/waiting.ts';
import type { Ticket } from '../../../gateway/waiting.ts';
import { createRoster } from '../../../gateway/workers/roster.ts';
import { createAnnouncer } from '../../../worker/announce.ts';
import { createPrefixes } from '../../../worker/prefixes.ts';
import { createSlots } from '../../../worker/slots.ts';
import { createStanding } from '../../../worker/standing.ts';
import type { Wish } from '../../../worker/standing.ts';
import { chanceFrom } from '../../models/chance.ts';
import type { Events } from '../events.ts';
import { createShelf } from '../shelf.ts';
import { createCache } from './cache.ts';
import { createBox, measured } from './engine.ts';
import type { Ran } from './ran.ts';
import type { Ask } from './traces.ts';

export interface BerthOptions {
  workers: number;
  loadedMax: number;
  slots: number;
  models: readonly string[];
  /** Prompts that each worker keeps in files; `null` = prompts are not told apart. */
  files: number | null;
  seed: number;
  /** Models that are pinned, by worker. */
  pins?: Readonly<Record<string, string>>;
  /** All workers load this one before the first request. */
  preload?: string;
  /** What a load takes, where it is not what was measured. */
  loadMs?: number;
}

export interface BerthPool {
  /** Comes by its time, by one of the gateways in turn. */
  ask(ask: Ask): void;
  /** Slot-seconds of each worker. */
  busyS(): number[];
  knownTokens(): number;
}

const gateways = 2;

/** Settles when the pool stands; the asks come by their time. */
export async function runBerth(
  events: Events,
  asks: readonly Ask[],
  options: BerthOptions,
  ran: Ran,
): Promise<BerthPool> {
  const clock: Clock = {
    now: () => events.nowMs,
    monotonic: () => events.nowMs,
    after: (ms, action) => events.after(ms, action),
  };
  const random = randomFrom(options.seed);
  const { loadMs = measured.loadMs } = options;
  const ledger = createMemoryLedger({ clock });
  const ordering: Loads[] = [];
  const workers = Array.from({ length: options.workers }, (_, at) => startWorker(`w${at + 1}`));
  const byId = new Map(workers.map((worker) => [worker.id, worker]));
  const tell: Tell = async (url, what, call) => byId.get(new URL(url).hostname)?.hear(what, call?.model ?? '');
  const places = await Promise.all(Array.from({ length: gateways }, (_, at) => startGateway(`g${at + 1}`)));
  if (options.preload !== undefined) await preload(options.preload);
  let knownTokens = 0;
  let asked = 0;
  const askOne = (ask: Ask): void => {
    const place = places[asked++ % places.length];
    if (place) events.after(ask.atMs - events.nowMs, () => void serve(ask, place));
  };
  asks.forEach(askOne);

  function startWorker(id: string) {
    const epoch = random.id();
    const guard = createSlots(options.slots, epoch);
    const uses = new Map<string, number>();
    const prefixes = createPrefixes({ slots: options.slots, keepsFiles: (options.files ?? 0) > 0 });
    const hear = (model: string, what: string) => void (what === 'begins' && ran.loaded(model));
    const onUnloaded = (model: string): void => {
      if ((uses.get(model) ?? 0) > 0) ran.wrongly(`${model} was unloaded on ${id} while it was used`);
      if (standing.isPinned(model)) ran.wrongly(`${model} was unloaded on ${id} although it is pinned`);
      standing.settled(model);
      prefixes.gone(model);
    };
    const loads = { loadedMax: options.loadedMax, loadMs, hear };
    const shelf = createShelf(clock, options.models, loads, () => announcer.soon(), {
      isPinned: (model) => standing.isPinned(model),
      isLeaving: (model) => standing.isLeaving(model),
      prefixes: prefixes.list,
      onUnloaded,
    });
    const standing = createStanding({ unload: shelf.unload, rest: guard.rest, onChange: () => announcer.soon() });
    const self = { worker: id, epoch, url: `http://${id}:9401`, slots: options.slots, device: 'cpu' };
    const announcer = createAnnouncer({
      ledger,
      now: () => shelf.beat(self, guard, new Set()),
      clock,
      log: silentLog,
      onOrder(order) {
        if (order !== null) standing.settled(order.model);
        shelf.hear(order);
      },
      onStale: () => ran.wrongly(`${id} is stale`),
    });
    void announcer.start();
    const pinned = options.pins?.[id];
    if (pinned !== undefined) standing.hear('pin', pinned);
    const box = createBox(events);
    const cache = options.files === null ? null : createCache({ slots: options.slots, files: options.files });
    const hearWish = (what: string, model: string) =>
      what === 'beat' ? announcer.soon() : standing.hear(what as Wish, model);
    return { id, guard, shelf, announcer, box, cache, prefixes, uses, hear: hearWish };
  }

  /** One after the other, as an operator does. */
  async function preload(model: string): Promise<void> {
    for (const { id } of workers) {
      await ordering[0]?.want(model, id);
      await events.run(events.nowMs + loadMs + 3_000);
    }
  }

  async function startGateway(gateway: string): Promise<Place> {
    const log = silentLog;
    const roster = createRoster({ clock, log });
    const room = createWaitingRoom();
    const estimate = createEstimate({ random });
    const loads = createLoads({ ledger, roster, estimate, log, gateway, onClaim: () => {}, tell });
    ordering.push(loads);
    const onTurn = createUpkeep({ roster, room, tell, clock, log });
    const common = { ledger, room, roster, estimate, clock, log, gateway };
    const session = await openSession({ ...common, loads, onTurn, onHandOff: () => {} });
    const refresh = () => session.refresh();
    const onCold = (ticket: Ticket) => void loads.consider([ticket]).then((asSeen) => (asSeen ? undefined : refresh()));
    const comebacks = createComebacks({ clock, secret: 'simulated' });
    const settings = { waitingMax: 100_000, waitingPerKeyMax: 100_000, queueTimeoutMs: 3_600_000 };
    const place = createPlace({ ...common, degraded: () => false, comebacks, random, refresh, onCold, settings });
    return async (job, journey, signal) => {
      const seat = await place(job, journey, signal);
      learning.set(job, estimate);
      return seat;
    };
  }

  async function serve(ask: Ask, place: Place): Promise<void> {
    const job = jobOf(ask);
    const nothing = () => {};
    const heard = { asked: nothing, decided: nothing, cold: nothing };
    const journey: Journey = { age: null, failed: new Map(), ticket: null, ...heard };
    const signal = new AbortController().signal;
    for (;;) {
      await using seat = await place(job, journey, signal);
      const worker = byId.get(seat.worker);
      const { lease: id, epoch } = seat;
      const slot = worker?.guard.take(epoch, { id, model: ask.model, ...job.owner, gateway: 'g' });
      if (worker === undefined || slot === undefined || typeof slot === 'string') {
        seat.giveBack = 'refused';
        worker?.announcer.soon();
        continue;
      }
      using _slot = slot;
      using _use = await worker.shelf.use(ask.model, signal);
      worker.uses.set(ask.model, (worker.uses.get(ask.model) ?? 0) + 1);
      ran.started(ask);
      const begun = worker.cache?.take(ask) ?? { knownTokens: 0, done: () => {} };
      worker.prefixes.began(ask.model, job.milestones, begun.knownTokens);
      knownTokens += begun.knownTokens;
      const fromMs = events.nowMs;
      await new Promise<void>((resolve) => worker.box.run(ask, begun.knownTokens, resolve));
      begun.done();
      worker.uses.set(ask.model, (worker.uses.get(ask.model) ?? 0) - 1);
      learning.get(job)?.learn(ask.model, settlementOf(ask, begun.knownTokens, events.nowMs - fromMs));
      ran.ended(ask);
      return;
    }
  }

  return { ask: askOne, busyS: () => workers.map(({ box }) => box.busyS), knownTokens: () => knownTokens };
}

/** The estimate of the gateway that a job went through. */
const learning = new WeakMap<Job, ReturnType<typeof createEstimate>>();

const texts = new Map<number, string>();
const someBody = Buffer.alloc(4_000);
const nothing = parseOpenaiChat({ model: 'm', messages: [{ role: 'user', content: '' }] });

/** A block of 512 tokens is a message of as many words; equal blocks are equal words. */
function jobOf({ id, atMs, model, blocks }: Ask): Job {
  const textOf = (block: number): string => {
    const text = texts.get(block) ?? `block ${block} `.padEnd(2_048, 'la ');
    texts.set(block, text);
    return text;
  };
  const messages = blocks.map((block) => ({ role: 'user' as const, content: textOf(block) }));
  const prompt = { kind: 'chat' as const, messages, tools: [] };
  return {
    id: `r${id}`,
    dialect: openai,
    path: '/v1/chat/completions',
    generation: { ...nothing, prompt },
    milestones: milestonesOf('team', model, { prompt }),
    model,
    body: someBody,
    owner: { team: 'team', key: 'key' },
    priority: 1,
    arrivedMs: atMs,
    retry: false,
    patienceMs: null,
  };
}

function settlementOf({ promptTokens, outputTokens }: Ask, cachedTokens: number, tookMs: number) {
  const decodeMs = (outputTokens * 1_000) / measured.decodePerS;
  const times = { ttftMs: tookMs - decodeMs, prefillMs: tookMs - decodeMs, decodeMs, loadMs: 0 };
  return { finish: 'stop' as const, promptTokens, cachedTokens, outputTokens, ...times };
}

function randomFrom(seed: number): Random {
  const chance = chanceFrom(seed);
  let ids = 0;
  return { id: () => `id${(ids += 1)}`, integer: (below) => Math.floor(chance.unit() * below) };
}
