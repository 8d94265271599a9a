// What the worker counts. Labels come from closed lists and from the catalog, never from what a client writes.
import type { Clock } from '@berth/shared/clock.ts';
import { eventLoopBusyS } from '@berth/shared/metrics/event-loop.ts';
import { createInstruments } from '@berth/shared/metrics/instruments.ts';
import type { Sample, Scrape } from '@berth/shared/metrics/instruments.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { EngineStep } from './engine/engine.ts';
import type { GpuReading, ReadGpus } from './gpu.ts';
import { readHost, readProcess } from './host.ts';
import { workerFamilies } from './metric-families.ts';
import type { RefusalReason, WorkerLedgerOperation } from './metric-families.ts';
import type { ResidencyEvent, Resident } from './models/entry.ts';
import type { Slots } from './slots.ts';

export interface Metrics {
  /** How an accepted request ended. */
  ended(outcome: Outcome): void;
  /** Not started. */
  refused(why: RefusalReason): void;
  /** @param request its id, `null` when the gateway did not say */
  settled(model: string, settlement: Settlement, request: string | null): void;
  /** Time from one piece of an answer to the next, which has so many tokens. */
  piece(model: string, gapMs: number, tokens: number): void;
  residency(event: ResidencyEvent): void;
  ledgerCall(operation: WorkerLedgerOperation, answered: boolean, ms: number): void;
  /** @param accept the scraper's `Accept` */
  scrape(sources: Sources, accept: string | undefined): Promise<Scrape>;
}

/** What is read at the moment of a scrape. */
interface Sources {
  slots: Counts;
  embedSlots: Counts;
  residency: { residents(): readonly Counted[] };
}

type Counts = Pick<Slots, 'capacity' | 'used'>;

/** What is read of a model that is loaded, or about to be. */
type Counted = Pick<Resident, 'name' | 'phase' | 'users' | 'engine'>;

interface Options {
  version: string;
  worker: string;
  device: string;
  loadedMax: number;
  gpus: ReadGpus;
  clock: Pick<Clock, 'now'>;
}

export function createMetrics({ version, worker, device, loadedMax, gpus, clock }: Options): Metrics {
  let folded = 0;
  let ledgerUp = false;
  const made = createInstruments(workerFamilies, {
    runtimePrefix: 'berth_worker_',
    now: () => clock.now(),
    onFold: () => (folded += 1),
  });
  const its = made.instruments;
  its.info.replace([[{ version, worker, device }, 1]]);
  its.loadedMax.replace([[{}, loadedMax]]);

  function look({ slots, embedSlots, residency }: Sources): void {
    const ready = residency.residents().filter(({ phase }) => phase === 'ready');
    its.slots.replace([[{}, slots.capacity()]]);
    its.slotsUsed.replace([[{}, slots.used()]]);
    its.embedSlots.replace([[{}, embedSlots.capacity()]]);
    its.embedSlotsUsed.replace([[{}, embedSlots.used()]]);
    its.loaded.replace([[{}, ready.length]]);
    its.running.replace(ready.map(({ name, users }) => [{ model: name }, users]));
    its.vram.replace(ready.map(({ name, engine }) => [{ model: name }, engine?.info.vramBytes ?? 0]));
    its.ledgerUp.replace([[{}, ledgerUp ? 1 : 0]]);
    its.loopBusy.replace([[{}, eventLoopBusyS()]]);
    its.folded.replace([[{}, folded]]);
    const host = readHost();
    its.hostCpus.replace([[{}, host.cpus]]);
    its.hostCpuBusy.replace([[{}, host.cpuBusyS]]);
    its.hostMemory.replace([[{}, host.memoryBytes]]);
    its.hostMemoryFree.replace([[{}, host.memoryFreeBytes]]);
  }

  async function lookAtEngines(residents: readonly Counted[]): Promise<void> {
    const found = await Promise.all(
      residents.map(async ({ name, engine }) => ({ name, used: engine?.pid ? await readProcess(engine.pid) : null })),
    );
    const told = found.flatMap(({ name: model, used }) => (used === null ? [] : [{ model, used }]));
    its.engineCpu.replace(told.map(({ model, used }) => [{ model }, used.cpuS]));
    its.engineMemory.replace(told.map(({ model, used }) => [{ model }, used.residentBytes]));
  }

  async function lookAtGpus(): Promise<void> {
    const readings = await gpus();
    const samples = (value: (reading: GpuReading) => number | null): Sample<'gpu'>[] =>
      readings.flatMap((reading) => {
        const it = value(reading);
        return it === null ? [] : [[{ gpu: reading.gpu }, it] as const];
      });
    its.gpuMemoryUsed.replace(samples(({ memoryUsedBytes }) => memoryUsedBytes));
    its.gpuMemory.replace(samples(({ memoryBytes }) => memoryBytes));
    its.gpuUtilization.replace(samples(({ utilization }) => utilization));
    its.gpuPower.replace(samples(({ powerWatts }) => powerWatts));
    its.gpuPowerLimit.replace(samples(({ powerLimitWatts }) => powerLimitWatts));
    its.gpuTemperature.replace(samples(({ temperatureCelsius }) => temperatureCelsius));
  }

  function step(model: string, { ms, decoded, prefilled }: EngineStep): void {
    const phase = prefilled === 0 ? 'decode' : decoded === 0 ? 'prefill' : 'mixed';
    its.stepTime.observe({ model, phase }, ms / 1_000);
    its.batch.observe({ model }, decoded + prefilled);
    if (prefilled > 0) its.stepTokens.add({ model, phase: 'prefill' }, prefilled);
    if (decoded > 0) its.stepTokens.add({ model, phase: 'decode' }, decoded);
  }

  return {
    ended: (outcome) => its.requests.add({ outcome }),
    refused: (why) => its.refusals.add({ why }),
    settled(model, { promptTokens, cachedTokens, outputTokens, ttftMs }, request) {
      its.tokens.add({ model, kind: 'prompt' }, promptTokens);
      its.tokens.add({ model, kind: 'cached' }, cachedTokens);
      its.tokens.add({ model, kind: 'output' }, outputTokens);
      if (outputTokens > 0) its.ttft.observe({ model }, ttftMs / 1_000, request === null ? {} : { request });
    },
    piece: (model, gapMs, tokens) => its.tokenGap.observe({ model }, gapMs / tokens / 1_000),
    residency(event) {
      const { model } = event;
      if (event.kind === 'loaded') {
        its.loads.add({ model, result: 'loaded' });
        its.loadTime.observe({ model }, event.loadMs / 1_000);
        event.engine.onStep((done) => step(model, done));
      }
      if (event.kind === 'load_failed') its.loads.add({ model, result: 'failed' });
      if (event.kind === 'unloaded') its.unloads.add({ model, reason: event.reason });
      if (event.kind === 'withdrawn') its.barriers.add({ model });
    },
    ledgerCall(operation, answered, ms) {
      if (operation === 'beat') ledgerUp = answered;
      its.ledgerCalls.observe({ operation }, ms / 1_000);
      if (!answered) its.ledgerFailures.add({ operation });
    },
    async scrape(sources, accept) {
      await Promise.all([lookAtGpus(), lookAtEngines(sources.residency.residents())]);
      look(sources);
      return made.scrape(accept);
    },
  };
}
