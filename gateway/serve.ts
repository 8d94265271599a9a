// The life of one request. What a scope opens, leaving the scope closes.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Admit } from './admit.ts';
import type { Estimate } from './estimate.ts';
import type { Forward } from './forward.ts';
import type { Job } from './job.ts';
import type { Journey, Place } from './place.ts';
import type { Reply } from './reply.ts';
import type { RetryBudget } from './retry-budget.ts';
import type { Record } from './settle.ts';

export interface ServeOptions {
  admit: Admit;
  place: Place;
  forward: Forward;
  retries: RetryBudget;
  estimate: Pick<Estimate, 'wait'>;
}

/** A job that returned to the queue this often met workers that are never free: something is wrong with them. */
const busyMax = 50;

/**
 * Runs a job to its end: admit → place → forward, again while nothing can have started (rule I5).
 * 1. `busy`: it did not start. Back to its place in the queue, with its age; the worker is not to blame.
 * 2. `broken` before the first byte: once more, on another worker when there is one, within the retry budget. A
 *    second time only when the connection was refused, for then it cannot have started.
 * 3. After the first byte `forward` throws: the client has seen part of an answer, which nobody can take back.
 * @throws Refusal, ClientGone, LedgerUnavailable
 */
export async function serve(stages: ServeOptions, job: Job, reply: Reply, record: Record) {
  const { admit, place, forward, retries } = stages;
  using _pass = admit(job);
  const { asked, decided, cold } = record;
  const journey: Journey = { age: null, failed: new Map(), ticket: null, asked, decided, cold };
  using _patience = keepWaiting(stages, job, reply, journey);
  let mayHaveStarted = false;

  for (let turns = 0; turns < busyMax; turns += 1) {
    await using seat = await place(job, journey, reply.signal);
    record.seated(seat.worker, seat.placement);
    const ending = await forward(job, seat, reply, record);
    if (ending.kind === 'settled') return record.settled(ending.settlement);
    if (ending.kind === 'busy') {
      record.busy(); // 1
      continue;
    }
    journey.failed.set(seat.worker, { epoch: seat.epoch, reached: ending.mayHaveStarted }); // 2
    if ((ending.mayHaveStarted && mayHaveStarted) || !retries.spend()) break;
    mayHaveStarted ||= ending.mayHaveStarted;
    record.retried();
  }
  const workers = [...journey.failed.keys()].join(', ') || 'the workers';
  throw new Refusal('worker_failed', `no answer from ${workers}: the request may be sent again`);
}

/** Tells a client that waits for a stream that it still waits, and where it stands. */
function keepWaiting({ estimate }: ServeOptions, job: Job, reply: Reply, journey: Journey): Disposable {
  const { dialect, generation } = job;
  if (!generation.stream) return { [Symbol.dispose]() {} };
  return reply.whileWaiting((nowMs) => {
    const place = journey.ticket?.place ?? null;
    const expectedMs = place === null ? null : (estimate.wait(place)?.p50Ms ?? null);
    return dialect.waitFrame({ model: generation.model, endpoint: generation.endpoint, place, expectedMs, nowMs });
  });
}
