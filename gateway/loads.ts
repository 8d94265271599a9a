// Models that nobody serves are loaded somewhere: this gateway proposes a load for those that its tickets wait for.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Claimed, Ledger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import type { Estimate } from './estimate.ts';
import type { Tell } from './forward.ts';
import { loadFailure, planLoad } from './placement/load.ts';
import type { Demand, PlannedLoad } from './placement/load.ts';
import type { Ticket } from './waiting.ts';
import type { Roster } from './workers/roster.ts';

/** Who should come first but does not claim may be a gateway that has died: of that the ledger knows after 3 s. */
const yieldsMax = 3;

export interface LoadsOptions {
  ledger: Ledger;
  roster: Roster;
  estimate: Pick<Estimate, 'serviceMs'>;
  log: Log;
  gateway: string;
  onClaim: (answer: Claimed) => void;
  /** A worker that has an order is told so; should it not hear, its next beat brings the same. */
  tell: Tell;
}

/** `moved`: the pool is not as this gateway saw it, and is to be asked again. */
interface Wanted {
  worker: string;
  state: 'loaded' | Claimed;
}

export interface Loads {
  /**
   * Proposes what these tickets need, at most one load for each model. Never rejects.
   * @returns false when a model is waited for and the ledger is not as the roster has it: look again
   */
  consider(tickets: readonly Ticket[]): Promise<boolean>;
  /**
   * Proposes what an operator wants, at once, and in the place of a busy model if need be.
   * @param worker `null` = whichever is best
   * @returns what came of it; `null` = there is no room for it now
   */
  want(model: string, worker: string | null): Promise<Wanted | null>;
}

export function createLoads({ ledger, roster, estimate, log, gateway, onClaim, tell }: LoadsOptions): Loads {
  /** Proposals under way, by model: of the many who wait one asks. */
  const asked = new Map<string, Promise<boolean>>();
  /** What each ticket had waited when its model was last served by nobody: of that the length of the queue is no cause. */
  const coldMs = new WeakMap<Ticket, number>();
  /** How often in a row each has let another model come first. */
  const yielded = new Map<string, number>();

  async function propose(model: string, tickets: readonly Ticket[]): Promise<boolean> {
    const reason = loadFailure(roster.workers(), model);
    const [oldest, ...others] = tickets.toSorted((a, b) => b.waitedMs() - a.waitedMs());
    if (oldest === undefined) return true;
    const demand = demandOf(oldest, tickets);
    if (reason !== null && demand.cold) {
      const refusal = new Refusal('load_failed', `model '${model}' cannot be loaded: ${reason}`);
      for (const ticket of [oldest, ...others]) ticket.refuse(refusal);
      return true;
    }
    const load = planLoad(roster.workers(), demand);
    if (load === null) return !demand.cold;
    const yields = yielded.get(model) ?? 0;
    if (load.why !== 'room' && yields < yieldsMax && (await isOthersTurn(demand, load))) {
      yielded.set(model, yields + 1);
      return true;
    }
    yielded.delete(model);
    return (await claim(model, load, oldest.servers)) !== 'moved';
  }

  /**
   * Of the models that nobody serves the one that is waited for the longest comes first, at whichever gateway: else the
   * one whose turn of the second comes first would always win, and what is waited for at another would never be loaded.
   */
  async function isOthersTurn({ model, waitedMs }: Demand, { worker }: PlannedLoad): Promise<boolean> {
    const { waiting } = await ledger.survey();
    const own = Math.min(...waiting.flatMap((line) => (line.model === model ? line.age : [])));
    return waiting.some(({ model: other, age }) => {
      if (age >= own || roster.warm(other).length > 0) return false;
      const demand = { model: other, waitedMs: waitedMs + Math.max(0, own - age), excluded: [], cold: true };
      return planLoad(roster.workers(), demand)?.worker === worker;
    });
  }

  async function claim(model: string, { why, loadMs, ...load }: PlannedLoad, servers: number): Promise<Claimed> {
    const claimed = await ledger.claim({ gateway, model, ...load, rosterVersion: roster.version, servers });
    onClaim(claimed);
    if (claimed !== 'ordered') return claimed;
    log.info('a load is ordered', { model, worker: load.worker, victim: load.victim || undefined, why, loadMs });
    const url = roster.worker(load.worker)?.url;
    if (url !== undefined) void tell(url, 'beat');
    return claimed;
  }

  function demandOf(ticket: Ticket, tickets: readonly Ticket[]): Demand {
    const excluded = ticket.excluded();
    const warm = roster.warm(ticket.model);
    const shunned = warm.length > 0 && warm.every((worker) => excluded.includes(worker));
    const cold = ticket.servers === 0 || shunned;
    if (cold) for (const each of tickets) coldMs.set(each, each.waitedMs());
    return {
      model: ticket.model,
      waitedMs: cold
        ? ticket.waitedMs()
        : Math.max(...tickets.map((each) => each.waitedMs() - (coldMs.get(each) ?? 0))),
      excluded,
      cold,
      waiting: Math.max(...tickets.map(({ place }) => place ?? 0)),
      serviceMs: estimate.serviceMs(ticket.model),
    };
  }

  return {
    async want(model, worker) {
      const warm = roster.warm(model);
      const there = worker === null ? warm[0] : warm.find((each) => each === worker);
      if (there !== undefined) return { worker: there, state: 'loaded' };
      const others = roster
        .workers()
        .flatMap((each) => (worker === null || each.worker === worker ? [] : [each.worker]));
      const load = planLoad(roster.workers(), { model, waitedMs: Infinity, excluded: others, cold: true });
      return load && { worker: load.worker, state: await claim(model, load, warm.length) };
    },
    async consider(tickets) {
      const waiting = tickets.filter(({ place }) => place !== null);
      const settled = [...Map.groupBy(waiting, ({ model }) => model)].map(async ([model, own]) => {
        const asking =
          asked.get(model) ??
          propose(model, own)
            .catch((error: unknown) => {
              log.debug('a load was not ordered', { model, error: String(error) });
              return true;
            })
            .finally(() => asked.delete(model));
        asked.set(model, asking);
        return asking;
      });
      return (await Promise.all(settled)).every(Boolean);
    },
  };
}
