// One request in the slot loop: what it holds, and what its tokens become.
import type { EngineRequest } from '../engine.ts';
import type { Sampler } from './batch.ts';
import type { Binding, Scorer } from './binding.ts';
import type { CachedSequence } from './prefix.ts';
import { scoreTrail } from './scores.ts';
import type { RowScores, ScoreTrail } from './scores.ts';
import { beginsFreely } from './calls-grammar.ts';
import { spelling } from './spelling.ts';
import { stopSearch, wholePieces } from './text.ts';
import type { Pieces, StopSearch } from './text.ts';
import type { RunEvent } from './wire.ts';

/** A sequence of the KV cache; it keeps its content after a request, for the next one with the same beginning. */
export interface Sequence extends CachedSequence {
  scope: string | null;
  tokens: number[];
  usedAt: number;
  /** False between a copy and the next batch, which moves its cells. */
  settled: boolean;
}

/** Reads the scores of a request's tokens, and keeps them until their text is told. */
interface Scoring {
  readonly scorer: Scorer;
  readonly topCount: number;
  readonly trail: ScoreTrail;
}

export interface Run {
  readonly id: number;
  readonly scope: string;
  readonly prompt: Uint32Array;
  readonly sampler: Sampler;
  readonly pieces: Pieces;
  readonly stops: StopSearch;
  /** When scores were asked for. */
  readonly scoring: Scoring | null;
  readonly outputTokensMax: number;
  /** `null` while it waits for one. */
  sequence: Sequence | null;
  ended: boolean;
  /** Prompt tokens in the KV cache, and how many of them were there before. */
  prefilled: number;
  cached: number;
  /** Steps in a row in which its prompt got nothing. */
  passedOver: number;
  /** The sampled token that has to be decoded next; `null` while the prompt is being read. */
  next: number | null;
  /** Holds `next` for the batch. */
  readonly nextTokens: Uint32Array;
  outputTokens: number;
  /** Prompt and answer so far, when the end shall tell them. */
  readonly context: number[] | null;
  /** Tokens whose text has not been said yet. */
  heldTokens: number;
  /** Its prompt ends inside of a thought. */
  thinking: boolean;
  startedAt: number;
  answeringSince: number | null;
}

/** Tokens of prompt and answer that a request may have. */
export function contextOf(
  { contextTokens }: Pick<Binding, 'contextTokens'>,
  { contextMax = Infinity }: EngineRequest,
): number {
  return Math.min(contextTokens, contextMax);
}

export function newRun(
  binding: Binding,
  id: number,
  request: EngineRequest,
  prompt: Uint32Array,
  sampler: Sampler,
): Run {
  // A raw prompt is continued, so its last tokens decide about a leading space; a chat's answer begins afresh.
  const before = request.prompt.kind !== 'chat' ? Array.from(prompt.subarray(-2)) : [];
  return {
    id,
    scope: request.cacheScope,
    prompt,
    sampler,
    pieces: wholePieces(spelling(binding, request.tags ?? []), before),
    stops: stopSearch(request.stop),
    scoring: scoringOf(binding, request),
    outputTokensMax: Math.max(1, Math.min(request.maxTokens ?? Infinity, contextOf(binding, request) - prompt.length)),
    sequence: null,
    ended: false,
    prefilled: 0,
    cached: 0,
    passedOver: 0,
    next: null,
    nextTokens: new Uint32Array(1),
    outputTokens: 0,
    context: request.tellsContext ? Array.from(prompt) : null,
    heldTokens: 0,
    thinking: opensThinking(binding, request, prompt),
    startedAt: 0,
    answeringSince: null,
  };
}

/** Where a grammar holds the answer, it is no thought, whatever the template has opened. */
function opensThinking(binding: Binding, request: EngineRequest, tokens: Uint32Array): boolean {
  const { prompt, format, thoughtOpens } = request;
  if (thoughtOpens === undefined || prompt.kind !== 'chat' || !beginsFreely(format)) return false;
  return binding.spell(tokens.subarray(-32)).trimEnd().endsWith(thoughtOpens);
}

function scoringOf(binding: Binding, { topLogprobs }: EngineRequest): Scoring | null {
  if (topLogprobs === undefined) return null;
  return { scorer: binding.scorer(), topCount: topLogprobs, trail: scoreTrail(binding.bytesOf) };
}

/** Gives the run a sequence of which it keeps the first `kept` tokens. */
export function startRun(run: Run, sequence: Sequence, kept: number, nowMs: number): RunEvent {
  sequence.tokens.length = kept;
  sequence.scope = run.scope;
  run.sequence = sequence;
  run.prefilled = kept;
  run.cached = kept;
  run.startedAt = nowMs;
  return {
    kind: 'started',
    promptTokens: run.prompt.length,
    cachedTokens: kept,
    ...(run.thinking && { thinking: true }),
  };
}

/** Notes that `share` tokens of the run are in the KV cache now. */
export function advanceRun(run: Run, share: number): void {
  const tokens = run.sequence?.tokens ?? [];
  if (run.sequence !== null) run.sequence.settled = true;
  if (run.next !== null) tokens.push(run.next);
  if (run.next !== null) return;
  if (share === 0) run.passedOver += 1;
  else run.passedOver = 0;
  for (const token of run.prompt.subarray(run.prefilled, run.prefilled + share)) tokens.push(token);
  run.prefilled += share;
}

/** A sampled token whose text has not been looked at yet. */
export interface Taken {
  readonly run: Run;
  /** -1 when none was possible: a grammar that is complete, or one that the vocabulary cannot follow. */
  readonly token: number;
  /** Why it is the last one, as far as can be said without its text. */
  readonly finish: 'stop' | 'length' | null;
  readonly takenMs: number;
  /** Where the run wants them. */
  readonly scores: RowScores | null;
}

/** What a sampled token does to its run: all that the next batch has to know, unless the run has stop strings. */
export function takeToken(
  run: Run,
  token: number,
  isEnd: (token: number) => boolean,
  takenMs: number,
  scores: RowScores | null = null,
): Taken {
  run.answeringSince ??= takenMs;
  run.next = token;
  run.nextTokens[0] = token;
  if (token >= 0) run.outputTokens += 1;
  // The end of the turn too: what a next prompt says begins behind it.
  if (token >= 0) run.context?.push(token);
  const finish = token < 0 || isEnd(token) ? 'stop' : run.outputTokens >= run.outputTokensMax ? 'length' : null;
  run.ended = finish !== null;
  return { run, token, finish, takenMs, scores };
}

/** What a token's text becomes. A stop string in it ends the run. */
export function tellToken({ run, token, finish, takenMs, scores }: Taken): RunEvent[] {
  if (token >= 0) run.heldTokens += 1;
  if (finish === 'stop') return endRun(run, 'stop', takenMs);
  const piece = run.pieces.push(token);
  if (scores) run.scoring?.trail.push(token, scores, piece.length);
  const { text, found } = run.stops.push(piece);
  if (found) return [...said(run, text), ending(run, 'stop', takenMs)];
  if (finish === 'length') return [...said(run, text), ...endRun(run, 'length', takenMs)];
  return said(run, text);
}

/** Ends with what was held back: it did not become a stop string after all. */
function endRun(run: Run, finish: 'stop' | 'length', nowMs: number): RunEvent[] {
  const { text, found } = run.stops.push(run.pieces.flush());
  const rest = found ? text : text + run.stops.flush();
  return [...said(run, rest), ending(run, found ? 'stop' : finish, nowMs)];
}

function said(run: Run, text: string): RunEvent[] {
  if (text === '') return [];
  const tokens = run.heldTokens;
  run.heldTokens = 0;
  const scores = run.scoring?.trail.take(text.length);
  return [{ kind: 'text', text, tokens, ...(scores && { scores }) }];
}

function ending(run: Run, finish: 'stop' | 'length', nowMs: number): RunEvent {
  run.ended = true;
  const answeringSince = run.answeringSince ?? nowMs;
  const usage = {
    promptTokens: run.prompt.length,
    cachedTokens: run.cached,
    outputTokens: run.outputTokens,
    prefillMs: answeringSince - run.startedAt,
    decodeMs: nowMs - answeringSince,
  };
  return { kind: 'end', finish, usage, ...(run.context && { context: run.context }) };
}
