// Which workers have which model. Looked up for each request, and kept up to date by what each worker has changed: that
// costs what a worker announces, not what the pool has.
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import type { Contexts } from '../placement/fit.ts';

/** Both are the newest at any time. */
export interface Copy {
  worker: Announcement;
  card: ModelCard;
}

interface Known {
  copies: readonly Copy[];
  warm: readonly string[];
  contexts: Contexts;
}

export interface Copies {
  announced(worker: Announcement): void;
  gone(worker: string): void;
  /** After all that one message told. */
  settle(): void;
  of(model: string): Known;
  models(): IterableIterator<string>;
}

const nowhere: Known = { copies: [], warm: [], contexts: { least: Infinity, most: Infinity } };

export function createCopies(): Copies {
  const byModel = new Map<string, Known>();
  const byWorker = new Map<string, { state: Announcement['state']; own: Map<string, Copy> }>();
  const changed = new Set<string>();

  /** Lists are never changed in place: somebody may be going through one. */
  function put(model: string, copies: readonly Copy[]): void {
    if (copies.length === 0) byModel.delete(model);
    else byModel.set(model, { ...nowhere, copies });
    changed.add(model);
  }
  function remove(model: string, copy: Copy): void {
    const left = byModel.get(model)?.copies.filter((each) => each !== copy);
    put(model, left ?? []);
  }

  return {
    announced(worker) {
      const { state, own = new Map<string, Copy>() } = byWorker.get(worker.worker) ?? {};
      byWorker.set(worker.worker, { state: worker.state, own });
      for (const card of worker.models) {
        const copy = own.get(card.name);
        if (copy === undefined) {
          const fresh = { worker, card };
          own.set(card.name, fresh);
          put(card.name, [...(byModel.get(card.name)?.copies ?? []), fresh]);
          continue;
        }
        // Cards that did not change are the very ones that were read before.
        if (copy.card !== card || state !== worker.state) changed.add(card.name);
        copy.worker = worker;
        copy.card = card;
      }
      for (const [model, copy] of own) {
        if (copy.worker === worker) continue;
        own.delete(model);
        remove(model, copy);
      }
    },
    gone(worker) {
      for (const [model, copy] of byWorker.get(worker)?.own ?? []) remove(model, copy);
      byWorker.delete(worker);
    },
    settle() {
      for (const model of changed) {
        const copies = byModel.get(model)?.copies;
        if (copies) byModel.set(model, { copies, warm: warmWorkers(copies), contexts: contextsOf(copies) });
      }
      changed.clear();
    },
    of: (model) => byModel.get(model) ?? nowhere,
    models: () => byModel.keys(),
  };
}

function contextsOf(copies: readonly Copy[]): Contexts {
  const all = copies.map(({ card }) => card.contextTokens);
  return { least: Math.min(...all), most: Math.max(...all) };
}

/** In a fixed order. */
function warmWorkers(copies: readonly Copy[]): string[] {
  const ready = copies.filter(({ worker, card }) => card.loaded && worker.state === 'ready');
  return ready.map(({ worker }) => worker.worker).sort();
}
