// Estimates from what was seen lately: a job's cost before it runs, and when a refused client should come back.
import type { Random } from '@berth/shared/random.ts';
import { answersOf } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { createEta } from './eta.ts';
import type { PromisedWait } from './eta.ts';
import type { Job } from './job.ts';

export interface Estimate {
  /** Slot-seconds that a job will take. */
  cost(job: Job): number;
  /** A settled request teaches the rates of its model. @param answers so many, one after another */
  learn(model: string, settlement: Settlement, answers?: number): void;
  /** What a request of the model takes in its slot, ms; `null` while none was seen. */
  serviceMs(model: string): number | null;
  /** A slot was given back through this gateway. */
  released(): void;
  /** Each second: how many wait in the whole pool, and how many gateways there are. */
  tick(waiting: number, gateways: number): void;
  /** A wait in milliseconds that even good luck will not shorten, as number so many in line; 0 while nothing is known. */
  leastWaitMs(number: number): number;
  /** What may be promised at a place of the queue; `null` while no slot has come free. */
  wait(place: number): PromisedWait | null;
  /** Who was promised this has been served after so long. */
  served(promised: PromisedWait, waitedMs: number): void;
  /** Whole seconds from 1 to 30, jittered, from the rate at which slots came free in the last minute. */
  retryAfterS(): number;
}

/** Before anything was measured; a settled request replaces them by a tenth each. */
const start = { prefillTokensPerS: 1_000, decodeTokensPerS: 40, outputTokens: 200, serviceMs: null as number | null };
const learning = 0.1;
/** Said while no slot has come free yet. */
const unknownWaitS = 5;
/** Slots come free at most so many times faster than lately: refusing what could have been served is the worse error. */
const luck = 4;
/** English text averages about four bytes a token. */
const bytesPerToken = 4;
const modelsMax = 1_000;
/** Weight of the last second in the rate of releases: a memory of about twenty seconds. */
const recent = 0.05;

export function createEstimate({ random }: { random: Random }): Estimate {
  const rates = new Map<string, typeof start>();
  let releasedNow = 0;
  let freed = false;
  /** Mean of the last seconds, and how much of a full memory it is made of: the first seconds count in full. */
  let releases = 0;
  let measured = 0;
  let seen = { waiting: 0, gateways: 1 };
  const eta = createEta();
  const releasedPerS = () => (measured > 0 ? (releases / measured) * seen.gateways : 0);

  return {
    cost({ model, body, generation }) {
      const rate = rates.get(model) ?? start;
      const prefillS = body.length / bytesPerToken / rate.prefillTokensPerS;
      const outputTokens = Math.min(generation.maxTokens ?? Infinity, rate.outputTokens) * answersOf(generation);
      return prefillS + outputTokens / rate.decodeTokensPerS;
    },
    learn(model, { promptTokens, cachedTokens, outputTokens, prefillMs, decodeMs }, answers = 1) {
      if (!rates.has(model) && rates.size >= modelsMax) return;
      const rate = { ...(rates.get(model) ?? start) };
      const move = (old: number, seen: number) =>
        Number.isFinite(seen) && seen > 0 ? old + learning * (seen - old) : old;
      rate.prefillTokensPerS = move(rate.prefillTokensPerS, ((promptTokens - cachedTokens) * 1_000) / prefillMs);
      rate.decodeTokensPerS = move(rate.decodeTokensPerS, (outputTokens * 1_000) / decodeMs);
      rate.outputTokens = move(rate.outputTokens, outputTokens / answers);
      const servedMs = prefillMs + decodeMs;
      rate.serviceMs = rate.serviceMs === null ? servedMs : move(rate.serviceMs, servedMs);
      rates.set(model, rate);
    },
    serviceMs: (model) => rates.get(model)?.serviceMs ?? null,
    released() {
      freed = true;
      releasedNow += 1;
    },
    tick(waiting, gateways) {
      // Without a queue slots come free as often as somebody asks, which says nothing of how fast a queue moves.
      if (waiting > 0 || seen.waiting > 0) {
        releases += recent * (releasedNow - releases);
        measured += recent * (1 - measured);
      }
      seen = { waiting, gateways: Math.max(1, gateways) };
      releasedNow = 0;
    },
    leastWaitMs(number) {
      const poolPerS = releasedPerS() * luck;
      return poolPerS > 0 ? ((number - 1) / poolPerS) * 1_000 : 0;
    },
    wait(place) {
      const poolPerS = releasedPerS();
      return poolPerS > 0 ? eta.promise((place / poolPerS) * 1_000) : null;
    },
    served: eta.served,
    retryAfterS() {
      const poolPerS = releasedPerS();
      const nobodyWaits = freed && seen.waiting === 0;
      const waitS = poolPerS > 0 ? seen.waiting / poolPerS : nobodyWaits ? 0 : unknownWaitS;
      const jitter = 0.75 + random.integer(1_000) / 2_000;
      return Math.min(30, Math.max(1, Math.round(waitS * jitter)));
    },
  };
}
