// The models of a joined server: which are there and loaded, what the worker announces of them, and their loading by order.
import { protocolVersion, seatOn, writeAnnouncement } from '@berth/shared/announcement.ts';
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Beat, Order } from '@berth/shared/ledger/ledger.ts';
import { known } from '../cards.ts';
import type { Self } from '../cards.ts';
import { afterFailedLoad, holding } from '../models/failures.ts';
import type { Failure } from '../models/failures.ts';
import { again } from '../models/entry.ts';
import type { Pace } from '../pace.ts';
import { reasonOf } from '../reason.ts';
import type { Slots } from '../slots.ts';
import type { Standing } from '../standing.ts';
import type { Client } from './client.ts';
import { loadOllama, unloadOllama } from './ollama.ts';
import { survey } from './survey.ts';
import type { JoinedModel, Survey } from './survey.ts';

export interface Shelf {
  /** What was seen last; `null` = nothing yet. */
  readonly seen: Survey | null;
  /** Requests that the server may be given at once. */
  readonly slots: number;
  find(name: string): JoinedModel | null;
  /** Looks again. @throws as `survey` does */
  look(): Promise<void>;
  /** A model was found to embed and not to generate. */
  embeds(name: string): void;
  /** As its own clients do; for an Ollama. @param victim the model that makes room, when it is idle; '' = none */
  load(model: JoinedModel, victim: string, signal: AbortSignal): Promise<void>;
  /** Lets a model go as soon as it is idle; of a server whose models stay nothing goes. Never rejects. */
  retire(name: string): Promise<void>;
  /** What the next beat says. */
  beat(self: Self, state: ShelfState): Omit<Beat, 'boot' | 'last'>;
}

interface ShelfState {
  /** The server is in rotation. */
  up: boolean;
  order: Order | null;
  standing: Pick<Standing, 'isPinned' | 'isLeaving' | 'weight'>;
}

interface Options {
  client: Client;
  /** Requests that may run at once, if the server can do so many. */
  most: number;
  slots: Slots;
  pace: Pace;
  clock: Clock;
  /** Something is other than it was announced. */
  onChange: () => void;
}

/** Until a model that has just been loaded may go for another one. */
const stayMs = 5_000;
const idleLookMs = 50;

export function createShelf({ client, most, slots, pace, clock, onChange }: Options): Shelf {
  let seen: Survey | null = null;
  const embedders = new Set<string>();
  const failures = new Map<string, Failure>();
  /** Since when each model is loaded, on the monotonic clock. */
  const loadedMs = new Map<string, number>();

  const allowed = (): number => Math.min(most, seen?.slots ?? most);
  const failureOf = ({ name, digest }: Pick<JoinedModel, 'name' | 'digest'>): Failure | null =>
    holding(failures.get(name), digest, clock.monotonic());
  const usersOf = (name: string): number => slots.running().filter(({ model }) => model === name).length;
  const asKnown = (model: JoinedModel): JoinedModel =>
    embedders.has(model.name) ? { ...model, capabilities: ['embedding'] } : model;

  const take = (found: Survey): void => {
    const before = signature(seen);
    seen = { ...found, models: found.models.map(asKnown) };
    for (const { name, loaded } of seen.models) {
      if (!loaded) loadedMs.delete(name);
      else if (!loadedMs.has(name)) loadedMs.set(name, clock.monotonic());
    }
    if (signature(seen) !== before) onChange();
  };
  /** After a failure there may be another kind of server at the same address. */
  let isSame = true;
  const look = async (): Promise<void> => {
    const before = isSame ? seen : null;
    isSame = false;
    take(await survey(client, before));
    isSame = true;
  };

  const cardOf = ({ id: _id, chatTemplate: _template, ...model }: JoinedModel, pinned: boolean): ModelCard => {
    const users = usersOf(model.name);
    const fresh = clock.monotonic() - (loadedMs.get(model.name) ?? 0) < stayMs;
    const failure = failureOf(model);
    return {
      ...model,
      ...(pinned && { pinned: true as const }),
      ...known('loadMs', seen?.kind === 'ollama' ? pace.loadMs(model.name, model.sizeBytes) : null),
      ...known('tokensPerS', pace.tokensPerS(model.name)),
      ...known('heat', pace.heat(model.name) || null),
      // Only an Ollama can let one go for another.
      evictable: seen?.kind === 'ollama' && model.loaded && (users === 0 || !fresh),
      expiresAt: users > 0 ? null : model.expiresAt,
      failed: failure && { reason: failure.reason },
    };
  };

  /** A busy model never goes (invariant I7). */
  const becomesIdle = async (name: string, signal?: AbortSignal): Promise<void> => {
    while (usersOf(name) > 0) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => void clock.after(idleLookMs, resolve));
    }
  };

  return {
    get seen() {
      return seen;
    },
    get slots() {
      return allowed();
    },
    find: (name) => seen?.models.find((model) => model.name === name) ?? null,
    look,
    embeds(name) {
      embedders.add(name);
      if (seen) take(seen);
    },
    async load(model, victim, signal) {
      const failure = failureOf(model);
      if (failure !== null) throw again(model.name, failure);
      const leaving = seen?.models.find(({ name, loaded }) => name === victim && loaded);
      try {
        if (leaving !== undefined) {
          await becomesIdle(victim, signal);
          await unloadOllama(client, leaving);
        }
        const startedMs = clock.monotonic();
        await loadOllama(client, model, signal);
        pace.loaded(model.name, clock.monotonic() - startedMs, model.sizeBytes);
        failures.delete(model.name);
      } catch (error) {
        const before = failures.get(model.name);
        const failed = afterFailedLoad(before, model.digest, reasonOf(error), clock.monotonic());
        if (!signal.aborted) failures.set(model.name, failed);
        throw error;
      } finally {
        await look().catch(() => undefined);
      }
    },
    async retire(name) {
      const model = seen?.kind === 'ollama' ? seen.models.find((each) => each.name === name && each.loaded) : undefined;
      if (model === undefined) return;
      await becomesIdle(name);
      await unloadOllama(client, model).catch(() => undefined);
      await look().catch(() => undefined);
    },
    beat(self, { up, order, standing }) {
      const count = allowed();
      const running = slots.running();
      const requests = running.filter(({ gateway }) => gateway !== '');
      const models = seen?.models ?? [];
      const isServed = ({ name, loaded }: JoinedModel) => loaded && name !== order?.victim && !standing.isLeaving(name);
      const serves = [...models.filter(isServed).map(({ name }) => name), seatOn(self.worker)];
      pace.sampled(new Map(models.filter(({ loaded }) => loaded).map(({ name }) => [name, usersOf(name)])));
      const { weight } = standing;
      const announcement: Announcement = {
        protocol: protocolVersion,
        ...self,
        slots: count,
        // Made of the sizes of models, which not every server tells.
        ...known('speed', models.every(({ sizeBytes }) => sizeBytes > 0) ? pace.speed() : null),
        weight,
        state: slots.state === 'ready' && !up ? 'stalled' : slots.state,
        models: models.map((model) => cardOf(model, standing.isPinned(model.name))),
      };
      return {
        worker: self.worker,
        epoch: self.epoch,
        // A canary is nobody's request: the ledger does not hear of it, and has a slot less meanwhile.
        capacity: up ? Math.min(count, slots.capacity()) - (running.length - requests.length) : 0,
        weight,
        serves: up && slots.state !== 'drained' ? serves : [],
        loading: order,
        running: requests,
        announcement: writeAnnouncement(announcement),
      };
    },
  };
}

/** The hour of an unload is no news: the next beat is soon enough for that. */
function signature(seen: Survey | null): string {
  return JSON.stringify(seen?.models.map(({ expiresAt: _expiresAt, ...model }) => model));
}
