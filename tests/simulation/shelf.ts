// What a worker of the simulation has loaded: the production's residency, obedience and cards around engines that only
// take time to load.
import type { Clock } from '@berth/shared/clock.ts';
import type { Beat, Order } from '@berth/shared/ledger/ledger.ts';
import { silentLog } from '@berth/shared/log.ts';
import { beatOf, type Self } from '../../worker/cards.ts';
import type { Engine } from '../../worker/engine/engine.ts';
import type { Model } from '../../worker/models/catalog.ts';
import { createObedience } from '../../worker/models/obedience.ts';
import { createResidency } from '../../worker/models/residency.ts';
import { createPace } from '../../worker/pace.ts';
import type { Slots } from '../../worker/slots.ts';

export interface Loads {
  loadedMax: number;
  /** What a load takes. */
  loadMs: number;
  /** Hears of each load as it begins and as it ends. */
  hear?: (model: string, what: 'begins' | 'ends') => void;
}

/** What else a worker knows of its models. */
export interface Wants {
  isPinned?: (model: string) => boolean;
  isLeaving?: (model: string) => boolean;
  prefixes?: () => string;
  onUnloaded?: (model: string) => void;
}

export interface Shelf {
  use(model: string, signal: AbortSignal): Promise<Disposable>;
  hear(order: Order | null): void;
  beat(self: Omit<Self, 'loadedMax'>, guard: Slots, taken: ReadonlySet<string>): Omit<Beat, 'boot' | 'last'>;
  serving(): string[];
  kill(model: string): void;
  /** As soon as it is idle. */
  unload(model: string): void;
}

export function createShelf(
  clock: Clock,
  names: readonly string[],
  loads: Loads,
  onChange: () => void,
  { isPinned = () => false, isLeaving = () => false, prefixes = () => '', onUnloaded = () => {} }: Wants = {},
): Shelf {
  const { loadedMax, loadMs, hear } = loads;
  const models = names.map(modelOf);
  const named = (name: string) => models.find((model) => model.name === name) ?? modelOf(name);
  const open = async ({ path }: { path: string }): Promise<Engine> => {
    hear?.(path, 'begins');
    await new Promise<void>((resolve) => void clock.after(loadMs, resolve));
    hear?.(path, 'ends');
    const info = { contextTokens: 4_096, slots: 64, vramBytes: 0, memoryBytes: 0 };
    const died = new Promise<never>(() => {});
    return { info, died, share: () => {}, [Symbol.asyncDispose]: async () => {} } as unknown as Engine;
  };
  const residency = createResidency({
    open,
    engine: { contextTokens: 4_096, slots: 64, threads: 1, gpu: false },
    loadedMax,
    keepAliveMs: 300_000,
    isPinned,
    clock,
    log: silentLog,
    onEvent: (event) => {
      if (event.kind === 'loaded') pace.loaded(event.model, event.loadMs, 1);
      if (event.kind === 'unloaded') onUnloaded(event.model);
      if (event.kind === 'idle' && isLeaving(event.model)) residency.unload(event.model);
      if (event.kind !== 'used' && event.kind !== 'idle') onChange();
    },
  });
  const pace = createPace(clock);
  const obedience = createObedience({
    residency,
    catalog: { find: async (name) => named(name) },
    log: silentLog,
    onChange,
  });
  return {
    use: (name, signal) => residency.use(named(name), null, signal),
    hear: obedience.hear,
    beat(self, guard, taken) {
      pace.sampled(new Map(residency.residents().map(({ name, users }) => [name, users])));
      return beatOf({ ...self, loadedMax }, guard, {
        models,
        residents: residency.residents(),
        order: obedience.order,
        isTaken: (name) => taken.has(name) || isLeaving(name),
        isPinned,
        pace,
        prefixes: prefixes(),
        contextTokens: 4_096,
        failed: residency.failed,
      });
    },
    serving: () =>
      residency
        .residents()
        .filter(({ phase, withdrawn, name }) => phase === 'ready' && !withdrawn && name !== obedience.order?.victim)
        .map(({ name }) => name),
    unload: residency.unload,
    kill: (name) => residency.kill(name, 'killed'),
  };
}

function modelOf(name: string): Model {
  const header = {
    contextTokens: 4_096,
    digest: '',
    facts: {},
    parameters: 1,
    quantization: 'F16',
    architecture: 'llama',
  };
  return {
    name,
    path: name,
    version: 'v1',
    sizeBytes: 1,
    modifiedAt: '',
    capabilities: ['completion'],
    adapters: [],
    settings: {},
    header,
  } as unknown as Model;
}
