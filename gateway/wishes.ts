// What a client may ask of the queue, by headers: how long it wants to wait, and how urgent it is.
import type { IncomingHttpHeaders } from 'node:http';
import { goDurationMs } from '@berth/shared/config.ts';
import type { PriorityClass } from '@berth/shared/ledger/ledger.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Job, Owner } from './job.ts';

/** Words for the classes, for clients, metrics and logs, in their order: each is a head start of 120 s on the next. */
export const priorities = ['high', 'normal', 'low'] as const;

/** Longest wait that can be asked for. The queue's own timeout bounds it anyway. */
const patienceMsMax = 24 * 3_600_000;

/** @throws Refusal `bad_request` with the header's name */
export function wishesOf(headers: IncomingHttpHeaders, owner: Owner): Pick<Job, 'priority' | 'patienceMs' | 'retry'> {
  return {
    priority: priorityOf(headers['berth-priority'], owner),
    patienceMs: patienceOf(headers['berth-max-wait']),
    retry: isRetry(headers),
  };
}

/** The header `berth-priority`. More than the key may have is clamped: the same client may use several keys. */
function priorityOf(header: string | string[] | undefined, { priorityMax = 0 }: Owner): PriorityClass {
  const asked = header === undefined ? 1 : priorities.findIndex((name) => name === String(header).toLowerCase());
  if (asked === -1) throw wrong('berth-priority', `one of ${priorities.join(', ')}`);
  return Math.max(asked, priorityMax) as PriorityClass;
}

/** The header `berth-max-wait`: a duration such as `20s`, or seconds. */
function patienceOf(header: string | string[] | undefined): number | null {
  if (header === undefined) return null;
  const text = String(header);
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : goDurationMs(text);
  if (ms > 0 && ms <= patienceMsMax) return ms;
  throw wrong('berth-max-wait', 'a duration such as 20s or 1m30s, or seconds');
}

/** What OpenAI's and Anthropic's clients send with a retry, and the header that others use for the same. */
function isRetry(headers: IncomingHttpHeaders): boolean {
  return Number(headers['x-stainless-retry-count'] ?? 0) > 0 || headers['idempotency-key'] !== undefined;
}

function wrong(param: string, wanted: string): Refusal {
  return new Refusal('bad_request', `${param} must be ${wanted}`, { param });
}
