// From what is on the disk and what is loaded to what the worker announces. Pure.
import { protocolVersion } from '@berth/shared/announcement.ts';
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import type { Beat } from '@berth/shared/ledger/ledger.ts';
import { isEmbedder } from './models/catalog.ts';
import type { Model } from './models/catalog.ts';
import type { Resident } from './models/residency.ts';
import type { Slots } from './slots.ts';

export interface Self {
  worker: string;
  epoch: string;
  url: string;
  slots: number;
  device: string;
}

/**
 * What the next beat says. `weight` is 1 until workers of different speed are told apart by measurement.
 * @param models of the lane that beats: each lane of a worker is a worker of its own to the ledger
 * @param contextTokens what a load would ask for
 * @param taken models that somebody has alone
 */
export function beatOf(
  self: Self,
  slots: Slots,
  models: readonly Model[],
  residents: readonly Resident[],
  contextTokens: number,
  taken: ReadonlySet<string> = new Set(),
): Omit<Beat, 'boot' | 'last'> {
  const served = servedOf(models, residents).filter((name) => !taken.has(name));
  const cards = cardsOf(models, residents, contextTokens);
  const count = runnable(self.slots, models, residents);
  const announcement: Announcement = {
    protocol: protocolVersion,
    ...self,
    slots: count,
    state: slots.state,
    models: cards,
  };
  return {
    worker: self.worker,
    epoch: self.epoch,
    capacity: Math.min(count, slots.capacity()),
    weight: 1,
    serves: served,
    cold: coldOf(served, residents),
    running: slots.running(),
    announcement: JSON.stringify(announcement),
  };
}

/**
 * Of so many slots those that can be at work at once. A model whose memory was short has fewer sequences, and where there
 * is no other model, a request beyond them would wait inside the engine instead of going to another worker.
 */
function runnable(slots: number, models: readonly Model[], residents: readonly Resident[]): number {
  const sequences = new Map(
    residents.map(({ name, phase, engine }) => [name, phase === 'ready' ? engine?.info.slots : undefined]),
  );
  const each = models.map((model) => (isEmbedder(model) ? slots : (sequences.get(model.name) ?? slots)));
  return models.length === 0
    ? slots
    : Math.min(
        slots,
        each.reduce((sum, count) => sum + count, 0),
      );
}

/** One card per model of the catalog. */
function cardsOf(models: readonly Model[], residents: readonly Resident[], contextTokens: number): ModelCard[] {
  const loaded = new Map(residents.filter(({ phase }) => phase === 'ready').map((each) => [each.name, each]));
  return models.map((model) => cardOf(model, loaded.get(model.name), contextTokens));
}

/** Models that the ledger may send requests for: a withdrawn one takes none until it has made room. */
function servedOf(models: readonly Model[], residents: readonly Resident[]): string[] {
  const withdrawn = new Set(residents.filter(({ withdrawn }) => withdrawn).map(({ name }) => name));
  return models.map(({ name }) => name).filter((name) => !withdrawn.has(name));
}

/** Models that a request would have to wait for: neither loaded nor on the way. */
function coldOf(served: readonly string[], residents: readonly Resident[]): string[] {
  const here = new Set(residents.filter(({ phase }) => phase !== 'closing').map(({ name }) => name));
  return served.filter((name) => !here.has(name));
}

export function cardOf(model: Model, resident: Resident | undefined, contextTokens: number): ModelCard {
  const { name, sizeBytes, modifiedAt, capabilities, header } = model;
  const trained = header.contextTokens ?? contextTokens;
  return {
    name,
    loaded: resident !== undefined,
    contextTokens: resident?.engine?.info.contextTokens ?? Math.min(contextTokens, trained),
    trainedTokens: header.contextTokens,
    sizeBytes,
    vramBytes: resident?.engine?.info.vramBytes ?? 0,
    digest: header.digest,
    architecture: header.architecture,
    parameterSize: parameterSize(header.parameters),
    quantization: header.quantization,
    modifiedAt,
    capabilities,
    expiresAt: resident?.expiresAt ?? null,
  };
}

/** As Ollama writes it: `8.0B`, `137M`, `260K`. */
function parameterSize(parameters: number): string {
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(1)}B`;
  if (parameters >= 1e6) return `${Math.round(parameters / 1e6)}M`;
  return parameters >= 1e3 ? `${Math.round(parameters / 1e3)}K` : String(parameters);
}
