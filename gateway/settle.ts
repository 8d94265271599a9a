// Around every request: the one place where an ending becomes a reply, a count and a line in the log.
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { Fields, Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { DialectName, Outcome } from '@berth/shared/outcome.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { answersOf } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { traceFields } from '@berth/shared/trace.ts';
import type { Trace } from '@berth/shared/trace.ts';
import type { Decision, Explain } from './explain.ts';
import type { Job } from './job.ts';
import type { Placement } from './metric-families.ts';
import type { Metrics } from './metrics.ts';
import { ClientGone } from './reply.ts';
import type { Reply } from './reply.ts';
import { spentMs } from './spent.ts';
import { priorities } from './wishes.ts';

/** What the stages write down about a request while it runs. */
export interface Record {
  readonly request: string;
  readonly dialect: DialectName;
  /** When the client traces its requests. */
  trace: Trace | null;
  job: Job | null;
  worker: string | null;
  /** Why that worker. */
  placement: Placement | null;
  /** Monotonic times; `null` = it did not come to that. */
  understoodMs: number | null;
  seatedMs: number | null;
  firstByteMs: number | null;
  /** How long it waited for answers of the ledger. */
  ledgerMs: number;
  /** How long it waited without a slot while nobody served its model. */
  coldMs: number;
  retries: number;
  busies: number;
  settlement: Settlement | null;
  /** The last questions to the ledger. */
  readonly decisions: Decision[];
  understood(job: Job): void;
  asked(ledgerMs: number): void;
  decided(decision: Decision): void;
  cold(is: boolean): void;
  seated(worker: string, placement: Placement): void;
  firstByte(): void;
  retried(): void;
  /** The worker said that it has no slot: the ledger's account was wrong. */
  busy(): void;
  settled(settlement: Settlement): void;
}

/** A job that returns again and again is explained by its last questions. */
const decisionsMax = 8;

export interface SettleOptions {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Hears what the log is told. */
  remember: (outcome: Outcome, fields: Fields) => void;
  explain: Pick<Explain, 'ended'>;
  learn: (model: string, settlement: Settlement, answers: number) => void;
}

/** Runs `work`, which replies by itself when all goes well, and settles whatever comes of it. Never throws. */
export async function settle(
  { clock, log, metrics, explain, remember, learn }: SettleOptions,
  reply: Reply,
  arrivedMs: number,
  work: (record: Record) => Promise<void>,
): Promise<void> {
  const record = createRecord(reply, clock);
  let outcome: Outcome = 'ok';
  let why: string | undefined;
  try {
    await work(record);
  } catch (error) {
    const refusal = refusalOf(error, record.request, log);
    outcome = refusal?.outcome ?? 'client_gone';
    why = refusal?.message;
    if (refusal) reply.refuse(refusal);
  }
  const { job, settlement } = record;
  if (job && settlement) learn(job.model, settlement, answersOf(job.generation));
  const endedMs = clock.monotonic();
  // Health checks, lists and beats are many and say nothing when all is well.
  if (!record.job && outcome === 'ok') return;
  metrics.request(record, outcome, arrivedMs, endedMs);
  explain.ended(record, outcome, arrivedMs, endedMs);
  const fields = { outcome, why, ...fieldsOf(record, arrivedMs, endedMs) };
  log.info('request', fields);
  remember(outcome, fields);
}

/** What a failure means for the client; `null` when there is no client any more. */
function refusalOf(error: unknown, request: string, log: Log): Refusal | null {
  if (error instanceof Refusal) return error;
  if (error instanceof ClientGone) return null;
  if (error instanceof LedgerUnavailable) {
    return new Refusal('ledger_unavailable', 'the ledger does not answer: try again', { retryAfterS: 2 });
  }
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log.error('internal error', { request, error: what });
  return new Refusal('internal', 'internal error: the log of the gateway says more, under this request id');
}

function createRecord({ requestId, dialect }: Reply, clock: Clock): Record {
  let coldSinceMs: number | null = null;
  const record: Record = {
    request: requestId,
    dialect: dialect.name,
    trace: null,
    job: null,
    worker: null,
    placement: null,
    understoodMs: null,
    seatedMs: null,
    firstByteMs: null,
    ledgerMs: 0,
    coldMs: 0,
    retries: 0,
    busies: 0,
    settlement: null,
    decisions: [],
    understood: (job) => {
      record.job = job;
      record.understoodMs = clock.monotonic();
    },
    asked: (ledgerMs) => void (record.ledgerMs += ledgerMs),
    decided: (decision) => {
      record.decisions.push(decision);
      if (record.decisions.length > decisionsMax) record.decisions.shift();
    },
    cold: (is) => {
      const nowMs = clock.monotonic();
      record.coldMs += nowMs - (coldSinceMs ?? nowMs);
      coldSinceMs = is ? nowMs : null;
    },
    seated: (worker, placement) => {
      record.worker = worker;
      record.placement = placement;
      record.seatedMs = clock.monotonic();
    },
    firstByte: () => void (record.firstByteMs ??= clock.monotonic()),
    busy: () => void (record.busies += 1),
    retried: () => void (record.retries += 1),
    settled: (settlement) => void (record.settlement = settlement),
  };
  return record;
}

function fieldsOf(record: Record, arrivedMs: number, endedMs: number) {
  const { request, dialect, job, worker, placement, ledgerMs, seatedMs, firstByteMs, settlement } = record;
  const since = (ms: number | null) => (ms === null ? undefined : Math.round(ms - arrivedMs));
  return {
    request,
    dialect,
    model: job?.model,
    team: job?.owner.team,
    key: job?.owner.key,
    priority: job && priorities[job.priority],
    worker: worker ?? undefined,
    reason: placement ?? undefined,
    ledgerMs: Math.round(ledgerMs) || undefined,
    waitMs: since(seatedMs),
    ttftMs: since(firstByteMs),
    totalMs: Math.round(endedMs - arrivedMs),
    retries: record.retries || undefined,
    busies: record.busies || undefined,
    finish: settlement?.finish,
    promptTokens: settlement?.promptTokens,
    cachedTokens: settlement?.cachedTokens,
    outputTokens: settlement?.outputTokens,
    loadMs: Math.round(spentMs(record, arrivedMs, endedMs).load) || undefined,
    prefillMs: settlement?.prefillMs,
    decodeMs: settlement?.decodeMs,
    ...traceFields(record.trace),
  };
}
