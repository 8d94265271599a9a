// A worker for a doubled server in this process, with a ledger that only remembers; called as a gateway calls it.
import { systemClock } from '@berth/shared/clock.ts';
import type { Clock } from '@berth/shared/clock.ts';
import type { Beat } from '@berth/shared/ledger/ledger.ts';
import { startJoined } from '../../../worker/upstream/joined.ts';
import type { JoinedOptions } from '../../../worker/upstream/joined.ts';
import type { Worker } from '../../../worker/worker.ts';
import { announced, beginCall, ofAnyWorker, rememberingLedger } from '../a-worker.ts';
import type { Running, TestCall, TestWorker } from '../a-worker.ts';

export interface TestJoined
  extends AsyncDisposable, Pick<TestWorker, 'beats' | 'leaves' | 'orders' | 'announcement' | 'call'> {
  worker: Worker;
  begin: (call?: Partial<TestCall>) => Running;
  /** The latest beat. */
  beat: () => Beat | undefined;
}

export async function aJoined(upstream: string, options: Partial<JoinedOptions> = {}): Promise<TestJoined> {
  const clock: Clock = options.clock ?? systemClock;
  const { ledger, beats, leaves, orders } = rememberingLedger();
  const worker = await startJoined({
    id: 'j1',
    ...ofAnyWorker(ledger, clock),
    loadedMax: 2,
    upstream,
    key: null,
    slots: 2,
    silenceMs: 60_000,
    ...options,
  });
  const begin = (call: Partial<TestCall> = {}): Running => beginCall(worker, clock, call);
  return {
    worker,
    beats,
    leaves,
    orders,
    begin,
    beat: () => beats.at(-1),
    call: (call) => begin(call).answer,
    announcement: () => announced(beats.at(-1)),
    [Symbol.asyncDispose]: () => worker.drain(0),
  };
}
