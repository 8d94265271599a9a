// The worker's metrics, declared: their names, meanings, labels and bounds. docs/metrics.md is made from this.
import { counter, gauge, histogram } from '@berth/shared/metrics/families.ts';
import { refusals } from '@berth/shared/outcome.ts';

const loadBucketsS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300];
/** Of OpenTelemetry's GenAI conventions for the time to the first token, thinned. */
const ttftBucketsS = [0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60];
/** Of OpenTelemetry's GenAI conventions for the time per output token, thinned, and one below. */
const tokenBucketsS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5];
const batchBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048];
const callBucketsS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/** Why something was not started. */
const refusalReasons = ['busy', 'stale', 'draining', 'unsigned', 'expired', 'forged'] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/**
 * Why a model was unloaded: `idle` = its keep-alive ended; `room` = for another model; `asked` = by a client or because
 * its file has gone; `changed` = its file is another now; `died` = its engine ended; `closing` = the worker leaves.
 */
const unloadReasons = ['idle', 'room', 'asked', 'changed', 'died', 'closing'] as const;
export type UnloadReason = (typeof unloadReasons)[number];

/** What a step of an engine did: read prompts, decoded answers, or both. */
const phases = ['prefill', 'decode', 'mixed'] as const;

const ledgerOperations = ['beat', 'leave'] as const;
export type WorkerLedgerOperation = (typeof ledgerOperations)[number];

/** Models with series of their own. */
const modelsMax = 12;
const perModel = { labels: { model: 'open' }, combosMax: modelsMax } as const;
const perEngine = { ...perModel, only: 'engine' } as const;
/** GPUs of one worker. */
const perGpu = { labels: { gpu: 'open' }, combosMax: 17, only: 'gpu' } as const;
const ofLedger = { labels: { operation: ledgerOperations.length } } as const;

export const workerFamilies = {
  info: gauge('berth_worker_info', 'Always 1; what this worker is stands in the labels.', {
    labels: { version: 1, worker: 1, device: 1 },
  }),
  requests: counter('berth_worker_requests_total', 'Requests that got a slot, by how they ended.', {
    labels: { outcome: Object.keys(refusals).length + 2 },
  }),
  refusals: counter('berth_worker_refusals_total', 'Requests that were not started, by why.', {
    labels: { why: refusalReasons.length },
  }),
  tokens: counter('berth_worker_tokens_total', 'Tokens: prompt, cached of these, output.', {
    labels: { kind: 3, model: 'open' },
    combosMax: 3 * modelsMax,
  }),
  loads: counter('berth_worker_loads_total', 'Loads of models by result: loaded or failed.', {
    labels: { result: 2, model: 'open' },
    combosMax: 2 * modelsMax,
  }),
  unloads: counter(
    'berth_worker_unloads_total',
    'Unloads of models by reason: idle (its keep-alive ended), room (for another model), asked, changed (its file), died (its engine ended), closing (the worker leaves).',
    { labels: { reason: unloadReasons.length, model: 'open' }, combosMax: 4 * modelsMax },
  ),
  barriers: counter(
    'berth_worker_model_barriers_total',
    'Times that a busy model took no new requests, so that it becomes idle and makes room for another.',
    perModel,
  ),
  loadTime: histogram('berth_worker_load_seconds', 'Time to load a model.', loadBucketsS, perModel),
  ttft: histogram('berth_worker_ttft_seconds', 'From acceptance to the first token.', ttftBucketsS, {
    ...perModel,
    exemplars: true,
  }),
  tokenGap: histogram(
    'berth_worker_inter_token_seconds',
    'Time between two pieces of an answer, per token of the later one.',
    tokenBucketsS,
    perModel,
  ),
  slots: gauge('berth_worker_slots', 'Slots that may be in use now: 0 while draining or stalled.'),
  slotsUsed: gauge('berth_worker_slots_used', 'Slots in use.'),
  embedSlots: gauge('berth_worker_embedding_slots', 'Slots for embeddings that may be in use now.'),
  embedSlotsUsed: gauge('berth_worker_embedding_slots_used', 'Slots for embeddings in use.'),
  running: gauge('berth_worker_running', 'Requests that use a model now.', perModel),
  loaded: gauge('berth_worker_loaded_models', 'Models that are loaded.'),
  loadedMax: gauge('berth_worker_loaded_models_max', 'Models that may be loaded at once.'),
  vram: gauge('berth_worker_vram_bytes', 'Bytes that a loaded model takes on the device.', perModel),
  stepTime: histogram(
    'berth_worker_engine_step_seconds',
    'Time of one step of an engine by what it did: prefill (read prompts), decode (one token of each answer), or mixed.',
    tokenBucketsS,
    { labels: { phase: phases.length, model: 'open' }, combosMax: 24 },
  ),
  batch: histogram(
    'berth_worker_engine_batch_tokens',
    'Tokens in one step of an engine: one of each answer, and pieces of prompts.',
    batchBuckets,
    perModel,
  ),
  stepTokens: counter(
    'berth_worker_engine_tokens_total',
    'Tokens that went through an engine by phase: prefill (of prompts, without the cached) or decode (of answers).',
    { labels: { phase: 2, model: 'open' }, combosMax: 2 * modelsMax },
  ),
  engineCpu: counter('berth_worker_engine_cpu_seconds_total', 'Processor time of the engine processes.', perEngine),
  engineMemory: gauge('berth_worker_engine_resident_bytes', 'Memory of the engine processes.', perEngine),
  gpuMemoryUsed: gauge('berth_worker_gpu_memory_used_bytes', 'Memory of the GPU in use, by all programs.', perGpu),
  gpuMemory: gauge('berth_worker_gpu_memory_bytes', 'Memory of the GPU.', perGpu),
  gpuUtilization: gauge(
    'berth_worker_gpu_utilization_ratio',
    'Share of the last moments in which the GPU worked, 0 to 1.',
    perGpu,
  ),
  gpuPower: gauge('berth_worker_gpu_power_watts', 'Power that the GPU draws.', perGpu),
  gpuPowerLimit: gauge('berth_worker_gpu_power_limit_watts', 'Power that the GPU may draw.', perGpu),
  gpuTemperature: gauge('berth_worker_gpu_temperature_celsius', 'Temperature of the GPU.', perGpu),
  hostCpus: gauge('berth_worker_host_cpus', 'Processors of this machine that may be used.'),
  hostCpuBusy: counter(
    'berth_worker_host_cpu_busy_seconds_total',
    'Time in which the processors of this machine worked.',
  ),
  hostMemory: gauge('berth_worker_host_memory_bytes', 'Memory of this machine, or what its container may use.'),
  hostMemoryFree: gauge('berth_worker_host_memory_available_bytes', 'Memory of this machine that is free for new use.'),
  ledgerUp: gauge('berth_worker_ledger_up', '1 while the ledger answers this worker.'),
  ledgerCalls: histogram(
    'berth_worker_ledger_call_seconds',
    'Time until the ledger answered or was given up, by operation.',
    callBucketsS,
    ofLedger,
  ),
  ledgerFailures: counter(
    'berth_worker_ledger_failures_total',
    'Calls that the ledger did not answer, by operation.',
    ofLedger,
  ),
  loopBusy: counter(
    'berth_worker_event_loop_busy_seconds_total',
    'Time in which the event loop worked and did not wait: its rate is the share of one processor that it needs.',
  ),
  folded: counter(
    'berth_worker_labels_folded_total',
    'Samples that lost a label (its value became other) because the metric has as many series as it may have.',
  ),
};
