// The gateway's metrics. Labels come from closed lists or from the roster, never from what a client writes.
import type { Outcome } from '@berth/shared/outcome.ts';
import { ledgerCounts } from '@berth/shared/ledger/ledger.ts';
import type { Survey } from '@berth/shared/ledger/ledger.ts';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Door } from './admit.ts';
import type { Owner } from './job.ts';
import { poisonEvents } from './poison.ts';
import type { PoisonEvent } from './poison.ts';
import type { HandOffResult } from './session.ts';
import type { Record } from './settle.ts';
import { priorities } from './wishes.ts';
import type { Roster } from './workers/roster.ts';

/** Buckets of OpenTelemetry's GenAI conventions for the time to the first token, with room for long queues. */
const waitBucketsS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** A hand-off takes a fraction of a millisecond on a quiet machine, and 10 ms are promised. */
const handOffBucketsS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1];
const totalBucketsS = [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** Keys with series of their own; the others are one. */
const labelledKeysMax = 1_000;

export interface Metrics {
  readonly contentType: string;
  request(record: Record, outcome: Outcome, arrivedMs: number, endedMs: number): void;
  /** A slot was handed over by the ledger; how long that took is known once the ledger told the time. */
  handOff(result: HandOffResult, latencyMs: number | null): void;
  /** Something was learnt of a request that an engine died with. */
  poison(event: PoisonEvent): void;
  /** The text of a scrape. */
  text(): Promise<string>;
}

interface Sources {
  version: string;
  door: Door;
  session: () => { readonly up: boolean; readonly waiting: number; readonly gateways: number };
  degraded: () => boolean;
  survey: () => Promise<Survey>;
  /** An unknown model is not a label. */
  roster: Pick<Roster, 'model' | 'workers'>;
}

export function createMetrics({ version, door, session, degraded, survey, roster }: Sources): Metrics {
  const registers = [new Registry()];
  const [registry] = registers as [Registry];
  collectDefaultMetrics({ register: registry, prefix: 'berth_gateway_' });
  const known = (model: string) => (roster.model(model).length > 0 ? model : 'other');
  const labels = ({ dialect, job }: Record) => ({ dialect, model: job ? known(job.model) : 'none' });

  const requests = new Counter({
    name: 'berth_requests_total',
    help: 'Requests by how they ended.',
    labelNames: ['dialect', 'model', 'outcome'],
    registers,
  });
  const ttft = new Histogram({
    name: 'berth_ttft_seconds',
    help: "From a request's arrival at the gateway to the first byte of its answer.",
    labelNames: ['dialect', 'model'],
    buckets: waitBucketsS,
    registers,
  });
  const queueWait = new Histogram({
    name: 'berth_queue_wait_seconds',
    help: "From a request's arrival to its last slot: 0 when one was free.",
    labelNames: ['dialect', 'model', 'priority'],
    buckets: waitBucketsS,
    registers,
  });
  const total = new Histogram({
    name: 'berth_request_seconds',
    help: 'Whole time of the requests that got a slot.',
    labelNames: ['dialect', 'model'],
    buckets: totalBucketsS,
    registers,
  });
  const tokens = new Counter({
    name: 'berth_tokens_total',
    help: 'Tokens of settled requests: prompt, those of the prompt that were cached, and output.',
    labelNames: ['model', 'kind'],
    registers,
  });
  const retries = new Counter({
    name: 'berth_retries_total',
    help: 'Tries on another worker after one failed before its first byte.',
    registers,
  });
  const ofKeys = { labelNames: ['team', 'key'], registers };
  const keyRequests = new Counter({ name: 'berth_key_requests_total', help: 'Requests of each key.', ...ofKeys });
  const keyTokens = new Counter({
    name: 'berth_key_tokens_total',
    help: 'Tokens of each key: prompt, those of the prompt that were cached, and output.',
    labelNames: ['team', 'key', 'kind'],
    registers,
  });
  const keySlots = new Counter({ name: 'berth_key_slot_seconds_total', help: 'Slot time of each key.', ...ofKeys });
  const busy = new Counter({
    name: 'berth_busy_total',
    help: 'Slots that the ledger gave and the worker did not have: the request went back to its place in the queue.',
    registers,
  });
  const handOffs = new Counter({
    name: 'berth_handoffs_total',
    help: 'Slots handed to a request that waited here: taken, gone (it had left), recovered (the push was lost).',
    labelNames: ['result'],
    registers,
  });
  const poison = new Counter({
    name: 'berth_poison_total',
    help: 'Requests with which engines died: suspected, cleared, quarantined, refused as such, or for their key.',
    labelNames: ['event'],
    registers,
  });
  for (const event of poisonEvents) poison.inc({ event }, 0);
  const handOffTime = new Histogram({
    name: 'berth_handoff_seconds',
    help: "From the grant in the ledger to its arrival at this gateway, on the ledger's clock.",
    buckets: handOffBucketsS,
    registers,
  });
  gauge('berth_build_info', 'Always 1; the version is the label.', ['version'], (it) => it.set({ version }, 1));
  gauge('berth_requests_inside', 'Requests that this gateway waits for or streams.', [], (it) => it.set(door.inside));
  gauge('berth_ledger_up', '1 while the ledger answers this gateway.', [], (it) =>
    it.set(session().up && !degraded() ? 1 : 0),
  );
  gauge('berth_degraded', '1 while this gateway works with its own share of the slots.', [], (it) =>
    it.set(degraded() ? 1 : 0),
  );
  gauge('berth_gateways', 'Gateways with a live session in the pool.', [], (it) => it.set(session().gateways));
  const slots = gauge('berth_slots', 'Slots by worker and state, as the ledger has them.', ['worker', 'state']);
  const leases = gauge('berth_leases', 'Slots in use by worker and model, as the ledger has them.', [
    'worker',
    'model',
  ]);
  const free = gauge('berth_model_slots_free', 'Free slots of the workers that have the model, which others share.', [
    'model',
  ]);
  const queue = gauge('berth_queue_depth', 'Requests that wait for a slot, over all gateways.', ['model', 'priority']);
  const events = new Counter({
    name: 'berth_ledger_events_total',
    help: "Corrections of the pool's ledger since it was made, the same at every gateway: leases and tickets by what ended them.",
    labelNames: ['event'],
    registers,
  });

  function gauge(name: string, help: string, labelNames: string[], collect?: (it: Gauge) => void): Gauge {
    return new Gauge({
      name,
      help,
      labelNames,
      registers,
      ...(collect && {
        collect() {
          collect(this);
        },
      }),
    });
  }

  /** Fresh from the ledger at each scrape; while it is away the last known values would lie, so there are none. */
  async function look(): Promise<void> {
    const seen = await survey().catch(() => null);
    // After the answer, so that a second scrape meanwhile never finds them empty.
    for (const each of [slots, leases, free, queue, events]) each.reset();
    if (seen === null) return;
    const freeOf = new Map<string, number>();
    for (const { worker, held, capacity } of seen.workers) {
      freeOf.set(worker, Math.max(0, capacity - held));
      slots.set({ worker, state: 'held' }, held);
      slots.set({ worker, state: 'free' }, Math.max(0, capacity - held));
    }
    for (const { worker, models } of roster.workers()) {
      for (const { name } of models) free.inc({ model: name }, freeOf.get(worker) ?? 0);
    }
    for (const { worker, model, held } of seen.leases) leases.inc({ worker, model: known(model) }, held);
    for (const { model, priority, tickets } of seen.waiting) {
      queue.inc({ model: known(model), priority: priorities[priority] }, tickets);
    }
    for (const event of ledgerCounts) events.inc({ event }, seen.counts[event]);
  }

  const seenKeys = new Set<string>();
  /** Keys are made by administrators, and an end user is never a label; so many keys are told apart. */
  function keyLabels({ team, key }: Owner): { team: string; key: string } {
    const [id = ''] = key.split('/', 1);
    if (seenKeys.size < labelledKeysMax) seenKeys.add(`${team} ${id}`);
    return seenKeys.has(`${team} ${id}`) ? { team, key: id } : { team: 'other', key: 'other' };
  }

  function countKey(owner: Owner, { seatedMs, settlement }: Record, endedMs: number): void {
    const at = keyLabels(owner);
    keyRequests.inc(at);
    if (seatedMs !== null) keySlots.inc(at, (endedMs - seatedMs) / 1_000);
    if (!settlement) return;
    keyTokens.inc({ ...at, kind: 'prompt' }, settlement.promptTokens);
    keyTokens.inc({ ...at, kind: 'cached' }, settlement.cachedTokens);
    keyTokens.inc({ ...at, kind: 'output' }, settlement.outputTokens);
  }

  return {
    contentType: registry.contentType,
    request(record, outcome, arrivedMs, endedMs) {
      const at = labels(record);
      requests.inc({ ...at, outcome });
      if (record.job) countKey(record.job.owner, record, endedMs);
      if (record.retries > 0) retries.inc(record.retries);
      if (record.busies > 0) busy.inc(record.busies);
      if (record.seatedMs !== null) {
        const priority = priorities[record.job?.priority ?? 1];
        queueWait.observe({ ...at, priority }, (record.seatedMs - arrivedMs) / 1_000);
        total.observe(at, (endedMs - arrivedMs) / 1_000);
      }
      if (record.firstByteMs !== null) ttft.observe(at, (record.firstByteMs - arrivedMs) / 1_000);
      if (!record.settlement) return;
      const { promptTokens, cachedTokens, outputTokens } = record.settlement;
      tokens.inc({ model: at.model, kind: 'prompt' }, promptTokens);
      tokens.inc({ model: at.model, kind: 'cached' }, cachedTokens);
      tokens.inc({ model: at.model, kind: 'output' }, outputTokens);
    },
    handOff(result, latencyMs) {
      handOffs.inc({ result });
      if (latencyMs !== null) handOffTime.observe(latencyMs / 1_000);
    },
    poison: (event) => poison.inc({ event }),
    async text() {
      await look();
      return registry.metrics();
    },
  };
}
