// What the worker says of itself: a beat each second, on every change, after a refusal, and a last one.
import type { Clock } from '@berth/shared/clock.ts';
import type { Beat, Order, WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { reasonOf } from './reason.ts';

/** Between two beats; a worker is dead after five of them. */
export const beatEveryMs = 1_000;
/** Least time between two beats, however much changes: refusals come in storms. */
const beatGapMs = 50;

/**
 * So many beats without an answer are worth a line; of a ledger that never answered, the first. A single one is also
 * what remains of a lone gateway that was stopped just before its workers.
 */
const unansweredTold = 2;

export interface Announcer {
  /** Beats from now on. Settles when the ledger was asked for the first time. */
  start(): Promise<void>;
  /** Something changed: beats as soon as it may. */
  soon(): void;
  /** The last beat of this life: the ledger voids its leases. Never rejects. */
  last(): Promise<void>;
}

export interface AnnouncerOptions {
  ledger: Pick<WorkerLedger, 'beat'>;
  /** What is true now. */
  now: () => Omit<Beat, 'boot' | 'last'>;
  clock: Clock;
  log: Log;
  /** Hears with each answer which model is to be loaded; `null` = none. */
  onOrder: (order: Order | null) => void;
  /** Another process announces the same worker id: this life is over. */
  onStale: (epoch: string) => void;
}

export function createAnnouncer({ ledger, now, clock, log, onOrder, onStale }: AnnouncerOptions): Announcer {
  let boot = true;
  /** Beats in a row without an answer, and whether the log says so. */
  let unanswered = 0;
  let told = false;
  let stopped = false;
  let again = false;
  let startedMs = Number.NEGATIVE_INFINITY;
  let flying: Promise<void> | null = null;
  let timer: Disposable | null = null;

  const send = async (last: boolean): Promise<boolean> => {
    try {
      const reply = await ledger.beat({ ...now(), boot, last });
      if (told) log.info('the ledger answers again');
      told = false;
      unanswered = 0;
      if (reply.kind === 'stale') onStale(reply.epoch);
      else {
        boot = false;
        const { added, dropped } = reply;
        if (added + dropped > 0) log.debug('the ledger was corrected', { added, dropped });
        if (!last) onOrder(reply.order);
      }
      return true;
    } catch (error) {
      unanswered += 1;
      // At the end the lone gateway may have left before us: it needs no good-bye.
      if (told || last || (!boot && unanswered < unansweredTold)) return false;
      told = true;
      log.error('the ledger does not answer; running requests go on', { reason: reasonOf(error) });
      return false;
    }
  };
  const plan = (delayMs: number): void => {
    timer?.[Symbol.dispose]();
    timer = stopped ? null : clock.after(Math.max(0, delayMs), () => void beat());
  };
  const planNext = (): void => {
    flying = null;
    plan(startedMs + (again ? beatGapMs : beatEveryMs) - clock.monotonic());
  };
  /** One at a time; what changes meanwhile is told by the next. */
  const beat = (): Promise<void> => {
    again = flying !== null;
    if (flying !== null) return flying;
    startedMs = clock.monotonic();
    flying = send(false).then(planNext);
    return flying;
  };

  return {
    start: beat,
    soon() {
      if (flying !== null) again = true;
      else if (startedMs > Number.NEGATIVE_INFINITY) plan(startedMs + beatGapMs - clock.monotonic());
    },
    async last() {
      stopped = true;
      timer?.[Symbol.dispose]();
      await flying;
      if (!(await send(true))) await send(true);
    },
  };
}
