// What the gateway counts. Labels come from closed lists, the roster and the keys, never from what a client writes.
import type { Clock } from '@berth/shared/clock.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import { ledgerCounts } from '@berth/shared/ledger/ledger.ts';
import type { Claimed, Survey } from '@berth/shared/ledger/ledger.ts';
import { eventLoopBusyS } from '@berth/shared/metrics/event-loop.ts';
import { createInstruments } from '@berth/shared/metrics/instruments.ts';
import type { Sample, Scrape } from '@berth/shared/metrics/instruments.ts';
import type { Door } from './admit.ts';
import type { Owner } from './job.ts';
import { gatewayFamilies, stages } from './metric-families.ts';
import type { LedgerOperation } from './metric-families.ts';
import { poisonEvents } from './poison.ts';
import type { PoisonEvent } from './poison.ts';
import type { HandOffResult } from './session.ts';
import type { Record } from './settle.ts';
import { spentMs } from './spent.ts';
import { priorities } from './wishes.ts';
import type { Roster } from './workers/roster.ts';

export interface Metrics {
  request(record: Record, outcome: Outcome, arrivedMs: number, endedMs: number): void;
  /** A slot was handed over by the ledger; how long that took is known once the ledger told the time. */
  handOff(result: HandOffResult, latencyMs: number | null): void;
  /** Something was learnt of a request that an engine died with. */
  poison(event: PoisonEvent): void;
  /** A load was proposed to the ledger. */
  loadClaim(answer: Claimed): void;
  ledgerCall(operation: LedgerOperation, answered: boolean, ms: number): void;
  /** @param accept the scraper's `Accept` */
  scrape(accept: string | undefined): Promise<Scrape>;
}

interface Sources {
  version: string;
  clock: Pick<Clock, 'now'>;
  door: Pick<Door, 'inside' | 'heldBytes'>;
  session: () => { readonly up: boolean; readonly waiting: number; readonly gateways: number };
  degraded: () => boolean;
  survey: () => Promise<Survey>;
  /** An unknown model is not a label. */
  roster: Pick<Roster, 'holders' | 'workers'>;
}

export function createMetrics({ version, clock, door, session, degraded, survey, roster }: Sources): Metrics {
  let folded = 0;
  const made = createInstruments(gatewayFamilies, {
    runtimePrefix: 'berth_gateway_',
    now: () => clock.now(),
    onFold: () => (folded += 1),
  });
  const its = made.instruments;
  const known = (model: string) => (roster.holders(model).length > 0 ? model : 'other');
  its.buildInfo.replace([[{ version, node: process.versions.node }, 1]]);

  for (const event of poisonEvents) its.poison.add({ event }, 0);

  /** What is true at the moment of a scrape. */
  function look(): void {
    its.inside.replace([[{}, door.inside]]);
    its.bodyBytes.replace([[{}, door.heldBytes]]);
    its.ledgerUp.replace([[{}, session().up && !degraded() ? 1 : 0]]);
    its.degraded.replace([[{}, degraded() ? 1 : 0]]);
    its.gateways.replace([[{}, session().gateways]]);
    its.loopBusy.replace([[{}, eventLoopBusyS()]]);
    its.folded.replace([[{}, folded]]);
    const workers = roster.workers();
    const states = ['ready', 'draining', 'drained', 'stalled'] as const;
    const ofState = (wanted: string) => workers.filter(({ state }) => state === wanted).length;
    its.workers.replace(states.map((state) => [{ state }, ofState(state)]));
    its.modelCopies.replace(
      workers.flatMap(({ models }) => models.map(({ name, loaded }) => [{ model: name }, loaded ? 1 : 0] as const)),
    );
  }

  /** Fresh from the ledger at each scrape; while it is away the last known values would lie, so there are none. */
  async function lookAtLedger(): Promise<void> {
    const seen = await survey().catch(() => null);
    const { workers = [], leases = [], waiting = [], counts } = seen ?? {};
    const freeOf = new Map(workers.map(({ worker, held, capacity }) => [worker, Math.max(0, capacity - held)]));
    its.slots.replace(
      workers.flatMap(({ worker, held }): Sample<'worker' | 'state'>[] => [
        [{ worker, state: 'held' }, held],
        [{ worker, state: 'free' }, freeOf.get(worker) ?? 0],
      ]),
    );
    its.free.replace(
      (seen ? roster.workers() : []).flatMap(({ worker, models }) =>
        models.map(({ name }) => [{ model: name }, freeOf.get(worker) ?? 0] as const),
      ),
    );
    its.leases.replace(leases.map(({ worker, model, held }) => [{ worker, model: known(model) }, held]));
    its.queue.replace(
      waiting.map(({ model, priority, tickets }) => [{ model: known(model), priority: priorities[priority] }, tickets]),
    );
    its.ledgerEvents.replace(counts ? ledgerCounts.map((event) => [{ event }, counts[event]]) : []);
  }

  function countKey({ team, key: name }: Owner, { seatedMs, settlement }: Record, endedMs: number): void {
    // An end user, behind the slash, is never a label.
    const [key = ''] = name.split('/', 1);
    its.keyRequests.add({ team, key });
    if (seatedMs !== null) its.keySlots.add({ team, key }, (endedMs - seatedMs) / 1_000);
    if (!settlement) return;
    its.keyTokens.add({ team, key, kind: 'prompt' }, settlement.promptTokens);
    its.keyTokens.add({ team, key, kind: 'cached' }, settlement.cachedTokens);
    its.keyTokens.add({ team, key, kind: 'output' }, settlement.outputTokens);
  }

  function countTokens(model: string, { settlement, worker }: Record): void {
    if (!settlement) return;
    its.tokens.add({ model, kind: 'prompt' }, settlement.promptTokens);
    its.tokens.add({ model, kind: 'cached' }, settlement.cachedTokens);
    its.tokens.add({ model, kind: 'output' }, settlement.outputTokens);
    if (worker === null || settlement.outputTokens === 0) return;
    its.decodeTime.add({ worker, model }, settlement.decodeMs / 1_000);
    its.decodeTokens.add({ worker, model }, settlement.outputTokens);
  }

  function countTimes(model: string, team: string, record: Record, arrivedMs: number, endedMs: number): void {
    const spent = spentMs(record, arrivedMs, endedMs);
    for (const stage of stages) {
      if (spent[stage] > 0) its.stage.add({ model, stage }, spent[stage] / 1_000);
    }
    const ids = { request: record.request, ...(record.trace && { trace_id: record.trace.traceId }) };
    if (record.seatedMs !== null) {
      const priority = priorities[record.job?.priority ?? 1];
      its.queueWait.observe({ model, priority }, (record.seatedMs - arrivedMs) / 1_000, ids);
      its.total.observe({ model }, (endedMs - arrivedMs) / 1_000, ids);
    }
    if (record.firstByteMs !== null) its.ttft.observe({ model, team }, (record.firstByteMs - arrivedMs) / 1_000, ids);
  }

  return {
    request(record, outcome, arrivedMs, endedMs) {
      const { dialect, job } = record;
      const model = job ? known(job.model) : 'none';
      const team = job?.owner.team ?? 'none';
      its.requests.add({ dialect, model, team, outcome });
      if (record.retries > 0) its.retries.add({}, record.retries);
      if (record.busies > 0) its.busy.add({}, record.busies);
      if (!job) return;
      if (record.placement !== null) its.placements.add({ model, reason: record.placement });
      countKey(job.owner, record, endedMs);
      countTimes(model, team, record, arrivedMs, endedMs);
      countTokens(model, record);
    },
    handOff(result, latencyMs) {
      its.handOffs.add({ result });
      if (latencyMs !== null) its.handOffTime.observe({}, latencyMs / 1_000);
    },
    poison: (event) => its.poison.add({ event }),
    loadClaim: (answer) => its.loadClaims.add({ answer }),
    ledgerCall(operation, answered, ms) {
      its.ledgerCalls.observe({ operation }, ms / 1_000);
      if (!answered) its.ledgerFailures.add({ operation });
    },
    async scrape(accept) {
      await lookAtLedger();
      look();
      return made.scrape(accept);
    },
  };
}
