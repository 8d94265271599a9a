// What one step decodes: every running answer's next token first, then a bounded chunk of waiting prompt. Pure.

export interface PlannedRun {
  /** Prompt tokens that are not in the KV cache yet; 0 = the run is answering and wants its next token decoded. */
  promptLeft: number;
  /** Steps in a row in which its prompt got nothing. */
  passedOver: number;
}

export interface StepLimits {
  /** Tokens of one batch. */
  batchTokensMax: number;
  /** Prompt tokens per step while an answer is running: bounds the gap between its tokens. */
  prefillTokensBusy: number;
  /** The same where several prompts wait. */
  prefillTokensBurst: number;
  /** Prompt tokens per step while no answer is running: bounds how long a cancellation waits. */
  prefillTokensIdle: number;
}

/** Chunks below this cost more per token: 32 was 38 % dearer than 64 on a CPU. */
const chunkFloor = 64;

/**
 * 1. every answering run gets its one token;
 * 2. the prompt budget is small while anybody answers, less so when several prompts wait, and large when nobody answers;
 * 3. the shortest remaining prompt comes first; each step without a share makes a prompt count as shorter by one
 *    busy chunk, so that a long one waits a bounded number of steps behind short ones;
 * 4. an end that would be too small for a step of its own is read along.
 *
 * @returns tokens for each run, in the order given; 0 = not in this step
 */
export function planStep(runs: readonly PlannedRun[], limits: StepLimits): number[] {
  const shares: number[] = runs.map((run) => (run.promptLeft === 0 ? 1 : 0));
  const answering = shares.reduce((sum, share) => sum + share, 0);
  const order = promptOrder(runs, limits.prefillTokensBusy);
  const busy = order.length > 1 ? limits.prefillTokensBurst : limits.prefillTokensBusy;
  let room = limits.batchTokensMax - answering;
  let budget = Math.min(answering > 0 ? busy : limits.prefillTokensIdle, room);
  for (const index of order) {
    if (budget <= 0) break;
    const left = runs[index]?.promptLeft ?? 0;
    const share = Math.min(left, room, left - budget < chunkFloor ? left : budget); // 4
    shares[index] = share;
    budget -= share;
    room -= share;
  }
  return shares;
}

function promptOrder(runs: readonly PlannedRun[], agePerStep: number): number[] {
  const key = (run: PlannedRun): number => run.promptLeft - run.passedOver * agePerStep;
  return runs
    .map((run, index) => ({ run, index }))
    .filter(({ run }) => run.promptLeft > 0)
    .sort((a, b) => key(a.run) - key(b.run) || a.index - b.index)
    .map(({ index }) => index);
}

/** The prompt chunk that takes about `targetMs` at the measured speed, between the floor and `most`. */
export function chunkFor(targetMs: number, tokensPerMs: number | null, most: number): number {
  if (tokensPerMs === null) return most;
  return Math.max(Math.min(chunkFloor, most), Math.min(most, Math.floor(targetMs * tokensPerMs)));
}
