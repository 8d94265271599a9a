// Tells apart what a model writes in one stream of text: its thinking, its tool calls, and the answer.
// Tags: `<think>` of Qwen 3 and DeepSeek R1; `<tool_call>` of Hermes, Qwen 2.5/3 and other ChatML models.
import { isObject } from '@berth/shared/dialects/check.ts';

export type Segment =
  | { kind: 'text'; text: string }
  | { kind: 'thinking'; text: string }
  | { kind: 'call'; name: string; arguments: Record<string, unknown> };

export interface Splitter {
  /** Segments that are certain after this text; a possible beginning of a tag is held back. Texts are never empty. */
  push(text: string): Segment[];
  /** What was held back, at the end of the text. */
  flush(): Segment[];
}

/** Text without either kind of tag arrives unchanged, however it is cut into pieces. */
export function splitter({ thinking, calls }: { thinking: boolean; calls: boolean }): Splitter {
  const stages = [thinking ? thinkingStage() : null, calls ? callStage() : null].filter((stage) => stage !== null);
  return {
    push: (text) => stages.reduce(through, textOf(text)),
    flush: () => stages.reduce((segments, stage) => [...through(segments, stage), ...stage.flush()], textOf('')),
  };
}

function through(segments: Segment[], stage: Splitter): Segment[] {
  return segments.flatMap((segment) => (segment.kind === 'text' ? stage.push(segment.text) : [segment]));
}

function textOf(text: string): Segment[] {
  return text === '' ? [] : [{ kind: 'text', text }];
}

function thoughtOf(text: string): Segment[] {
  return text === '' ? [] : [{ kind: 'thinking', text }];
}

const thinkOpen = '<think>';
const thinkClose = '</think>';

/** Thinking counts only at the very start. The white space around it belongs to the tags. */
function thinkingStage(): Splitter {
  let state: 'before' | 'inside' | 'gap' | 'answer' = 'before';
  let held = '';
  let begun = false;

  const before = (): Segment[] => {
    const head = held.trimStart();
    if (thinkOpen.startsWith(head.slice(0, thinkOpen.length)) && head.length < thinkOpen.length) return [];
    if (!head.startsWith(thinkOpen)) return ((state = 'answer'), answer());
    held = head.slice(thinkOpen.length);
    state = 'inside';
    return inside();
  };
  const inside = (): Segment[] => {
    if (!begun) held = held.trimStart();
    const close = held.indexOf(thinkClose);
    const end = close === -1 ? safeLength(held, thinkClose) : held.slice(0, close).trimEnd().length;
    const thought = thoughtOf(held.slice(0, end));
    begun ||= end > 0;
    held = held.slice(close === -1 ? end : close + thinkClose.length);
    if (close === -1) return thought;
    state = 'gap';
    return [...thought, ...gap()];
  };
  const gap = (): Segment[] => {
    held = held.trimStart();
    if (held === '') return [];
    state = 'answer';
    return answer();
  };
  const answer = (): Segment[] => {
    const segments = textOf(held);
    held = '';
    return segments;
  };
  const steps = { before, inside, gap, answer };

  return {
    push(text) {
      held += text;
      return steps[state]();
    },
    flush() {
      const rest = state === 'inside' ? thoughtOf(held) : textOf(held);
      held = '';
      return rest;
    },
  };
}

const callOpen = '<tool_call>';
const callClose = '</tool_call>';

/** What looks like a call and is none, or is cut off, stays text: nothing a model wrote is lost. */
function callStage(): Splitter {
  let held = '';
  let inCall = false;
  /** White space before the call: it is dropped with the tag, and comes back if the call is none. */
  let before = '';
  let called = false;
  let searched = 0;

  /** One step: the next certain segments, or `null` when more text is needed. */
  const next = (): Segment[] | null => (inCall ? nextCall() : nextText());
  const nextText = (): Segment[] | null => {
    const open = held.indexOf(callOpen);
    const end = open === -1 ? safeLength(held, callOpen) : held.slice(0, open).trimEnd().length;
    const segments = textOf(held.slice(0, end));
    before = open === -1 ? '' : held.slice(end, open);
    held = held.slice(open === -1 ? end : open + callOpen.length);
    inCall = open !== -1;
    searched = 0;
    return inCall || segments.length > 0 ? segments : null;
  };
  const nextCall = (): Segment[] | null => {
    const close = held.indexOf(callClose, searched);
    searched = Math.max(0, held.length - callClose.length + 1);
    if (close === -1) return null;
    const call = callOf(held.slice(0, close));
    if (call === null && endsInString(held.slice(0, close))) return ((searched = close + 1), []);
    const raw = `${before}${callOpen}${held.slice(0, close)}${callClose}`;
    held = held.slice(close + callClose.length);
    inCall = false;
    called ||= call !== null;
    return call === null ? textOf(raw) : [call];
  };
  const drain = (): Segment[] => {
    const segments: Segment[] = [];
    for (let step = next(); step !== null; step = next()) segments.push(...step);
    return segments;
  };

  return {
    push(text) {
      held += text;
      return drain();
    },
    flush() {
      // Some models end right after the call's JSON, without the closing tag.
      const call = inCall ? callOf(held) : null;
      const rest = call === null ? textOf((inCall ? before + callOpen : '') + held) : [call];
      // White space after a call is not an answer.
      const blank = called && !inCall && held.trim() === '';
      held = '';
      inCall = false;
      return blank ? [] : rest;
    },
  };
}

/** `{"name": …, "arguments": {…}}`; some models write the arguments as a string of JSON, or `parameters`. */
function callOf(written: string): Segment | null {
  const call = jsonOf(written);
  if (!isObject(call) || typeof call['name'] !== 'string' || call['name'] === '') return null;
  const given = call['arguments'] ?? call['parameters'] ?? {};
  const args = typeof given === 'string' ? jsonOf(given) : given;
  return isObject(args) ? { kind: 'call', name: call['name'], arguments: args } : null;
}

function jsonOf(written: string): unknown {
  try {
    return JSON.parse(written) as unknown;
  } catch {
    return null;
  }
}

/** Whether the closing tag that was found stands inside a string of the call's JSON. */
function endsInString(written: string): boolean {
  return written.replace(/\\./gs, '').split('"').length % 2 === 0;
}

/** How much of the text is certain: all but white space and a possible beginning of the tag at its end. */
function safeLength(text: string, tag: string): number {
  let partial = Math.min(tag.length - 1, text.length);
  while (partial > 0 && !text.endsWith(tag.slice(0, partial))) partial--;
  return text.slice(0, text.length - partial).trimEnd().length;
}
