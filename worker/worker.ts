// A worker put together: guard, models, server and beats over one ledger. Time, chance and engine come in.
import type { Server } from 'node:http';
import type { Clock } from '@berth/shared/clock.ts';
import type { WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Random } from '@berth/shared/random.ts';
import { createAnnouncer } from './announce.ts';
import { announcementOf, cardsOf, coldOf, servedOf } from './cards.ts';
import type { EngineOptions, OpenEngine } from './engine/engine.ts';
import { createWorkerServer } from './http.ts';
import { createMetrics } from './metrics.ts';
import { createCatalog } from './models/catalog.ts';
import { createResidency } from './models/residency.ts';
import type { ResidencyEvent } from './models/residency.ts';
import { reasonOf } from './reason.ts';
import { createSlots } from './slots.ts';
import { createWatchdog } from './watchdog.ts';

export interface WorkerOptions {
  id: string;
  host: string;
  port: number;
  /** Origin at which gateways reach it, from the port that it got. */
  url: (port: number) => string;
  secret: string;
  device: string;
  engine: Omit<EngineOptions, 'path'>;
  loadedMax: number;
  keepAliveMs: number;
  modelsDir: string | null;
  demoPath: string;
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
/** How long cut requests may take to tell their gateways why. */
const cutMs = 1_500;
const sweepMs = 20;

/** Starts a worker. Settles when it listens and the ledger was told. @throws the system's error when it cannot listen */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { clock, log, ledger, random } = options;
  const epoch = random.id();
  const slots = createSlots(options.engine.slots, epoch);
  const metrics = createMetrics(options.version);
  const watchdog = createWatchdog(clock);
  const catalog = createCatalog(options);
  const cut = new AbortController();
  await catalog.scan();

  const onEvent = (event: ResidencyEvent): void => {
    metrics.residency(event);
    // Use and rest change nothing but the hour of the unload: the next beat is soon enough for that.
    if (event.kind !== 'used' && event.kind !== 'idle') announcer.soon();
  };
  const residency = createResidency({ ...options, onEvent });
  const onRefused = (): void => announcer.soon();
  const server = createWorkerServer({
    ...options,
    slots,
    catalog,
    residency,
    watchdog,
    metrics,
    cut: cut.signal,
    onRefused,
  });
  const port = await listen(server, options.port, options.host, (error) =>
    log.error('the server has a problem', { reason: error.message }),
  );
  const self = {
    worker: options.id,
    epoch,
    url: options.url(port),
    slots: options.engine.slots,
    device: options.device,
  };

  const now = () => {
    const models = catalog.models();
    const residents = residency.residents();
    const cards = cardsOf(models, residents, options.engine.contextTokens);
    return {
      worker: options.id,
      epoch,
      capacity: slots.capacity(),
      weight: 1,
      serves: servedOf(models, residents),
      cold: coldOf(models, residents),
      running: slots.running(),
      announcement: JSON.stringify(announcementOf(self, slots.state, cards)),
    };
  };
  const onStale = (): void => {
    log.error('another process announces this worker id: this one leaves. Give each worker its own WORKER_ID');
    options.onStale();
  };
  const announcer = createAnnouncer({ ledger, now, clock, log, onStale });

  const watch = (): void => {
    const { stalled, dead } = watchdog.check();
    if (stalled !== (slots.state === 'stalled') && slots.state !== 'draining') {
      log[stalled ? 'error' : 'info'](stalled ? 'an engine with work makes no progress' : 'the engine works again');
      slots.stall(stalled);
      announcer.soon();
    }
    for (const model of dead) residency.kill(model, 'no progress for 30 s');
  };
  const rescan = async (): Promise<void> => {
    if (!(await catalog.scan())) return;
    const there = new Set(catalog.models().map(({ name }) => name));
    for (const { name } of residency.residents()) if (!there.has(name)) residency.unload(name);
    announcer.soon();
  };
  const look = (): void =>
    void rescan().catch((error: unknown) =>
      log.error('the models could not be looked at', { reason: reasonOf(error) }),
    );
  using timers = new DisposableStack();
  timers.use(every(clock, everyMs, watch));
  timers.use(every(clock, rescanEveryMs, look));
  await announcer.start();
  const ticking = timers.move();

  return {
    url: self.url,
    epoch,
    async drain(withinMs) {
      const idle = slots.drain();
      announcer.soon();
      if (!(await within(clock, withinMs, idle))) {
        log.warn('running requests are cut: they took longer than DRAIN_TIMEOUT', { running: slots.used() });
        cut.abort(new Refusal('worker_failed', 'the worker was stopped before the answer was complete'));
        await within(clock, cutMs, idle);
      }
      ticking.dispose();
      await announcer.last();
      // Until here new requests were told "draining", which a refused connection would not say.
      await Promise.all([closeServer(server, clock), residency.close()]);
    },
  };
}

function listen(server: Server, port: number, host: string, onError: (error: Error) => void): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      server.on('error', onError);
      const address = server.address();
      resolve(address !== null && typeof address === 'object' ? address.port : port);
    });
  });
}

/** Stops listening and lets the last bytes of replies leave, within a bound. */
async function closeServer(server: Server, clock: Clock): Promise<void> {
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  // A reply that began before the drain promised keep-alive: its connection becomes idle, and is closed then.
  using _sweep = every(clock, sweepMs, () => server.closeIdleConnections());
  await within(clock, cutMs, closed.promise);
  server.closeAllConnections();
}

/** Calls `action` again and again until it is disposed. */
function every(clock: Clock, periodMs: number, action: () => void): Disposable {
  let timer = clock.after(periodMs, function again() {
    action();
    timer = clock.after(periodMs, again);
  });
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}

/** True when the promise settled in time. */
async function within(clock: Clock, ms: number, promise: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<false>();
  using _timer = clock.after(ms, () => late.resolve(false));
  return await Promise.race([promise.then(() => true), late.promise]);
}
