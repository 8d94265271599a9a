// A worker whose models run in a server that the team has already: guard, beats and door as ever, around that server.
import type { Server } from 'node:http';
import { Refusal } from '@berth/shared/outcome.ts';
import { createActivityLog, lookAt } from '../activity.ts';
import { createAnnouncer } from '../announce.ts';
import type { Announcer } from '../announce.ts';
import { endpoints } from '../endpoints.ts';
import { createWorkerServer } from '../http.ts';
import type { Handlers } from '../http.ts';
import { holdSlot } from '../hold.ts';
import { closeServer, cutMs, listen, within } from '../listen.ts';
import { createMetrics } from '../metrics.ts';
import type { Metrics } from '../metrics.ts';
import { createObedience } from '../models/obedience.ts';
import { createPace } from '../pace.ts';
import { createPages } from '../pages.ts';
import { serve } from '../serve.ts';
import { createSlots } from '../slots.ts';
import type { Slots } from '../slots.ts';
import { createStanding } from '../standing.ts';
import { timedLedger } from '../worker.ts';
import type { Worker, WorkerOptions } from '../worker.ts';
import { canary } from './canary.ts';
import { createClient } from './client.ts';
import type { Client } from './client.ts';
import { createPulse } from './pulse.ts';
import type { Pulse } from './pulse.ts';
import { relay } from './relay.ts';
import type { RelayKit } from './sending.ts';
import { createShelf } from './shelf.ts';
import type { Shelf } from './shelf.ts';
import { showJoined } from './shown.ts';
import type { JoinedModel } from './survey.ts';

type Common =
  | 'id'
  | 'host'
  | 'port'
  | 'url'
  | 'secret'
  | 'tls'
  | 'loadedMax'
  | 'version'
  | 'ledger'
  | 'clock'
  | 'random'
  | 'log'
  | 'onStale';

export interface JoinedOptions extends Pick<WorkerOptions, Common> {
  /** Origin of the server, and a path if it has one. */
  upstream: string;
  key: string | null;
  slots: number;
  silenceMs: number;
}

const firstLookMs = 5_000;

/** Starts a worker for a server, whether it is there or not. Settles when it listens and the ledger was told. */
export async function startJoined(options: JoinedOptions): Promise<Worker> {
  const parts = createParts(options);
  const { self, server, announcer, pulse } = parts;
  self.url = options.url(await listen(server, options));
  // A server that hangs is announced as one, rather than waited for.
  await within(options.clock, firstLookMs, pulse.start());
  await announcer.start();
  return { url: self.url, epoch: self.epoch, drain: (withinMs) => drain(parts, options, withinMs) };
}

interface Parts {
  self: { worker: string; epoch: string; url: string; slots: number; loadedMax: number; device: string };
  slots: Slots;
  client: Client;
  pulse: Pulse;
  announcer: Announcer;
  server: Server;
  /** Cuts what still runs when the drain took too long. */
  cut: AbortController;
}

function createParts(options: JoinedOptions): Parts {
  const { clock, log, id: worker, loadedMax, random } = options;
  const device = `upstream ${new URL(options.upstream).host}`;
  const self = { worker, epoch: random.id(), url: '', slots: options.slots, loadedMax, device };
  const slots = createSlots(options.slots, self.epoch);
  const counting = createMetrics({ ...options, worker, device, gpus: async () => [] });
  const pace = createPace(clock);
  const metrics: Metrics = {
    ...counting,
    settled(model, settlement, request) {
      counting.settled(model, settlement, request);
      pace.settled(model, settlement, shelf.find(model)?.sizeBytes ?? 0);
    },
  };
  const ledger = timedLedger(options.ledger, clock, metrics.ledgerCall);
  const client = createClient(options.upstream, options.key, clock);
  const onNews = (): void => announcer.soon();
  const shelf = createShelf({
    client,
    most: options.slots,
    slots,
    pace,
    clock,
    onChange: onNews,
  });
  const obedience = createObedience<JoinedModel>({
    residency: { load: (model, victim, signal) => shelf.load(model, victim, signal) },
    catalog: { find: async (name) => shelf.find(name) },
    log,
    onChange: onNews,
  });
  const standing = createStanding({
    unload: (model) => void shelf.retire(model).finally(() => standing.settled(model)),
    rest: slots.rest,
    onChange: onNews,
  });
  const pulse = pulseOf(options, { slots, client, shelf, self, onNews });
  const announcer = createAnnouncer({
    ledger,
    now: () => shelf.beat(self, { up: pulse.up, order: obedience.order, standing }),
    clock,
    log,
    onOrder(order) {
      if (order !== null) standing.settled(order.model);
      obedience.hear(order);
    },
    onStale() {
      log.error('another process announces this worker id: this one leaves. Give each worker its own WORKER_ID');
      options.onStale();
    },
  });
  const cut = new AbortController();
  const activity = createActivityLog(clock);
  const kit: RelayKit = {
    activity,
    ledger,
    metrics,
    clock,
    random,
    log,
    cut: cut.signal,
    onNews,
    client,
    shelf,
    pulse,
    silenceMs: options.silenceMs,
  };
  const guard = upTo(slots, () => (pulse.up ? shelf.slots : 0));
  const { upstream, key } = options;
  const headers = key === null ? {} : { authorization: `Bearer ${key}` };
  const pages = createPages({ target: new URL(upstream), headers, clock });
  const handlers = { ...handlersOf(kit, guard, shelf, metrics), pages };
  const look = () => lookAt(activity, device, async () => []);
  const about = { activity, look, metrics, onNews, handlers, standing };
  const server = createWorkerServer({ ...options, ...about, epoch: self.epoch });
  return { self, slots, client, pulse, announcer, server, cut };
}

interface Asking {
  slots: Slots;
  client: Client;
  shelf: Shelf;
  self: Parts['self'];
  onNews: () => void;
}

function pulseOf(
  { clock, random, log, silenceMs }: JoinedOptions,
  { slots, client, shelf, self, onNews }: Asking,
): Pulse {
  let last = '';
  let told = '';
  const tell = (): void => {
    if (shelf.seen === null) return;
    const { kind, models } = shelf.seen;
    const text = JSON.stringify({ kind, models: models.map(({ name }) => name), slots: shelf.slots });
    if (text === told) return;
    told = text;
    log.info('what the joined server has', {
      kind,
      models: models.map(({ name }) => name).join(' '),
      slots: shelf.slots,
    });
    if (shelf.slots < self.slots) {
      log.warn('the joined server runs fewer requests at once than NUM_PARALLEL: so many slots are announced', {
        slots: shelf.slots,
      });
    }
  };
  return createPulse({
    clock,
    log,
    silenceMs,
    running: () => slots.used(),
    asksIdle: () => shelf.seen?.kind !== 'ollama',
    onChange: onNews,
    async look() {
      await shelf.look();
      tell();
    },
    /** In a slot of its own: the server never gets one request more than it may. */
    async canary() {
      const { seen } = shelf;
      if (seen === null) return false;
      if (seen.models.length === 0) throw new Error('it has no models');
      // An operator's rest gives nothing to anybody, so that there is no slot to be held.
      const lease = { id: `canary-${random.id()}`, model: '', team: '', key: '', gateway: '' };
      if (slots.used() >= shelf.slots) return false;
      const slot = slots.state === 'drained' ? null : slots.take(self.epoch, lease);
      if (typeof slot === 'string') return false;
      onNews();
      try {
        const found = await canary(client, seen, last);
        last = found?.name ?? '';
        if (found?.embeds) shelf.embeds(found.name);
        return true;
      } finally {
        slot?.[Symbol.dispose]();
        onNews();
      }
    },
  });
}

function handlersOf(kit: RelayKit, slots: Slots, shelf: Shelf, metrics: Metrics): Omit<Handlers, 'pages'> {
  const residents = () =>
    (shelf.seen?.models ?? [])
      .filter(({ loaded }) => loaded)
      .map(({ name }) => {
        const users = slots.running().filter(({ model }) => model === name).length;
        return { name, phase: 'ready' as const, users, engine: null };
      });
  return {
    generate(path) {
      const endpoint = Object.hasOwn(endpoints, path) ? endpoints[path] : undefined;
      if (endpoint === undefined) return undefined;
      return (call, request, response) =>
        serve(kit, slots, endpoint.dialect, call, request, response, (exchange) =>
          relay(kit, path, endpoint, call, exchange),
        );
    },
    hold: (call, request, response) => holdSlot(kit, slots, call, request, response),
    show: (call, request, response) => showJoined(kit, call, request, response),
    scrape: (accept) => metrics.scrape({ slots, embedSlots: noSlots, residency: { residents } }, accept),
  };
}

/** The same guard, for a server that may take fewer than were declared, or none now. */
function upTo(slots: Slots, most: () => number): Slots {
  return {
    ...slots,
    get state() {
      return slots.state;
    },
    take: (epoch, lease) => (slots.state === 'ready' && slots.used() >= most() ? 'busy' : slots.take(epoch, lease)),
  };
}

/** Embeddings take slots like all else: the server has no second lane. */
const noSlots = { capacity: () => 0, used: () => 0 };

async function drain(
  { slots, announcer, server, pulse, client, cut }: Parts,
  { clock, log }: JoinedOptions,
  withinMs: number,
) {
  const idle = slots.drain();
  announcer.soon();
  if (!(await within(clock, withinMs, idle))) {
    log.warn('running requests are cut: they took longer than DRAIN_TIMEOUT', { running: slots.used() });
    cut.abort(new Refusal('worker_failed', 'the worker was stopped before the answer was complete'));
    await within(clock, cutMs, idle);
  }
  pulse[Symbol.dispose]();
  await announcer.last();
  await Promise.all([closeServer(server, clock), client.close()]);
}
