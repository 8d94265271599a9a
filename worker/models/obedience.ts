// The worker does as the ledger orders: it loads the one model that is waited for, and gives up when told so.
import type { Order } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { reasonOf } from '../reason.ts';

export interface Obedience {
  /** What the ledger's last answer ordered; `null` = nothing. Never rejects, and returns before the load has ended. */
  hear(order: Order | null): void;
  /** The order that is being obeyed. */
  readonly order: Order | null;
}

/** @template M what is loaded: a model file of ours, or a model of a joined server */
export interface ObedienceOptions<M> {
  residency: { load(model: M, victim: string, signal: AbortSignal): Promise<void> };
  catalog: { find(name: string): Promise<M | null> };
  log: Log;
  /** An order has begun or ended: the ledger is to hear of it. */
  onChange: () => void;
}

/**
 * 1. The ledger's word holds: an order that stands no more is given up, unless the engine is opening already.
 * 2. The same order again is no news. One that has ended, well or badly, is told by the beat that names it no more.
 */
export function createObedience<M>({ residency, catalog, log, onChange }: ObedienceOptions<M>): Obedience {
  let current: { order: Order; off: AbortController } | null = null;

  const obey = async (order: Order, off: AbortController): Promise<void> => {
    try {
      const model = await catalog.find(order.model);
      if (model !== null) await residency.load(model, order.victim, off.signal);
    } catch (error) {
      if (!off.signal.aborted) log.info('an order could not be obeyed', { ...order, reason: reasonOf(error) });
    }
    if (current?.off !== off) return;
    current = null;
    onChange();
  };

  return {
    hear(order) {
      if (current?.order.model === order?.model && current?.order.victim === order?.victim) return; // 2
      current?.off.abort(new Error('the order stands no more')); // 1
      current = null;
      if (order === null) return;
      current = { order, off: new AbortController() };
      onChange();
      void obey(order, current.off);
    },
    get order() {
      return current?.order ?? null;
    },
  };
}
