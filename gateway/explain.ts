// Why a request went where it went: kept for the last of each gateway, without a word of prompt, key or answer.
import type { Clock } from '@berth/shared/clock.ts';
import type { Taken } from '@berth/shared/ledger/ledger.ts';
import type { Outcome } from '@berth/shared/outcome.ts';
import type { Ranked } from './placement/rank.ts';
import type { Registers } from './policy/registers.ts';
import type { Record } from './settle.ts';
import { spentMs } from './spent.ts';

/** One question to the ledger and its answer. */
export interface Decision extends Ranked {
  /** Since the request's arrival. */
  atMs: number;
  /** Workers that had the model loaded, as far as this gateway knew. */
  warm: number;
  excluded: readonly string[];
  taken: Taken;
}

/** What is kept of a request. */
interface Explanation {
  request: string;
  [field: string]: unknown;
}

export interface Explain {
  /** It is understood, and may be asked for from now on. */
  begins(record: Record, arrivedMs: number): void;
  ended(record: Record, outcome: Outcome, arrivedMs: number, endedMs: number): void;
  /** Of this gateway, else of another one in the pool; `null` = nobody knows it (any more). */
  of(request: string): Promise<Explanation | null>;
  /** Answers what other gateways ask. Never rejects. */
  answer(): Promise<void>;
}

interface Options {
  gateway: string;
  /** How gateways ask each other. */
  questions: Registers;
  gateways: () => number;
  clock: Clock;
}

const keptMax = 1_000;
/** Another gateway looks for questions each second, and so does this one for answers. */
const answerMs = 5_000;
const lookEveryMs = 100;
/** A question and its answer are forgotten after this long. */
const questionMs = 15_000;

interface Question {
  untilMs: number;
  /** `null` = not yet. */
  answer: Explanation | null;
}

export function isQuestionKept(value: unknown, nowMs: number): boolean {
  return (value as Question).untilMs > nowMs;
}

/** @throws Error for what is none */
export function checkQuestion(value: unknown): void {
  const { untilMs, answer } = value as Question;
  if (typeof untilMs !== 'number' || typeof answer !== 'object') throw new Error('is no question of a gateway');
}

export function createExplain({ gateway, questions, gateways, clock }: Options): Explain {
  const kept = new Map<string, Explanation | (() => Explanation)>();

  const keep = (request: string, what: Explanation | (() => Explanation)): void => {
    kept.delete(request);
    kept.set(request, what);
    const [oldest] = kept.keys();
    if (kept.size > keptMax && oldest !== undefined) kept.delete(oldest);
  };
  const own = (request: string): Explanation | null => {
    const found = kept.get(request);
    return (typeof found === 'function' ? found() : found) ?? null;
  };
  const put = async (request: string, answer: Explanation | null): Promise<void> => {
    const revision = Math.max(clock.now(), (questions.get(request)?.revision ?? 0) + 1);
    questions.put(request, { revision, value: { untilMs: clock.now() + questionMs, answer } satisfies Question });
    await questions.flush().catch(() => {});
  };
  const asked = async (request: string): Promise<Explanation | null> => {
    await put(request, null);
    for (let waitedMs = 0; waitedMs < answerMs; waitedMs += lookEveryMs) {
      const { answer = null } = (questions.get(request)?.value ?? {}) as Partial<Question>;
      if (answer !== null) return answer;
      await new Promise<void>((resolve) => void clock.after(lookEveryMs, resolve));
    }
    return null;
  };

  return {
    begins: (record, arrivedMs) =>
      keep(record.request, () => explained(gateway, record, null, arrivedMs, clock.monotonic())),
    ended(record, outcome, arrivedMs, endedMs) {
      if (record.job) keep(record.request, explained(gateway, record, outcome, arrivedMs, endedMs));
    },
    async of(request) {
      const here = own(request);
      return here ?? (gateways() > 1 ? asked(request) : null);
    },
    async answer() {
      for (const [request, { value }] of questions.entries()) {
        const mine = (value as Question).answer === null ? own(request) : null;
        if (mine) await put(request, mine);
      }
    },
  };
}

/** @param outcome `null` = it has not ended */
function explained(
  gateway: string,
  record: Record,
  outcome: Outcome | null,
  arrivedMs: number,
  nowMs: number,
): Explanation {
  const since = (ms: number | null) => (ms === null ? null : Math.round(ms - arrivedMs));
  const { request, dialect, job, decisions, worker, placement } = record;
  const { seatedMs, firstByteMs, ledgerMs, retries, busies, settlement } = record;
  return {
    request,
    gateway,
    dialect,
    model: job?.model ?? null,
    team: job?.owner.team ?? null,
    outcome: outcome ?? (seatedMs === null ? 'waiting' : 'running'),
    worker,
    reason: placement,
    decisions: decisions.map(({ taken, ...decision }) => ({
      ...decision,
      atMs: Math.round(decision.atMs),
      ledger: said(taken),
    })),
    times: {
      ledgerMs: Math.round(ledgerMs),
      waitMs: since(seatedMs),
      firstByteMs: since(firstByteMs),
      totalMs: since(nowMs),
      loadMs: Math.round(spentMs(record, arrivedMs, nowMs).load),
      prefillMs: settlement?.prefillMs ?? null,
      decodeMs: settlement?.decodeMs ?? null,
    },
    tokens: settlement && {
      prompt: settlement.promptTokens,
      reused: settlement.cachedTokens,
      output: settlement.outputTokens,
    },
    retries,
    busies,
  };
}

/** The ledger's answer: a slot at once, a place in the queue, or that it is full. */
function said(taken: Taken): object {
  if (taken.kind === 'held') return { kind: 'held', worker: taken.worker };
  if (taken.kind === 'wait') return { kind: 'wait', place: taken.place, servers: taken.servers };
  return { kind: 'full', bound: taken.bound };
}
