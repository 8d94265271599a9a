// The worker's metrics. Labels come from closed lists and from the catalog, never from what a client writes.
import type { NotStarted } from '@berth/shared/headers.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Residency, ResidencyEvent } from './models/residency.ts';
import type { Slots } from './slots.ts';

const loadBucketsS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300];
/** Buckets of OpenTelemetry's GenAI conventions for the time to the first token. */
const ttftBucketsS = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60];

export interface Metrics {
  readonly contentType: string;
  /** How an accepted request ended. */
  ended(outcome: Outcome): void;
  /** Not started. */
  refused(why: NotStarted | 'unsigned' | 'expired' | 'forged'): void;
  settled(model: string, settlement: Settlement): void;
  residency(event: ResidencyEvent): void;
  /** The text of a scrape. */
  text(sources: Sources): Promise<string>;
}

/** What is read at the moment of a scrape. */
interface Sources {
  slots: Slots;
  embedSlots: Slots;
  residency: Residency;
}

export function createMetrics(version: string): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'berth_worker_' });

  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, labelNames: ['model'], buckets, registers });

  const requests = counter('berth_worker_requests_total', 'Requests that got a slot, by how they ended.', ['outcome']);
  const refusals = counter('berth_worker_refusals_total', 'Requests that were not started, by why.', ['why']);
  const tokens = counter('berth_worker_tokens_total', 'Tokens: prompt, cached of these, output.', ['model', 'kind']);
  const models = counter('berth_worker_model_events_total', 'Loads, failed loads, unloads, deaths.', [
    'model',
    'event',
  ]);
  const load = histogram('berth_worker_load_seconds', 'Time to load a model.', loadBucketsS);
  const ttft = histogram('berth_worker_ttft_seconds', 'From acceptance to the first token.', ttftBucketsS);
  gauge('berth_worker_info', 'Always 1; the version is the label.', ['version']).set({ version }, 1);
  const slotsTotal = gauge('berth_worker_slots', 'Slots that may be in use now: 0 while draining or stalled.');
  const slotsUsed = gauge('berth_worker_slots_used', 'Slots in use.');
  const embedTotal = gauge('berth_worker_embedding_slots', 'Slots for embeddings that may be in use now.');
  const embedUsed = gauge('berth_worker_embedding_slots_used', 'Slots for embeddings in use.');
  const running = gauge('berth_worker_running', 'Requests that use a model now.', ['model']);
  const loadedModels = gauge('berth_worker_loaded_models', 'Models that are loaded.');
  const steps = gauge('berth_worker_engine_steps', "Steps of a model's engine since its load.", ['model']);
  const vram = gauge('berth_worker_vram_bytes', 'Bytes that a loaded model takes on the device.', ['model']);

  const observe = ({ slots, embedSlots, residency }: Sources): void => {
    const ready = residency.residents().filter(({ phase }) => phase === 'ready');
    slotsTotal.set(slots.capacity());
    slotsUsed.set(slots.used());
    embedTotal.set(embedSlots.capacity());
    embedUsed.set(embedSlots.used());
    loadedModels.set(ready.length);
    for (const each of [running, steps, vram]) each.reset();
    for (const { name: model, users, engine } of ready) {
      running.set({ model }, users);
      steps.set({ model }, engine?.steps() ?? 0);
      vram.set({ model }, engine?.info.vramBytes ?? 0);
    }
  };

  return {
    contentType: registry.contentType,
    ended: (outcome) => requests.inc({ outcome }),
    refused: (why) => refusals.inc({ why }),
    settled(model, settlement) {
      tokens.inc({ model, kind: 'prompt' }, settlement.promptTokens);
      tokens.inc({ model, kind: 'cached' }, settlement.cachedTokens);
      tokens.inc({ model, kind: 'output' }, settlement.outputTokens);
      if (settlement.outputTokens > 0) ttft.observe({ model }, settlement.ttftMs / 1_000);
    },
    residency(event) {
      if (event.kind === 'used' || event.kind === 'idle' || event.kind === 'loading') return;
      models.inc({ model: event.model, event: event.kind });
      if (event.kind === 'loaded') load.observe({ model: event.model }, event.loadMs / 1_000);
    },
    text(sources) {
      observe(sources);
      return registry.metrics();
    },
  };
}
