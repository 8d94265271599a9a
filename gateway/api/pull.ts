// A pull over all workers that keep models on a disk: told to the client as if it were one, as far as the slowest has got.
import type { Announcement } from '@berth/shared/announcement.ts';
import type { PullStatus } from '@berth/shared/dialects/catalog.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import { Refusal, decodeRefusal } from '@berth/shared/outcome.ts';
import type { Exchange } from '../http.ts';
import { askWorker } from './ask-worker.ts';
import type { AskOptions } from './ask-worker.ts';

/** Longest line of a worker. */
const lineCharsMax = 8_192;

export interface Pulled {
  /** Why it is not on a worker. */
  failed: { worker: string; refusal: Refusal }[];
}

/**
 * @param tell hears of each file how many bytes every worker has by now; only when that changes
 * @throws Refusal of the first worker when none has the model in the end; ClientGone
 */
export async function pullOn(
  options: AskOptions,
  workers: readonly Announcement[],
  model: string,
  exchange: Exchange,
  tell: (status: PullStatus) => void,
): Promise<Pulled> {
  const progress = createProgress(workers.length, tell);
  const pulls = workers.map(async (worker, at): Promise<Refusal | null> => {
    try {
      const { body } = await askWorker(options, worker, { method: 'POST', path: '/api/pull', model }, exchange);
      await followTo(body, (status) => {
        if (status.remark === true) tell({ status: `${worker.worker}: ${status.status}` });
        progress.hear(at, status);
      });
      return null;
    } catch (error) {
      exchange.reply.signal.throwIfAborted();
      return error instanceof Refusal
        ? error
        : new Refusal('worker_failed', `worker ${worker.worker} broke off the pull`);
    } finally {
      progress.leave(at);
    }
  });
  const refusals = await Promise.all(pulls);
  const failed = refusals.flatMap((refusal, at) =>
    refusal === null ? [] : [{ worker: workers[at]?.worker ?? '', refusal }],
  );
  const [first] = failed;
  if (first !== undefined && failed.length === workers.length) throw first.refusal;
  return { failed };
}

/** What the slowest of several has of each file. */
function createProgress(count: number, tell: (status: PullStatus) => void) {
  const has = Array.from({ length: count }, () => new Map<string, number>());
  const left = new Set<number>();
  const known = new Map<string, { total: number; told: number }>();
  const update = (digest: string): void => {
    const file = known.get(digest);
    const there = has.flatMap((its, at) => (left.has(at) ? [] : [its.get(digest) ?? 0]));
    const completed = Math.min(...there);
    if (file === undefined || there.length === 0 || completed === file.told) return;
    file.told = completed;
    tell({ status: `pulling ${digest.slice(7, 19)}`, digest, total: file.total, completed });
  };
  return {
    hear(at: number, { digest, total = 0, completed = 0 }: PullStatus) {
      if (digest === undefined) return;
      if (!known.has(digest)) known.set(digest, { total, told: -1 });
      has[at]?.set(digest, completed);
      update(digest);
    },
    /** It has ended, well or badly, and holds up nobody. */
    leave(at: number) {
      left.add(at);
      for (const digest of known.keys()) update(digest);
    },
  };
}

/** Reads a worker's lines up to `success`. @throws Refusal that it told; Error when it broke off */
async function followTo(body: AsyncIterable<Buffer>, hear: (status: PullStatus) => void): Promise<void> {
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + chunk.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineCharsMax) throw new Error('a line of a worker is too long');
    for (const line of lines) {
      const said: unknown = JSON.parse(line);
      if (!isObject(said)) throw new Error('a line of a worker is no object');
      if (typeof said['refusal'] === 'string') throw decodeRefusal(said['refusal']) ?? new Error('it failed');
      if (said['status'] === 'success') return;
      hear(said as unknown as PullStatus);
    }
  }
  throw new Error('it ended without success');
}
