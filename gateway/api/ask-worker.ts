// A signed call to one worker that takes no slot: what concerns the models on its disk, or in its memory.
import { signCall } from '@berth/shared/auth.ts';
import type { Announcement } from '@berth/shared/announcement.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { refusalHeader } from '@berth/shared/headers.ts';
import { Refusal, decodeRefusal } from '@berth/shared/outcome.ts';
import type { Answer, createAgent } from '../forward.ts';
import type { Exchange } from '../http.ts';
import type { Roster } from '../workers/roster.ts';

export interface AskOptions {
  agent: ReturnType<typeof createAgent>;
  /** Signs the calls. */
  secret: string;
  gateway: string;
  clock: Clock;
  roster: Roster;
}

export interface Question {
  method: 'POST' | 'DELETE';
  path: string;
  model: string;
  body?: Buffer;
}

/** @throws Refusal, the worker's own or `worker_failed`; ClientGone by the reply's signal */
export async function askWorker(
  { agent, secret, gateway, clock, roster }: AskOptions,
  { worker, epoch, url: origin }: Announcement,
  { method, path, model, body }: Question,
  { owner, reply }: Pick<Exchange, 'owner' | 'reply'>,
): Promise<Answer> {
  const call = { lease: '', epoch, model, owner: { team: owner.team, key: owner.key, gateway } };
  const signal = AbortSignal.any([reply.signal, roster.life(worker, epoch)]);
  try {
    const headers = { ...signCall(secret, method, path, call, clock.now()), 'content-type': 'application/json' };
    const answer = await agent.request({ origin, path, method, headers, signal, ...(body && { body }) });
    if (answer.statusCode === 200) return answer;
    await answer.body.dump();
    const header = answer.headers[refusalHeader];
    throw (
      decodeRefusal(Array.isArray(header) ? header[0] : header) ??
      new Refusal('worker_failed', `worker ${worker} answered with status ${answer.statusCode}`)
    );
  } catch (error) {
    reply.signal.throwIfAborted();
    if (error instanceof Refusal) throw error;
    throw new Refusal('worker_failed', `worker ${worker} does not answer`);
  }
}

/** One for each process: the lanes of a worker are one, at one address. */
export function processesOf(workers: readonly Announcement[]): Announcement[] {
  return [...new Map(workers.map((worker) => [worker.url, worker])).values()];
}

/**
 * Asks each of them the same.
 * @throws Refusal when somebody refuses: its own when nobody did as asked, else one that says who did not
 */
export async function askAll(
  options: AskOptions,
  workers: readonly Announcement[],
  question: Question,
  exchange: Pick<Exchange, 'owner' | 'reply'>,
): Promise<void> {
  const settled = await Promise.allSettled(
    workers.map(async (worker) => (await askWorker(options, worker, question, exchange)).body.dump()),
  );
  const failed = settled.flatMap((each, at) =>
    each.status === 'rejected' ? [{ worker: workers[at]?.worker, error: each.reason as Error }] : [],
  );
  const [first] = failed;
  if (first === undefined) return;
  if (failed.length === workers.length || !(first.error instanceof Refusal)) throw first.error;
  const who = failed.map(({ worker, error }) => `${worker}: ${error.message}`).join('; ');
  throw new Refusal('worker_failed', `done on ${workers.length - failed.length} of ${workers.length} workers. ${who}`);
}
