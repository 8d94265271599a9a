// How much the event loop of this process has worked.
import { performance } from 'node:perf_hooks';

/** Seconds since the start in which it worked and did not wait. */
export function eventLoopBusyS(): number {
  return performance.eventLoopUtilization().active / 1_000;
}
