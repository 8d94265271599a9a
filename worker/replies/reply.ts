// What a reply is to the code that runs a request: events in, text for the wire out. Pure: time and ids come in.
import type { Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { EngineEvent } from '../engine/engine.ts';
import { type Splitter, splitter } from './split.ts';
import type { Segment } from './stage.ts';
import type { Thoughts } from './thinking.ts';
import type { Call } from './tools/input.ts';
import type { ToolSyntax } from './tools/syntax.ts';

export interface ReplyContext {
  /** An id of letters and digits, unique to the request: the reply's and its tool calls' ids are made of it. */
  id: string;
  /** When the request was accepted, ms since the Unix epoch. */
  createdMs: number;
  /** How the model marks its thinking, which is told apart from the answer; `null` = it does not think. */
  thoughts: Thoughts | null;
  /** How the model writes its tool calls. */
  syntax: ToolSyntax;
}

/** The moment of the reply's end. */
export interface Ending {
  nowMs: number;
  /** From the request's acceptance to now, milliseconds. */
  totalMs: number;
}

/**
 * One reply. Streamed: send what `piece` returns for each event (nothing when it is empty), then what `end` returns.
 * Whole: give every event to `piece`, which returns nothing, then send `whole`. Where a request has several answers,
 * the events of one follow those of another: each begins with `started` and is over with `end`. A request that fails
 * gets to neither: it ends with a frame of the dialect.
 */
export interface Reply {
  /** The head, content type included. */
  readonly headers: Readonly<Record<string, string>>;
  piece(event: EngineEvent, nowMs: number): string;
  /** The last text of a streamed reply. */
  end(settlement: Settlement, ending: Ending): string;
  /** The body of a reply that is not streamed. */
  whole(settlement: Settlement, ending: Ending): string;
}

export const wholeHeaders: Readonly<Record<string, string>> = { 'content-type': 'application/json' };

/** What a reply holds so far: how it finished depends on its calls, and one that is sent whole is made of it. */
export interface Gathered {
  /** Stays empty in a streamed reply, like `thinking`: that text has gone already. */
  text: string;
  thinking: string;
  /** Those that are whole. */
  calls: Call[];
  /** How many have begun, as far as the client was told. */
  callCount: number;
}

export interface Reading {
  readonly gathered: Gathered;
  /** The segments that an event completes, in order; `end` brings what was held back. */
  read(event: EngineEvent): Segment[];
}

/**
 * Turns an engine's events into segments as the request wants them: thinking told apart or left out, calls parsed.
 * @param inPieces whether calls are told while their arguments are written, or when they are whole
 */
export function readEvents(generation: Generation, context: ReplyContext, inPieces = false): Reading {
  const split = splitterOf(generation, context, inPieces);
  const wanted = wantedOf(generation);
  const gathered: Gathered = { text: '', thinking: '', calls: [], callCount: 0 };
  const gather = (segment: Segment): void => {
    if (segment.kind === 'begins' || (segment.kind === 'call' && !segment.begun)) gathered.callCount += 1;
    if (segment.kind === 'call') gathered.calls.push(segment);
    else if (!generation.stream && (segment.kind === 'text' || segment.kind === 'thinking'))
      gathered[segment.kind] += segment.text;
  };
  const take = (segments: Segment[]): Segment[] =>
    segments.filter((segment) => {
      const takes = wanted(segment);
      if (takes) gather(segment);
      return takes;
    });
  return {
    gathered,
    read: (event) => {
      if (event.kind === 'started' && event.thinking === true) split.open();
      if (event.kind === 'end') return take(split.flush());
      return event.kind === 'text' ? take(split.push(event.text)) : [];
    },
  };
}

function splitterOf({ prompt }: Generation, { thoughts, syntax }: ReplyContext, inPieces: boolean): Splitter {
  if (prompt?.kind !== 'chat') return splitter({ thoughts: null, calls: null });
  const { tools } = prompt;
  return splitter({ thoughts, calls: tools.length > 0 ? { syntax, tools, inPieces } : null });
}

/** Thinking that was switched off, and calls beyond the one that was asked for, are left out. */
function wantedOf({ prompt, parallelCalls }: Generation): (segment: Segment) => boolean {
  const think = prompt?.kind !== 'chat' || prompt.think !== false;
  let calls = 0;
  return (segment) => {
    if (segment.kind === 'thinking') return think;
    if (segment.kind === 'text') return true;
    if (segment.kind === 'begins' || (segment.kind === 'call' && !segment.begun)) calls += 1;
    return parallelCalls !== false || calls <= 1;
  };
}

export type Finish = 'stop' | 'length' | 'load' | 'unload';

/** @throws Error on a settlement that no client may take for an end: a cut reply never looks like a finished one */
export function finishOf({ finish }: Settlement): Finish {
  if (finish === 'cancelled' || finish === 'error') throw new Error(`a reply cannot end with finish "${finish}"`);
  return finish;
}
