// Whether this machine's clock goes with those of others. Pure.
import { good, problem, warning } from './finding.ts';
import type { Finding } from './finding.ts';

/** Calls between gateway and worker are refused beyond this difference. */
const refusedMs = 30_000;
const oddMs = 2_000;

/** @param aheadMs how far the other clock is ahead of ours */
export function judgeClock(whose: string, aheadMs: number): Finding {
  const apart = Math.abs(aheadMs);
  const seconds = `${(apart / 1_000).toFixed(1)} s`;
  const found = `that of ${whose} is ${seconds} ${aheadMs >= 0 ? 'ahead of' : 'behind'} ours`;
  if (apart < oddMs) return good('clock', `goes with that of ${whose}`);
  const advice = 'let both machines set their clocks by NTP (timedatectl set-ntp true)';
  if (apart < refusedMs) return warning('clock', found, advice);
  return problem('clock', found, `${advice}: calls that look older than 30 s are refused`);
}
