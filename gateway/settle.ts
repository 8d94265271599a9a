// Around every request: the one place where an ending becomes a reply, a count and a line in the log.
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { DialectName, Outcome } from '@berth/shared/outcome.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { answersOf } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { Job } from './job.ts';
import type { Metrics } from './metrics.ts';
import { ClientGone } from './reply.ts';
import type { Reply } from './reply.ts';
import { priorities } from './wishes.ts';

/** What the stages write down about a request while it runs. */
export interface Record {
  readonly request: string;
  readonly dialect: DialectName;
  job: Job | null;
  worker: string | null;
  /** Monotonic times; `null` = it did not come to that. */
  seatedMs: number | null;
  firstByteMs: number | null;
  retries: number;
  busies: number;
  settlement: Settlement | null;
  understood(job: Job): void;
  seated(worker: string): void;
  firstByte(): void;
  retried(): void;
  /** The worker said that it has no slot: the ledger's account was wrong. */
  busy(): void;
  settled(settlement: Settlement): void;
}

export interface SettleOptions {
  clock: Clock;
  log: Log;
  metrics: Metrics;
  learn: (model: string, settlement: Settlement, answers: number) => void;
}

/** Runs `work`, which replies by itself when all goes well, and settles whatever comes of it. Never throws. */
export async function settle(
  { clock, log, metrics, learn }: SettleOptions,
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
  log.info('request', { outcome, why, ...fieldsOf(record, arrivedMs, endedMs) });
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
  const record: Record = {
    request: requestId,
    dialect: dialect.name,
    job: null,
    worker: null,
    seatedMs: null,
    firstByteMs: null,
    retries: 0,
    busies: 0,
    settlement: null,
    understood: (job) => void (record.job = job),
    seated: (worker) => {
      record.worker = worker;
      record.seatedMs = clock.monotonic();
    },
    firstByte: () => void (record.firstByteMs ??= clock.monotonic()),
    busy: () => void (record.busies += 1),
    retried: () => void (record.retries += 1),
    settled: (settlement) => void (record.settlement = settlement),
  };
  return record;
}

function fieldsOf(
  { request, dialect, job, worker, seatedMs, firstByteMs, retries, busies, settlement }: Record,
  arrivedMs: number,
  endedMs: number,
) {
  const since = (ms: number | null) => (ms === null ? undefined : Math.round(ms - arrivedMs));
  return {
    request,
    dialect,
    model: job?.model,
    team: job?.owner.team,
    key: job?.owner.key,
    priority: job && priorities[job.priority],
    worker: worker ?? undefined,
    waitMs: since(seatedMs),
    ttftMs: since(firstByteMs),
    totalMs: Math.round(endedMs - arrivedMs),
    retries: retries || undefined,
    busies: busies || undefined,
    finish: settlement?.finish,
    promptTokens: settlement?.promptTokens,
    cachedTokens: settlement?.cachedTokens,
    outputTokens: settlement?.outputTokens,
    loadMs: settlement?.loadMs || undefined,
  };
}
