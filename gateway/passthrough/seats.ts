// Pages that compute: what passes through to them holds a slot, of the same ledger, queue, keys and usage as every job.
import { seatOn } from '@berth/shared/announcement.ts';
import { decodeNotStarted, signCall } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import { unsetSampling } from '@berth/shared/dialects/parts.ts';
import { notStartedHeader } from '@berth/shared/headers.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { Shelf } from '../api/copies.ts';
import type { Forward, createAgent } from '../forward.ts';
import type { Exchange } from '../http.ts';
import type { Job } from '../job.ts';
import type { Seat } from '../place.ts';
import { checkRights } from '../policy/key.ts';
import type { Limits } from '../policy/limits.ts';
import { serve } from '../serve.ts';
import type { ServeOptions } from '../serve.ts';
import { wishesOf } from '../wishes.ts';

/**
 * Does the work on a slot of a worker, or of any worker that serves a model; it waits for one as every job does.
 * @param work is called once, and has to end when the signal aborts: then the slot is lost
 * @throws Refusal, ClientGone, LedgerUnavailable; what `work` throws
 */
export type TakeSeat = (exchange: Exchange, name: string, work: (until: AbortSignal) => Promise<void>) => Promise<void>;

interface Options extends Shelf {
  stages: Omit<ServeOptions, 'forward'>;
  limits: Limits;
  agent: ReturnType<typeof createAgent>;
  /** Signs the calls. */
  secret: string;
  gateway: string;
  clock: Clock;
}

export function createSeats(options: Options): TakeSeat {
  const { stages, limits } = options;
  return async (exchange, name, work) => {
    const { owner, record, reply, request } = exchange;
    // A client that has gone without a word is noticed too: its connection may be silent for hours.
    request.socket.setKeepAlive(true, keepAliveMs);
    await options.roster.firstLook(reply.signal);
    const job = jobFor(exchange, name, options);
    record.understood(job);
    using _allowance = limits.admit(owner, job, record);
    await serve({ ...stages, forward: holding(work, options) }, job, reply, record);
  };
}

const keepAliveMs = 5_000;

/** Nothing is asked of a model, so that no token is reserved, and none counted. */
const nothing: Omit<Generation, 'model'> = {
  dialect: 'openai',
  endpoint: 'completion',
  prompt: null,
  stream: false,
  includeUsage: false,
  sampling: unsetSampling,
  maxTokens: 0,
  stop: [],
  format: { kind: 'text' },
  keepAliveMs: null,
  contextTokens: null,
};

const passed: Settlement = {
  finish: 'stop',
  promptTokens: 0,
  cachedTokens: 0,
  outputTokens: 0,
  ttftMs: 0,
  prefillMs: 0,
  decodeMs: 0,
  loadMs: 0,
};

/** @throws Refusal `forbidden`, `no_worker`, `bad_request` */
function jobFor({ id, owner, request, reply, arrivedMs, record }: Exchange, name: string, shelf: Shelf): Job {
  const worker = shelf.roster.worker(name);
  const model = worker ? seatOn(name) : shelf.aliases.modelOf(name);
  const generation = { ...nothing, model: name };
  if (!worker) checkRights(owner.rights, [canonicalModel(name), model], generation);
  if (shelf.roster.holders(model).length === 0) {
    throw new Refusal('no_worker', `there is no worker and no model ${name} now: try again`, { retryAfterS: 2 });
  }
  return {
    id,
    dialect: reply.dialect,
    path: holdPath,
    generation,
    model,
    milestones: [],
    body: Buffer.alloc(0),
    owner,
    arrivedMs,
    ...(record.trace && { trace: record.trace }),
    ...wishesOf(request.headers, owner),
  };
}

const holdPath = '/internal/hold';

/**
 * 1. The worker takes the slot too, so that its guard and its beats know of it, and holds it for as long as the call to
 *    it is open: whatever ends this process ends the call.
 * 2. Once it has, the worker tells the ledger of the end: a slot that we gave back before it did would be given to
 *    somebody whom it would have to refuse.
 * 3. A worker that dies, or has to leave, takes the slot with it.
 */
function holding(work: (until: AbortSignal) => Promise<void>, options: Options): Forward {
  return async (job, seat, reply) => {
    const off = new AbortController();
    const end = () => off.abort(new Error('the slot was lost'));
    for (const signal of [reply.signal, seat.life]) signal.addEventListener('abort', end, { once: true });
    try {
      reply.signal.throwIfAborted();
      if (seat.life.aborted) end();
      const held = await hold(job, seat, off.signal, options);
      if (held.kind !== 'held') {
        reply.signal.throwIfAborted();
        return held;
      }
      held.over.then(end, end); // 3
      await work(off.signal);
      if (!off.signal.aborted) return { kind: 'settled', settlement: passed };
      reply.signal.throwIfAborted();
      throw new Refusal('worker_failed', `worker ${seat.worker} has taken its slot back`);
    } finally {
      end(); // 1
      for (const signal of [reply.signal, seat.life]) signal.removeEventListener('abort', end);
    }
  };
}

type Hold = { kind: 'held'; over: Promise<unknown> } | Exclude<Awaited<ReturnType<Forward>>, { kind: 'settled' }>;

async function hold(
  job: Job,
  seat: Seat,
  signal: AbortSignal,
  { agent, secret, gateway, clock }: Options,
): Promise<Hold> {
  seat.giveBack = 'refused';
  if (seat.url === '') return { kind: 'busy' };
  const { team, key } = job.owner;
  const call = { lease: seat.lease, epoch: seat.epoch, model: job.model, owner: { team, key, gateway } };
  const headers = { ...signCall(secret, 'POST', holdPath, call, clock.now()), 'x-request-id': job.id };
  try {
    const answer = await agent.request({ origin: seat.url, path: holdPath, method: 'POST', headers, signal });
    if (answer.statusCode === 200) {
      seat.giveBack = 'entrusted'; // 2
      return { kind: 'held', over: answer.body.dump() };
    }
    const why = answer.headers[notStartedHeader];
    await answer.body.dump();
    if (decodeNotStarted(why) !== null) return { kind: 'busy' };
    return { kind: 'broken', mayHaveStarted: false, died: false, why: `status ${answer.statusCode}` };
  } catch (error) {
    // A slot that the worker has taken meanwhile ends with the call, and the worker is not to blame for a client's leave.
    if (signal.aborted) seat.giveBack = 'entrusted';
    return { kind: 'broken', mayHaveStarted: false, died: false, why: String(error) };
  }
}
