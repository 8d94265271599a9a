// Models that nobody serves are loaded somewhere: this gateway proposes a load for those that its tickets wait for.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Claimed, Ledger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { loadFailure, planLoad } from './placement/load.ts';
import type { Demand } from './placement/load.ts';
import type { Ticket } from './waiting.ts';
import type { Roster } from './workers/roster.ts';

export interface LoadsOptions {
  ledger: Ledger;
  roster: Roster;
  log: Log;
  gateway: string;
  onClaim: (answer: Claimed) => void;
  /** Tells a worker at this origin that there is news for it. Nobody waits for it: its next beat brings the same. */
  nudge: (url: string) => void;
}

export interface Loads {
  /**
   * Proposes what these tickets need, at most one load for each model. Never rejects.
   * @returns false when a model is waited for and the ledger is not as the roster has it: look again
   */
  consider(tickets: readonly Ticket[]): Promise<boolean>;
}

export function createLoads({ ledger, roster, log, gateway, onClaim, nudge }: LoadsOptions): Loads {
  /** Proposals under way, by model: of the many who wait one asks. */
  const asked = new Map<string, Promise<boolean>>();

  async function propose(model: string, tickets: readonly Ticket[]): Promise<boolean> {
    const reason = loadFailure(roster.workers(), model);
    const [oldest, ...others] = tickets.toSorted((a, b) => b.waitedMs() - a.waitedMs());
    if (oldest === undefined) return true;
    const demand = demandOf(oldest);
    if (reason !== null && demand.cold) {
      const refusal = new Refusal('load_failed', `model '${model}' cannot be loaded: ${reason}`);
      for (const ticket of [oldest, ...others]) ticket.refuse(refusal);
      return true;
    }
    const load = planLoad(roster.workers(), demand);
    if (load === null) return !demand.cold;
    const { servers } = oldest;
    const claimed = await ledger.claim({ gateway, model, ...load, rosterVersion: roster.version, servers });
    onClaim(claimed);
    if (claimed !== 'ordered') return claimed === 'loading';
    log.info('a load is ordered', { model, worker: load.worker, victim: load.victim || undefined });
    const url = roster.worker(load.worker)?.url;
    if (url !== undefined) nudge(url);
    return true;
  }

  function demandOf(ticket: Ticket): Demand {
    const excluded = ticket.excluded();
    const warm = roster.warm(ticket.model);
    const shunned = warm.length > 0 && warm.every((worker) => excluded.includes(worker));
    return { model: ticket.model, waitedMs: ticket.waitedMs(), excluded, cold: ticket.servers === 0 || shunned };
  }

  return {
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
