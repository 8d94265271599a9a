// A worker put together: guard, models, server and beats over one ledger. Time, chance and engine come in.
import type { Server } from 'node:http';
import type { Clock } from '@berth/shared/clock.ts';
import type { WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import { timing } from '@berth/shared/ledger/timed.ts';
import type { Log } from '@berth/shared/log.ts';
import { openModelsFile } from '@berth/shared/models-file.ts';
import type { KeptModelsFile } from '@berth/shared/models-file.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import { createActivityLog, lookAt } from './activity.ts';
import { createAnnouncer } from './announce.ts';
import type { Announcer, AnnouncerOptions } from './announce.ts';
import { beatOf } from './cards.ts';
import type { Self } from './cards.ts';
import type { EngineOptions, OpenEngine } from './engine/engine.ts';
import { engineHandlers } from './generate.ts';
import { createWorkerServer } from './http.ts';
import type { WorkerTls } from './http.ts';
import type { ReadGpus } from './gpu.ts';
import { createMetrics } from './metrics.ts';
import type { Metrics } from './metrics.ts';
import { announceLanes, embeddingsLane } from './lanes.ts';
import { closeServer, cutMs, every, listen, within } from './listen.ts';
import { createCatalog, isEmbedder } from './models/catalog.ts';
import type { Catalog, Model } from './models/catalog.ts';
import type { CheckFile } from './models/checker.ts';
import { createObedience } from './models/obedience.ts';
import { createResidency } from './models/residency.ts';
import type { ResidencyEvent, Resident } from './models/entry.ts';
import type { Residency } from './models/residency.ts';
import { createPace } from './pace.ts';
import { createPrefixes } from './prefixes.ts';
import { createLibrary } from './library.ts';
import type { PullOptions } from './pull/pulls.ts';
import { createStanding } from './standing.ts';
import { createSolitude } from './models/solitude.ts';
import { createSlots } from './slots.ts';
import type { Slots } from './slots.ts';
import { preload, rescan } from './upkeep.ts';
import type { Upkeep } from './upkeep.ts';
import { createWatchdog } from './watchdog.ts';
import type { Watchdog } from './watchdog.ts';

export interface WorkerOptions {
  id: string;
  host: string;
  port: number;
  /** Origin at which gateways reach it, from the port that it got. */
  url: (port: number) => string;
  secret: string;
  /** Left out = plain HTTP. */
  tls?: WorkerTls | null;
  device: string;
  /** What the driver tells of this worker's GPUs. */
  gpus: ReadGpus;
  engine: Omit<EngineOptions, 'path'>;
  embedParallel: number;
  loadedMax: number;
  keepAliveMs: number;
  modelsDir: string | null;
  /** Settings of single models; `null` = there are none. */
  modelsFile: string | null;
  /** From where models may be pulled. */
  pull: Pick<PullOptions, 'hosts' | 'hubUrl' | 'stallMs' | 'disk'>;
  /** Names of the GPUs that the worker owns; `null` = all there are. */
  ownGpus?: readonly string[] | null;
  demoPath: string;
  check: CheckFile;
  /** All that a model's file says, as JSON. */
  wholeFacts: (path: string) => Promise<string>;
  version: string;
  open: OpenEngine;
  ledger: WorkerLedger;
  clock: Clock;
  random: Random;
  log: Log;
  /** Another process took over this worker's id. */
  onStale: () => void;
}

export interface Worker {
  readonly url: string;
  readonly epoch: string;
  /** Refuses new requests, lets the running ones end within the bound, says good-bye to the ledger, and closes. */
  drain(withinMs: number): Promise<void>;
}

const everyMs = 1_000;
const rescanEveryMs = 5_000;

/** Starts a worker. Settles when it listens and the ledger was told. @throws the system's error when it cannot listen */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const parts = await createParts(options);
  const { announcer, server, self } = parts;
  self.url = options.url(await listen(server, options));
  const timers = new DisposableStack();
  timers.use(every(options.clock, everyMs, () => watchEngines(parts)));
  timers.use(every(options.clock, rescanEveryMs, () => void rescan(parts)));
  timers.use(parts.modelsFile);
  await announcer.start();
  void preload(parts);
  return {
    url: self.url,
    epoch: self.epoch,
    drain: (withinMs) => drain(parts, timers, withinMs),
  };
}

interface Parts extends Pick<WorkerOptions, 'clock' | 'log'>, Upkeep {
  self: Self;
  slots: Slots;
  embedSlots: Slots;
  catalog: Catalog;
  modelsFile: KeptModelsFile;
  residency: Residency;
  watchdog: Watchdog;
  announcer: Announcer;
  server: Server;
  /** Cuts what still runs when the drain took too long. */
  cut: AbortController;
}

async function createParts(options: WorkerOptions): Promise<Parts> {
  const { clock, log, engine } = options;
  const { id: worker, loadedMax, device } = options;
  const life = { worker, epoch: options.random.id(), url: '' };
  const pullable = options.modelsDir !== null && options.pull.hosts.length > 0;
  const self: Self = { ...life, slots: engine.slots, loadedMax, device, ...(pullable && { pulls: true }) };
  const slots = createSlots(engine.slots, self.epoch);
  const embedSlots = createSlots(options.embedParallel, self.epoch);
  const metrics = createMetrics({ ...options, worker: options.id });
  const ledger = timedLedger(options.ledger, clock, metrics.ledgerCall);
  const watchdog = createWatchdog(clock);
  const onChange = (): void => void rescan(parts);
  const modelsFile = await openModelsFile({ path: options.modelsFile, clock, log, onChange });
  const catalog = createCatalog({ ...options, modelsFile: { path: options.modelsFile ?? '', file: modelsFile } });
  await catalog.scan();

  const pace = createPace(clock);
  const prefixes = createPrefixes({ slots: engine.slots, keepsFiles: Boolean(engine.promptCache) });
  const sizeOf = (name: string): number => catalog.models().find((model) => model.name === name)?.sizeBytes ?? 0;
  const onEvent = (event: ResidencyEvent): void => {
    metrics.residency(event);
    if (event.kind === 'loaded') pace.loaded(event.model, event.loadMs, sizeOf(event.model));
    if (event.kind === 'unloaded') {
      standing.settled(event.model);
      prefixes.gone(event.model);
    }
    // A request may have brought a keep-alive of its own meanwhile.
    if (event.kind === 'idle' && standing.isLeaving(event.model)) residency.unload(event.model, true);
    if (event.kind === 'loaded' || event.kind === 'unloaded') shareThreads(engine.threads, residency.residents());
    // Use and rest change nothing but the hour of the unload: the next beat is soon enough for that.
    if (event.kind !== 'used' && event.kind !== 'idle') announcer.soon();
  };
  const residency = createResidency({ ...options, isPinned: (model) => standing.isPinned(model), onEvent });
  const standing = createStanding({
    unload: residency.unload,
    rest: (resting) => {
      for (const each of [slots, embedSlots]) each.rest(resting);
    },
    onChange: () => announcer.soon(),
  });
  const solitude = createSolitude({ clock, onChange: () => announcer.soon() });
  const lane = (who: () => Self, its: Slots, models: () => Model[]) => {
    const obedience = createObedience({ residency, catalog, log, onChange: () => announcer.soon() });
    const onOrder: AnnouncerOptions['onOrder'] = (order) => {
      if (order !== null) standing.settled(order.model);
      obedience.hear(order);
    };
    const now = (): ReturnType<AnnouncerOptions['now']> => {
      if (its === slots) pace.sampled(new Map(residency.residents().map(({ name, users }) => [name, users])));
      return beatOf(who(), its, {
        models: models(),
        residents: residency.residents(),
        order: obedience.order,
        isTaken: (model) => solitude.taken().has(model) || standing.isLeaving(model),
        isPinned: standing.isPinned,
        pace,
        weight: standing.weight,
        prefixes: its === slots ? prefixes.list() : '',
        contextTokens: engine.contextTokens,
        failed: residency.failed,
        problems: its === slots ? library.problems() : [],
      });
    };
    return createAnnouncer({ ledger, now, clock, log, onOrder, onStale });
  };
  const embedders = (): Model[] => catalog.models().filter(isEmbedder);
  const others = (): Model[] => catalog.models().filter((model) => !isEmbedder(model));
  const embedSelf = (): Self => ({ ...self, worker: embeddingsLane(self.worker), slots: options.embedParallel });
  const onStale = (): void => {
    log.error('another process announces this worker id: this one leaves. Give each worker its own WORKER_ID');
    options.onStale();
  };
  const announcer = announceLanes(
    lane(() => self, slots, others),
    lane(embedSelf, embedSlots, embedders),
    () => embedders().length > 0,
  );
  const noted: Metrics['settled'] = (model, settlement, request) => {
    metrics.settled(model, settlement, request);
    pace.settled(model, settlement, sizeOf(model));
  };
  const cut = new AbortController();
  const kit = {
    slots,
    embedSlots,
    catalog,
    residency,
    solitude,
    watchdog,
    activity: createActivityLog(clock, embedSlots),
    metrics: { ...metrics, settled: noted },
    prefixes,
    cut: cut.signal,
    onNews: announcer.soon,
  };
  const common = { ...options, ...kit, ledger };
  const handlers = engineHandlers({ ...common, problems: () => library.problems() });
  const library = createLibrary({ ...common, rescan: () => rescan(parts) });
  const look = () => lookAt(kit.activity, device, options.gpus);
  const server = createWorkerServer({
    ...common,
    look,
    handlers,
    library: library.handlers,
    standing,
    epoch: self.epoch,
  });
  const parts: Parts = {
    clock,
    log,
    self,
    slots,
    embedSlots,
    catalog,
    modelsFile,
    residency,
    watchdog,
    announcer,
    server,
    cut,
    preloaded: new Set(),
  };
  return parts;
}

export function timedLedger(ledger: WorkerLedger, clock: Clock, hear: Metrics['ledgerCall']): WorkerLedger {
  const measure = timing(clock, hear);
  return {
    beat: (input) => measure('beat', ledger.beat(input)),
    leave: (input) => measure('leave', ledger.leave(input)),
  };
}

/** Threads that wait for each other's turn on a processor cost far more than they bring, so the sum stays the same. */
function shareThreads(threads: number, residents: readonly Resident[]): void {
  const engines = residents.flatMap(({ phase, engine }) => (phase === 'ready' && engine !== null ? [engine] : []));
  for (const each of engines) each.useThreads(Math.max(1, Math.floor(threads / engines.length)));
}

/** An engine without progress: first nothing new is taken, then it is killed. */
function watchEngines({ watchdog, slots, embedSlots, announcer, residency, log }: Parts): void {
  const { stalled, dead } = watchdog.check();
  for (const model of dead) residency.kill(model, 'it made no progress although it had work');
  if (!/^(ready|stalled)$/.test(slots.state) || stalled === (slots.state === 'stalled')) return;
  if (stalled) log.error('an engine with work makes no progress');
  else log.info('the engine works again');
  for (const lane of [slots, embedSlots]) lane.stall(stalled);
  announcer.soon();
}

async function drain(parts: Parts, timers: Disposable, withinMs: number): Promise<void> {
  const { slots, embedSlots, announcer, residency, server, cut, clock, log } = parts;
  const idle = Promise.all([slots.drain(), embedSlots.drain()]);
  announcer.soon();
  if (!(await within(clock, withinMs, idle))) {
    log.warn('running requests are cut: they took longer than DRAIN_TIMEOUT', {
      running: slots.used() + embedSlots.used(),
    });
    cut.abort(new Refusal('worker_failed', 'the worker was stopped before the answer was complete'));
    await within(clock, cutMs, idle);
  }
  timers[Symbol.dispose]();
  await announcer.last();
  // Until here new requests were told "draining", which a refused connection would not say.
  await Promise.all([closeServer(server, clock), residency.close()]);
}
