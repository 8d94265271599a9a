// What a key may have at a time: requests inside, tokens a minute, tokens a month; reserved before, settled after.
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { answersOf } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { Job } from '../job.ts';
import type { Caller, Rights } from './key.ts';
import type { Usage } from './usage.ts';

/** What is known of a request when it ends. */
interface Ending {
  settlement: Settlement | null;
  /** When it got its last slot, on the monotonic clock; `null` = none, so that nothing was used. */
  seatedMs: number | null;
}

export interface Limits {
  /** @returns what is given back, and counted as used, at the end of the scope @throws Refusal `rate_limited`, `budget_spent` */
  admit(caller: Caller, job: Job, ending: Readonly<Ending>): Disposable;
}

interface Options {
  usage: Usage;
  clock: Clock;
  /** Gateways of the pool. */
  gateways: () => number;
}

interface State {
  inside: number;
  /** Tokens that may be taken now; below 0 after an answer that was longer than expected. */
  tokens: number;
  atMs: number;
  /** Reserved by what is inside, for the month's budget. */
  reserved: number;
}

/** English text averages about four bytes a token. */
const bytesPerToken = 4;
/** Reserved for an answer whose length the client did not bound. */
const answerTokens = 256;
const minuteMs = 60_000;
/** Keys of which something is remembered; those with nothing inside and a whole bucket are forgotten first. */
const statesMax = 20_000;

/**
 * Each gateway admits its share of a key's limit, so that all of them together never admit more than the limit; the
 * month's budget is one for all, as old as the last look at the usage of the others.
 */
export function createLimits({ usage, clock, gateways }: Options): Limits {
  const states = new Map<string, State>();

  function stateOf(id: string, rights: Rights): State {
    const nowMs = clock.monotonic();
    const most = shareOf(rights.tokensPerMinute);
    const state = states.get(id) ?? { inside: 0, tokens: most, atMs: nowMs, reserved: 0 };
    const earned = ((nowMs - state.atMs) / minuteMs) * most;
    state.tokens = Math.min(most, state.tokens + (Number.isFinite(earned) ? earned : 0));
    if (most === Infinity) state.tokens = Infinity;
    state.atMs = nowMs;
    if (states.size >= statesMax) forget(nowMs);
    states.set(id, state);
    return state;
  }

  function shareOf(limit: number | null): number {
    return limit === null ? Infinity : Math.max(1, Math.floor(limit / Math.max(1, gateways())));
  }

  /** A bucket is whole again after a minute. */
  function forget(nowMs: number): void {
    for (const [id, { inside, atMs }] of states) if (inside === 0 && nowMs - atMs >= minuteMs) states.delete(id);
  }

  return {
    admit({ id, team, rights }, job, ending) {
      const state = stateOf(id, rights);
      const insideMax = shareOf(rights.concurrentMax);
      if (state.inside >= insideMax) {
        throw new Refusal('rate_limited', `this key has ${insideMax} requests here already, as many as it may`, {
          retryAfterS: 1,
        });
      }
      const minute = shareOf(rights.tokensPerMinute);
      // A request larger than a whole minute gets in when the bucket is full, and is paid for afterwards.
      const need = Math.min(tokensOf(job), minute);
      if (need > state.tokens) {
        throw new Refusal('rate_limited', `this key has used its tokens of this minute (${rights.tokensPerMinute})`, {
          retryAfterS: ((need - state.tokens) / minute) * 60,
        });
      }
      const month = rights.tokensPerMonth ?? Infinity;
      if (month !== Infinity && usage.tokensThisMonth(id) + state.reserved + need > month) {
        throw new Refusal('budget_spent', `this key has used its tokens of this month (${month}): ask for more`);
      }
      state.inside += 1;
      state.tokens -= need;
      state.reserved += need;
      return {
        [Symbol.dispose]() {
          const used = usedBy(ending, need);
          const now = stateOf(id, rights);
          now.inside -= 1;
          now.tokens += need - used;
          now.reserved -= need;
          const slotMs = ending.seatedMs === null ? 0 : clock.monotonic() - ending.seatedMs;
          usage.count({ key: id, team }, ending.settlement, used, slotMs / 1_000);
        },
      };
    },
  };
}

/** What was reserved stays spent when a seat was taken and nobody told what was used: leaving early is not free. */
function usedBy({ settlement, seatedMs }: Ending, reserved: number): number {
  if (settlement) return settlement.promptTokens + settlement.outputTokens;
  return seatedMs === null ? 0 : reserved;
}

function tokensOf({ body, generation }: Job): number {
  const answers = answersOf(generation) * Math.min(generation.maxTokens ?? answerTokens, 1e6);
  return Math.ceil(body.length / bytesPerToken) + answers;
}
