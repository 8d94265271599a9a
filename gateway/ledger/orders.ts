// Which models the workers serve, and which they are to load. Part of the twin of shared/ledger/lua.
import { loadMs, orderMs } from '@berth/shared/ledger/ledger.ts';
import type { Beat, Claim, Claimed, Order } from '@berth/shared/ledger/ledger.ts';
import { commandsOf, type Pool, type StandingOrder } from './pool.ts';

export type Orders = ReturnType<typeof createOrders>;

/** The orders of one pool: at most one per worker, and one per model. */
export function createOrders(pool: Pool) {
  const redis = commandsOf(pool);
  const { workers, loads } = pool;

  /** What the worker may be given from now on; the caller reindexes. */
  function serve(w: string, models: readonly string[]): void {
    const worker = workers.get(w);
    if (worker === undefined) return;
    for (const model of worker.serves) {
      redis.remove(`i:${model}`, w);
      redis.take(`sv:${model}`, w);
    }
    for (const model of models) redis.put(`sv:${model}`, w);
    worker.serves = models;
  }

  const servers = (model: string): number => redis.count(`sv:${model}`);

  function command(w: string, order: StandingOrder, deadline: number): void {
    const worker = workers.get(w);
    if (worker !== undefined) worker.order = order;
    loads.set(order.model, w);
    redis.add('o', deadline, w);
  }

  /** A victim is served again by the next beat, which says whether it is still there. */
  function voidOrder(w: string): void {
    const worker = workers.get(w);
    if (!worker?.order) return;
    loads.delete(worker.order.model);
    redis.remove('o', w);
    worker.order = null;
  }

  return {
    serve,
    servers,
    voidOrder,

    /**
     * The order that a worker has after its beat. It is void when its time is over, when the model is there, and when
     * the worker has heard of it and does not obey any more. Of a load that the ledger does not know the worker's word
     * is taken, unless another worker loads the model: an order that was lost with the ledger goes on.
     */
    afterBeat({ worker: w, serves, loading = null }: Beat, now: number): Order | null {
      const order = workers.get(w)?.order ?? null;
      const late = order !== null && (redis.score('o', w) ?? now) < now;
      const ended = order !== null && (serves.includes(order.model) || (order.heard && loading?.model !== order.model));
      if (late || ended) voidOrder(w);
      else if (order !== null && !order.heard && loading?.model === order.model)
        command(w, { ...order, heard: true }, now + loadMs);
      const unknown = loading !== null && !serves.includes(loading.model) && !loads.has(loading.model);
      if (!workers.get(w)?.order && !late && unknown)
        command(w, { ...loading, gateway: '', heard: true }, now + loadMs);
      return workers.get(w)?.order ?? null;
    },

    /** The proposal of a gateway; whoever calls has reaped. Answers whether the worker's slots changed, too. */
    claim(input: Claim, now: number): Claimed {
      const { gateway, model, worker: w, victim } = input;
      const worker = workers.get(w);
      const { order = null, serves = [] } = worker ?? {};
      const lives = worker?.epoch === input.epoch;
      // 1 Asked again by its author, it answers what is.
      const own = order !== null && order.gateway === gateway && order.model === model && order.victim === victim;
      if (own && lives) return 'ordered';
      // 2 One load of a model at a time, and one order for a worker.
      if (loads.has(model)) return 'loading';
      const seen = redis.score('ro', w) ?? 0;
      if (order !== null || !lives || seen > input.rosterVersion || servers(model) !== input.servers) return 'moved';
      // 3 The worker must lack the model and have the victim.
      if (serves.includes(model) || (victim !== '' && !serves.includes(victim))) return 'moved';
      command(w, { model, victim, gateway, heard: false }, now + orderMs);
      serve(
        w,
        serves.filter((served) => served !== victim),
      );
      return 'ordered';
    },
  };
}
