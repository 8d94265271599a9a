// What a reply is to the code that runs a request: events in, text for the wire out. Pure: time and ids come in.
import type { Generation } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import type { EngineEvent } from '../engine/engine.ts';
import { type Segment, type Splitter, splitter } from './split.ts';

export interface ReplyContext {
  /** An id of letters and digits, unique to the request: the reply's and its tool calls' ids are made of it. */
  id: string;
  /** When the request was accepted, ms since the Unix epoch. */
  createdMs: number;
  /** The model's card says that it can think: `<think>…</think>` at the start is told apart from the answer. */
  thinking: boolean;
}

/** The moment of the reply's end. */
export interface Ending {
  nowMs: number;
  /** From the request's acceptance to now, milliseconds. */
  totalMs: number;
}

/**
 * One reply. Streamed: send what `piece` returns for each event (nothing when it is empty), then what `end` returns.
 * Whole: give every event to `piece`, which returns nothing, then send `whole`. `started` and `text` are all that
 * `piece` needs; it takes `end` too. A request that fails gets to neither: it ends with a frame of the dialect.
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

export type Call = Extract<Segment, { kind: 'call' }>;

/** What a reply holds so far: how it finished depends on its calls, and one that is sent whole is made of it. */
export interface Gathered {
  /** Stays empty in a streamed reply, like `thinking`: that text has gone already. */
  text: string;
  thinking: string;
  calls: Call[];
}

export interface Reading {
  readonly gathered: Gathered;
  /** The segments that an event completes, in order. */
  read(event: EngineEvent): Segment[];
  /** What was held back, at the end of the text. */
  rest(): Segment[];
}

/** Turns an engine's events into segments as the request wants them: thinking told apart or left out, calls parsed. */
export function readEvents(generation: Generation, context: ReplyContext): Reading {
  const split = splitterOf(generation, context);
  const wanted = wantedOf(generation);
  const gathered: Gathered = { text: '', thinking: '', calls: [] };
  const take = (segments: Segment[]): Segment[] =>
    segments.filter((segment) => {
      if (!wanted(segment, gathered)) return false;
      if (segment.kind === 'call') gathered.calls.push(segment);
      else if (!generation.stream) gathered[segment.kind] += segment.text;
      return true;
    });
  return {
    gathered,
    read: (event) => (event.kind === 'text' ? take(split.push(event.text)) : []),
    rest: () => take(split.flush()),
  };
}

function splitterOf({ prompt }: Generation, { thinking }: ReplyContext): Splitter {
  const chat = prompt?.kind === 'chat';
  return splitter({ thinking: chat && thinking, calls: chat && prompt.tools.length > 0 });
}

/** Thinking that was switched off, and calls beyond the one that was asked for, are left out. */
function wantedOf({ prompt, parallelCalls }: Generation): (segment: Segment, gathered: Gathered) => boolean {
  const think = prompt?.kind !== 'chat' || prompt.think !== false;
  return (segment, { calls }) => {
    if (segment.kind === 'thinking') return think;
    return segment.kind === 'text' || parallelCalls !== false || calls.length === 0;
  };
}

export type Finish = 'stop' | 'length' | 'load' | 'unload';

/** @throws Error on a settlement that no client may take for an end: a cut reply never looks like a finished one */
export function finishOf({ finish }: Settlement): Finish {
  if (finish === 'cancelled' || finish === 'error') throw new Error(`a reply cannot end with finish "${finish}"`);
  return finish;
}
