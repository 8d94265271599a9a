// The slot loop: one batch per step over all running requests of a model.
import { Refusal } from '@berth/shared/outcome.ts';
import type { EngineRequest } from '../engine.ts';
import type { Part, Sampled } from './batch.ts';
import type { Binding } from './binding.ts';
import { beginsFreely } from './calls-grammar.ts';
import { chunkFor, planStep } from './plan.ts';
import type { PromptCache } from './prompt-cache.ts';
import { withinTime } from './rendering.ts';
import { advanceRun, contextOf, newRun, startRun, takeToken, tellToken } from './run.ts';
import type { Run, Sequence, Taken } from './run.ts';
import { samplerSettings } from './sampling.ts';
import type { RowScores } from './scores.ts';
import { createSeating } from './seating.ts';
import { fittingPrompt } from './fitting.ts';
import { promptReader } from './template.ts';
import type { LoopTuning } from './tuning.ts';
import type { RefusedEvent, RunEvent, StepSummary } from './wire.ts';

/** Told what happened in the steps since it was told last; of none when a request starts or leaves between two. */
export type LoopOutlet = (events: [id: number, event: RunEvent][], steps: StepSummary[]) => void;

export interface SlotLoop {
  /** Puts a request in line; everything that becomes of it goes to the outlet. Never rejects. */
  submit(id: number, request: EngineRequest): Promise<void>;
  /** Frees the request's sequence after the step in progress, and says `gone`. */
  abort(id: number): void;
  /** Runs until `close`, then saves what it knows. @throws Error when a batch cannot be decoded: the engine is broken then */
  run(): Promise<void>;
  close(): void;
}

/** @param cache `null` = prompts that lose their sequence are lost */
export function openLoop(
  binding: Binding,
  now: () => number,
  outlet: LoopOutlet,
  tuning: LoopTuning,
  cache: PromptCache | null,
): SlotLoop {
  const seating = createSeating(binding, cache, now);
  const readPrompt = promptReader({ ...binding.prompts, compile: withinTime(binding.prompts.compile, now) });
  const idle = new Set<Sequence>(Array.from({ length: binding.slots }, (_, index) => emptySequence(index)));
  const speed = prefillSpeed();
  const isEnd = (token: number): boolean => binding.isEnd(token);
  const preparing = new Set<number>();
  const aborted = new Set<number>();
  let waiting: Run[] = [];
  let running: Run[] = [];
  let events: [number, RunEvent][] = [];
  /** Tokens whose text waits, as the step's summary does, for the next one's batch to be on its way. */
  let taken: Taken[] = [];
  let steps = 0;
  let untold: StepSummary[] = [];
  let toldMs = -Infinity;
  let starts = 0;
  const closed = new AbortController();
  /** Something came while the loop was at work: it looks again before it sleeps. */
  let woken = false;
  let rouse = (): void => {};

  async function submit(id: number, request: EngineRequest): Promise<void> {
    preparing.add(id);
    try {
      if (waiting.length >= tuning.waitingMax) throw new Refusal('internal', 'too many requests wait in the engine');
      const prompt = fittingPrompt(promptOf(request), request, readPrompt, contextOf(binding, request));
      const settings = samplerSettings(request.sampling, prompt, binding.contextTokens, binding.vocabularyTokens);
      const sampler = await binding.sampler(settings, request.format);
      waiting.push(newRun(binding, id, request, prompt, sampler)); // `waiting` may be another list by now
    } catch (error) {
      aborted.delete(id);
      events.push([id, refused(error)]);
    }
    preparing.delete(id);
    wake();
  }

  function wake(): void {
    woken = true;
    rouse();
  }

  function abort(id: number): void {
    if (!preparing.has(id) && ![...waiting, ...running].some((run) => run.id === id)) return;
    aborted.add(id);
    wake();
  }

  /** 1. Frees what was aborted; nothing of it is decoded any more. */
  function sweep(): void {
    if (aborted.size === 0) return;
    tell();
    for (const run of [...waiting, ...running].filter(({ id }) => aborted.has(id))) {
      aborted.delete(run.id);
      run.ended = true;
      events.push([run.id, { kind: 'gone' }]);
      free(run);
    }
    waiting = waiting.filter(({ ended }) => !ended);
    running = running.filter(({ ended }) => !ended);
  }

  function free(run: Run): void {
    run.sampler[Symbol.dispose]();
    run.scoring?.scorer[Symbol.dispose]();
    if (run.sequence !== null) idle.add(run.sequence);
  }

  /** 2. Gives idle sequences to those who wait, first come first served; answers wait for one file at most. */
  async function seat(): Promise<void> {
    flush(); // files may take a while
    for (const run of waiting.slice(0, idle.size)) {
      const busy = running.flatMap(({ sequence }) => (sequence === null ? [] : [sequence]));
      const answering = running.some(({ next }) => next !== null);
      const pauseMsMax = answering ? tuning.gapMs : tuning.savePauseMs;
      const seat = await seating.seat(run, [...idle], busy, { pauseMsMax, tokensPerMs: speed.tokensPerMs() });
      if (seat === null) break;
      idle.delete(seat.sequence);
      seat.sequence.usedAt = starts += 1;
      events.push([run.id, startRun(run, seat.sequence, seat.kept, now())]);
      running.push(run);
      if (answering && seat.paused) break;
    }
    waiting = waiting.filter(({ sequence }) => sequence === null);
  }

  /** 3. Decodes one batch and samples; meanwhile the last step is told. */
  async function step(): Promise<void> {
    if (taken.some(({ run }) => run.outputTokens === 1)) flush(); // an answer's first token waits for nothing
    const shares = planStep(running.map(planned), limits(binding, tuning, speed.tokensPerMs()));
    const decoded = running.filter(({ next }) => next !== null).length;
    const prefilled = shares.reduce((sum, share) => sum + share, 0) - decoded;
    const inBatch = running.filter((_, index) => shares[index] !== 0);
    const startedAt = now();
    const stepping = binding.step(running.flatMap((run, index) => partOf(run, shares[index] ?? 0)));
    if (prefilled > 0 || isDue(startedAt)) flush();
    const sampled = await stepping;
    speed.add(prefilled, decoded, now() - startedAt);
    running.forEach((run, index) => advanceRun(run, shares[index] ?? 0));
    await take(inBatch.flatMap((run, index) => chosen(run, sampled[index] ?? null)));
    running = running.filter(({ ended }) => !ended);
    untold.push({ step: (steps += 1), ms: now() - startedAt, decoded, prefilled });
  }

  async function take(tokens: readonly Chosen[]): Promise<void> {
    const scores = tokens.some(({ run }) => run.scoring !== null) ? await scoresOf(tokens) : [];
    for (const [index, { run, token }] of tokens.entries()) {
      taken.push(takeToken(run, token, isEnd, now(), scores[index]));
      if (run.stops.seeks) tell(); // its text may end it
      if (!run.ended) continue;
      aborted.delete(run.id);
      free(run);
    }
  }

  function tell(): void {
    for (const token of taken) for (const event of tellToken(token)) events.push([token.run.id, event]);
    taken = [];
  }

  /** What one token of an answer brings may wait for the next ones: to tell it takes two processes and two wake-ups. */
  function isDue(nowMs: number): boolean {
    if (nowMs - toldMs >= tuning.frameMs || taken.some(({ run }) => run.ended)) return true;
    return events.some(([, { kind }]) => kind !== 'text');
  }

  function flush(): void {
    tell();
    if (events.length === 0 && untold.length === 0) return;
    outlet(events, untold);
    [events, untold] = [[], []];
    toldMs = now();
  }

  /** Until something comes. */
  async function rest(): Promise<void> {
    flush();
    if (!woken) await new Promise<void>((resolve) => (rouse = resolve));
  }

  async function run(): Promise<void> {
    while (!closed.signal.aborted) {
      woken = false;
      sweep();
      if (waiting.length > 0) await seat();
      if (running.length > 0) await step();
      else await rest();
    }
    await seating.saveAll([...idle], tuning.closeSaveMs);
  }

  function close(): void {
    closed.abort();
    wake();
  }

  return { submit, abort, run, close };
}

function emptySequence(index: number): Sequence {
  return { index, scope: null, tokens: [], usedAt: 0, settled: true };
}

/** Where a grammar holds the answer from its first token on, there is no room for thinking: the template says none. */
function promptOf({ prompt, format }: EngineRequest): EngineRequest['prompt'] {
  return beginsFreely(format) || prompt.kind !== 'chat' ? prompt : { ...prompt, think: false };
}

export function refused(error: unknown): RefusedEvent {
  if (error instanceof Refusal) {
    return { kind: 'refused', outcome: error.outcome, message: error.message, param: error.param };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { kind: 'refused', outcome: 'internal', message, param: null };
}

function planned(run: Run): { promptLeft: number; passedOver: number } {
  return { promptLeft: run.prompt.length - run.prefilled, passedOver: run.passedOver };
}

function limits(binding: Binding, tuning: LoopTuning, tokensPerMs: number | null) {
  const { batchTokensMax } = binding;
  const chunk = (ms: number, most: number): number => chunkFor(ms, tokensPerMs, Math.min(most, batchTokensMax));
  return {
    batchTokensMax,
    prefillTokensBusy: chunk(tuning.gapMs, tuning.prefillTokensBusy),
    prefillTokensBurst: chunk(2 * tuning.gapMs, batchTokensMax),
    prefillTokensIdle: chunk(tuning.idleStepMs, batchTokensMax),
  };
}

/** A run's share of the batch: its next token, or a piece of its prompt. A token is wanted from the prompt's end on. */
function partOf(run: Run, share: number): Part[] {
  if (share === 0 || run.sequence === null) return [];
  const { index, tokens } = run.sequence;
  const own = run.next === null ? run.prompt.subarray(run.prefilled, run.prefilled + share) : run.nextTokens;
  const wanted = run.next !== null || run.prefilled + share === run.prompt.length;
  return [{ sequence: index, position: tokens.length, tokens: own, sampler: wanted ? run.sampler : null }];
}

type Chosen = Sampled & { run: Run };

function chosen(run: Run, sampled: Sampled | null): Chosen[] {
  return sampled === null ? [] : [{ run, ...sampled }];
}

/** Only for those who asked: it looks at the whole vocabulary. */
function scoresOf(tokens: readonly Chosen[]): Promise<(RowScores | null)[]> {
  return Promise.all(
    tokens.map(async ({ run: { scoring }, row, token }) =>
      scoring === null || token < 0 ? null : await scoring.scorer.score(row, token, scoring.topCount),
    ),
  );
}

/**
 * Prompt tokens per millisecond, a moving average over the steps that read enough of them to tell. What a step's answers
 * take is not the prompt's: as much as the steps without one took.
 */
function prefillSpeed(): { add(prefilled: number, decoded: number, ms: number): void; tokensPerMs(): number | null } {
  const [tokensMin, weight] = [32, 0.2];
  const average = (before: number | null, value: number): number =>
    before === null ? value : before + weight * (value - before);
  let tokensPerMs: number | null = null;
  let decodeMs: number | null = null;
  return {
    tokensPerMs: () => tokensPerMs,
    add: (prefilled, decoded, ms) => {
      if (prefilled === 0) decodeMs = average(decodeMs, ms);
      const readMs = ms - (decoded > 0 ? Math.min(decodeMs ?? 0, ms / 2) : 0);
      if (prefilled >= tokensMin && readMs > 0) tokensPerMs = average(tokensPerMs, prefilled / readMs);
    },
  };
}
