// Who was refused a moment ago and comes back with the same request keeps the age of the first try.
import { createHmac } from 'node:crypto';
import type { Clock } from '@berth/shared/clock.ts';
import type { Job } from './job.ts';

export interface Comebacks {
  /** A job got no slot: the queue was full, or it waited in vain; `age` is on the ledger's clock. */
  refused(job: Job, age: number): void;
  /** The age of the first try, when this job says that it is a retry and was refused here; once. */
  ageOf(job: Job): number | null;
}

/** Clients come back within Retry-After, at most 30 s, and a second time after a longer pause. */
const keptMs = 60_000;
const keptMax = 4_096;

/**
 * A retry count alone has no identity, so an age belongs to the same key, model and body. It orders a key's own
 * requests and newcomers among themselves: it cannot beat another team's share.
 * @param secret makes the fingerprints useless outside this process
 */
export function createComebacks({ clock, secret }: { clock: Clock; secret: string }): Comebacks {
  const kept = new Map<string, { age: number; untilMs: number }>();
  const fingerprint = ({ owner, model, body }: Job) =>
    createHmac('sha256', secret).update(`${owner.team}\0${owner.key}\0${model}\0`).update(body).digest('base64');
  const forgetOld = () => {
    for (const [print, { untilMs }] of kept) {
      if (untilMs > clock.monotonic() && kept.size <= keptMax) return;
      kept.delete(print);
    }
  };
  return {
    refused(job, age) {
      const print = fingerprint(job);
      const first = Math.min(age, kept.get(print)?.age ?? age);
      kept.delete(print);
      kept.set(print, { age: first, untilMs: clock.monotonic() + keptMs });
      forgetOld();
    },
    ageOf(job) {
      if (!job.retry || kept.size === 0) return null;
      const print = fingerprint(job);
      const entry = kept.get(print);
      kept.delete(print);
      return entry && entry.untilMs > clock.monotonic() ? entry.age : null;
    },
  };
}
