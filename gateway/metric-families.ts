// The gateway's metrics, declared: their names, meanings, labels and bounds. docs/metrics.md is made from this.
import { ledgerCounts } from '@berth/shared/ledger/ledger.ts';
import { counter, gauge, histogram } from '@berth/shared/metrics/families.ts';
import { refusals } from '@berth/shared/outcome.ts';
import { poisonEvents } from './poison.ts';

/** Of OpenTelemetry's GenAI conventions for the time to the first token, thinned, with room for long queues. */
const waitBucketsS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];
const totalBucketsS = [0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** A hand-off takes a fraction of a millisecond on a quiet machine, and 10 ms are promised. */
const handOffBucketsS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1];
const callBucketsS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/**
 * Where the time of a request goes, in order; together they are its whole time. `intake`: body and checks. `ledger`:
 * answers of the ledger. `queue`: for a slot of a worker that serves the model. `load`: for the model, while nobody serves it.
 * `prefill`, `decode`: as the engine tells. `delivery`: the rest between slot and end, such as the network, or a client
 * that reads slowly.
 */
export const stages = ['intake', 'ledger', 'queue', 'load', 'prefill', 'decode', 'delivery'] as const;
export type Stage = (typeof stages)[number];

/**
 * Why a worker was chosen. `prefix`: it has the beginning of the prompt cached. `preferred`: where conversations that
 * begin like this are looked for. `warm`: another that had the model and room. `cold`: one that was not known to have it loaded, while Redis is away. `handed`: the first that came free.
 */
const placements = ['prefix', 'preferred', 'warm', 'cold', 'handed'] as const;
export type Placement = (typeof placements)[number];

/** What a gateway asks of the ledger, and how it ends. */
const ledgerOperations = ['take', 'leave', 'session', 'claim', 'survey', 'beat'] as const;
export type LedgerOperation = (typeof ledgerOperations)[number];

const dialects = 3;
const priorities = 3;
/** The refusals, and the two endings that are nobody's fault. */
const outcomes = Object.keys(refusals).length + 2;
const kinds = 3;

export const gatewayFamilies = {
  buildInfo: gauge('berth_build_info', 'Always 1; the versions of Berth and of Node are the labels.', {
    labels: { version: 1, node: 1 },
  }),
  requests: counter('berth_requests_total', 'Requests by how they ended.', {
    labels: { dialect: dialects, outcome: outcomes, model: 'open', team: 'open' },
    combosMax: 190,
  }),
  ttft: histogram(
    'berth_ttft_seconds',
    "From a request's arrival at the gateway to the first byte of its answer.",
    waitBucketsS,
    { labels: { model: 'open', team: 'open' }, combosMax: 24, exemplars: true },
  ),
  queueWait: histogram(
    'berth_queue_wait_seconds',
    "From a request's arrival to its last slot: nearly 0 when one was free. A wait for the load of the model is part of it.",
    waitBucketsS,
    { labels: { priority: priorities, model: 'open' }, combosMax: 17, exemplars: true },
  ),
  total: histogram('berth_request_seconds', 'Whole time of the requests that got a slot.', totalBucketsS, {
    labels: { model: 'open' },
    combosMax: 12,
    exemplars: true,
  }),
  stage: counter(
    'berth_request_stage_seconds_total',
    'Time of requests by where it went: intake (body and checks), ledger (its answers), queue (for a slot), load (for the model, while no worker serves it), prefill, decode, and delivery, the rest between slot and end. Together the whole time of every request that was understood.',
    { labels: { stage: stages.length, model: 'open' }, combosMax: 84 },
  ),
  tokens: counter(
    'berth_tokens_total',
    'Tokens of settled requests: prompt, those of the prompt that were cached, and output.',
    { labels: { kind: kinds, model: 'open' }, combosMax: 39 },
  ),
  decodeTime: counter(
    'berth_decode_seconds_total',
    'Time of decoding by worker, as the workers told it: divided by berth_decode_tokens_total it shows a slow worker.',
    { labels: { worker: 'open', model: 'open' }, combosMax: 96 },
  ),
  decodeTokens: counter('berth_decode_tokens_total', 'Tokens that were decoded in berth_decode_seconds_total.', {
    labels: { worker: 'open', model: 'open' },
    combosMax: 96,
  }),
  retries: counter('berth_retries_total', 'Tries on another worker after one failed before its first byte.'),
  busy: counter(
    'berth_busy_total',
    'Slots that the ledger gave and the worker did not have: the request went back to its place in the queue.',
  ),
  placements: counter(
    'berth_placements_total',
    'Slots by why that worker was chosen: prefix (it has the beginning of the prompt cached), preferred (where such conversations are looked for), warm (another that had the model and room), cold (not known to have it loaded, while Redis is away), handed (the first that came free, after a wait).',
    { labels: { reason: placements.length, model: 'open' }, combosMax: 44 },
  ),
  keyRequests: counter('berth_key_requests_total', 'Requests of each key.', {
    labels: { team: 'open', key: 'open' },
    combosMax: 36,
  }),
  keyTokens: counter(
    'berth_key_tokens_total',
    'Tokens of each key: prompt, those of the prompt that were cached, and output.',
    { labels: { kind: kinds, team: 'open', key: 'open' }, combosMax: 105 },
  ),
  keySlots: counter('berth_key_slot_seconds_total', 'Slot time of each key.', {
    labels: { team: 'open', key: 'open' },
    combosMax: 36,
  }),
  handOffs: counter(
    'berth_handoffs_total',
    'Slots handed to a request that waited here: taken, gone (it had left), recovered (the push was lost).',
    { labels: { result: 3 } },
  ),
  poison: counter(
    'berth_poison_total',
    'Requests with which engines died: suspected, cleared, quarantined, refused as such, or for their key.',
    { labels: { event: poisonEvents.length } },
  ),
  handOffTime: histogram(
    'berth_handoff_seconds',
    "From the grant in the ledger to its arrival at this gateway, on the ledger's clock.",
    handOffBucketsS,
  ),
  inside: gauge('berth_requests_inside', 'Requests that this gateway waits for or streams.'),
  bodyBytes: gauge('berth_body_bytes', 'Bytes of request bodies that this gateway holds.'),
  ledgerUp: gauge('berth_ledger_up', '1 while the ledger answers this gateway.'),
  degraded: gauge('berth_degraded', '1 while this gateway works with its own share of the slots.'),
  ledgerCalls: histogram(
    'berth_ledger_call_seconds',
    'Time until the ledger (Redis, or the memory of a lone gateway) answered or was given up, by operation.',
    callBucketsS,
    { labels: { operation: ledgerOperations.length } },
  ),
  ledgerFailures: counter('berth_ledger_failures_total', 'Calls that the ledger did not answer, by operation.', {
    labels: { operation: ledgerOperations.length },
  }),
  ledgerEvents: counter(
    'berth_ledger_events_total',
    "Corrections of the pool's ledger since it was made, the same at every gateway: leases and tickets by what ended them.",
    { labels: { event: ledgerCounts.length } },
  ),
  loadClaims: counter(
    'berth_load_claims_total',
    'Loads of models that this gateway proposed, by what the ledger answered: ordered, loading (some worker was to load it already), moved (the pool was not as this gateway saw it).',
    { labels: { answer: 3 } },
  ),
  gateways: gauge('berth_gateways', 'Gateways with a live session in the pool.'),
  workers: gauge('berth_workers', 'Workers in the roster by state; a lane for embeddings is one more.', {
    labels: { state: 4 },
  }),
  modelCopies: gauge('berth_model_copies', 'Workers that have the model loaded.', {
    labels: { model: 'open' },
    combosMax: 24,
  }),
  slots: gauge('berth_slots', 'Slots by worker and state, held or free, as the ledger has them.', {
    labels: { state: 2, worker: 'open' },
    combosMax: 120,
  }),
  leases: gauge('berth_leases', 'Slots in use by worker and model, as the ledger has them.', {
    labels: { worker: 'open', model: 'open' },
    combosMax: 40,
  }),
  free: gauge('berth_model_slots_free', 'Free slots of the workers that have the model, which others share.', {
    labels: { model: 'open' },
    combosMax: 24,
  }),
  queue: gauge('berth_queue_depth', 'Requests that wait for a slot, over all gateways.', {
    labels: { priority: priorities, model: 'open' },
    combosMax: 33,
  }),
  loopBusy: counter(
    'berth_gateway_event_loop_busy_seconds_total',
    'Time in which the event loop worked and did not wait: its rate is the share of one processor that it needs.',
  ),
  folded: counter(
    'berth_labels_folded_total',
    'Samples that lost a label (its value became other) because the metric has as many series as it may have.',
  ),
};
