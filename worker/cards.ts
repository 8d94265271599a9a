// From what is on the disk and what is loaded to what the worker announces. Pure.
import { protocolVersion, seatOn, writeAnnouncement } from '@berth/shared/announcement.ts';
import type { Announcement, ModelCard, Problem } from '@berth/shared/announcement.ts';
import type { Beat, Order } from '@berth/shared/ledger/ledger.ts';
import { isEmbedder } from './models/catalog.ts';
import type { Model } from './models/catalog.ts';
import type { Resident } from './models/entry.ts';
import type { Pace } from './pace.ts';
import type { Slots } from './slots.ts';

export interface Self {
  worker: string;
  epoch: string;
  url: string;
  slots: number;
  loadedMax: number;
  device: string;
  /** Models can be pulled into its folder. */
  pulls?: true;
}

/** What is on the disk, what is loaded, and what is about to be. */
export interface Stock {
  /** Of the lane that beats: each lane of a worker is a worker of its own to the ledger. */
  models: readonly Model[];
  residents: readonly Resident[];
  /** The order that is being obeyed. */
  order: Order | null;
  /** Models that get nothing new: somebody has them alone, or they are about to go. */
  isTaken: (model: string) => boolean;
  /** Models that operators want to stay. */
  isPinned: (model: string) => boolean;
  /** What a load would ask for. */
  contextTokens: number;
  /** Why a model is not to be loaded now. */
  failed: (model: Model) => ModelCard['failed'];
  pace?: Pick<Pace, 'loadMs' | 'tokensPerS' | 'heat' | 'speed'>;
  /** What gateways say it is beside others; 1 unless they did. */
  weight?: number;
  /** Models that cannot be served. */
  problems?: readonly Problem[];
  prefixes?: string;
}

/** They travel with each beat; the log has them all. */
const problemsMax = 16;
const reasonCharsMax = 300;

function shortened({ model, reason }: Problem): Problem {
  return { model, reason: reason.slice(0, reasonCharsMax) };
}

/** What the next beat says. */
export function beatOf(self: Self, slots: Slots, stock: Stock): Omit<Beat, 'boot' | 'last'> {
  const loaded = new Map(
    stock.residents.filter(({ phase }) => phase === 'ready').map((each) => [each.name, each] as const),
  );
  const cards = stock.models.map((model) => cardOf(model, loaded.get(model.name), stock));
  const count = runnable(self.slots, stock.models, stock.residents);
  const names = servedOf(stock.models, loaded);
  const { weight = 1, problems = [], prefixes = '' } = stock;
  const announcement: Announcement = {
    protocol: protocolVersion,
    ...self,
    slots: count,
    state: slots.state,
    ...known('speed', stock.pace?.speed() ?? null),
    weight,
    ...(prefixes !== '' && { prefixes }),
    models: cards,
    ...(problems.length > 0 && { problems: problems.slice(0, problemsMax).map(shortened) }),
  };
  return {
    worker: self.worker,
    epoch: self.epoch,
    capacity: Math.min(count, slots.capacity()),
    weight,
    // One that rests serves nothing, so that others load what is waited for.
    serves: slots.state === 'drained' ? [] : [...names.filter((name) => !stock.isTaken(name)), seatOn(self.worker)],
    loading: loadingOf(stock),
    running: slots.running(),
    announcement: writeAnnouncement(announcement),
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
  const each = models.map((model) =>
    isEmbedder(model) ? slots : (sequences.get(model.name) ?? model.settings.slots ?? slots),
  );
  return models.length === 0
    ? slots
    : Math.min(
        slots,
        each.reduce((sum, count) => sum + count, 0),
      );
}

/** Models that the ledger may send requests for: loaded, and not withdrawn to make room for another. */
function servedOf(models: readonly Model[], loaded: ReadonlyMap<string, Resident>): string[] {
  return models.map(({ name }) => name).filter((name) => loaded.get(name)?.withdrawn === false);
}

/** A load is told however it began, so that no other worker is ordered to do the same. */
function loadingOf({ models, residents, order }: Stock): Order | null {
  const own = new Set(models.map(({ name }) => name));
  const here = residents.find(({ name, phase }) => phase === 'loading' && own.has(name));
  return order ?? (here === undefined ? null : { model: here.name, victim: '' });
}

export function cardOf(
  model: Model,
  resident: Resident | undefined,
  {
    contextTokens,
    failed,
    ...more
  }: Pick<Stock, 'contextTokens' | 'failed'> & Partial<Pick<Stock, 'isPinned' | 'pace'>>,
): ModelCard {
  const { pace, isPinned = () => false } = more;
  const { name, sizeBytes, modifiedAt, capabilities, header, settings } = model;
  const wanted = settings.contextTokens ?? contextTokens;
  const trained = header.contextTokens ?? wanted;
  return {
    name,
    loaded: resident !== undefined,
    evictable: resident?.evictable ?? false,
    ...(isPinned(name) && { pinned: true }),
    ...known('loadMs', pace?.loadMs(name, sizeBytes) ?? null),
    ...known('tokensPerS', pace?.tokensPerS(name) ?? null),
    ...known('heat', pace?.heat(name) || null),
    failed: failed(model),
    contextTokens: resident?.engine?.info.contextTokens ?? Math.min(wanted, trained),
    trainedTokens: header.contextTokens,
    sizeBytes,
    vramBytes: resident?.engine?.info.vramBytes ?? 0,
    digest: header.digest,
    architecture: header.architecture,
    parameterSize: parameterSize(header.parameters),
    quantization: header.quantization,
    modifiedAt,
    capabilities,
    expiresAt: isPinned(name) ? null : (resident?.expiresAt ?? null),
  };
}

export function known<Name extends string>(name: Name, value: number | null): Partial<Record<Name, number>> {
  return value === null ? {} : ({ [name]: value } as Record<Name, number>);
}

/** As Ollama writes it: `8.0B`, `137M`, `260K`. */
export function parameterSize(parameters: number): string {
  if (parameters >= 1e9) return `${(parameters / 1e9).toFixed(1)}B`;
  if (parameters >= 1e6) return `${Math.round(parameters / 1e6)}M`;
  return parameters >= 1e3 ? `${Math.round(parameters / 1e3)}K` : String(parameters);
}
