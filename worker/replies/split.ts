// Tells apart what a model writes in one stream of text: its thinking (`<think>` of Qwen 3, DeepSeek R1 and others),
// its tool calls, and the answer.
import type { Tool } from '@berth/shared/request.ts';
import { type CallSegment, callFinder } from './tools/calls.ts';
import type { ToolSyntax } from './tools/syntax.ts';

export type Segment = { kind: 'thinking'; text: string } | CallSegment;

export interface Splitter {
  /** Says, before any text, that the prompt ended inside of thinking: the template wrote the opening tag. */
  open(): void;
  /** Segments that are certain after this text; a possible beginning of a tag is held back. Texts are never empty. */
  push(text: string): Segment[];
  /** What was held back, at the end of the text. */
  flush(): Segment[];
}

export interface Splitting {
  /** Whether thinking is told apart. */
  thinking: boolean;
  /** The tools whose calls are looked for, in the model's own syntax; `null` = none. */
  calls: { syntax: ToolSyntax; tools: readonly Tool[]; inPieces: boolean } | null;
}

/** Text without either kind of tag arrives unchanged, however it is cut into pieces. */
export function splitter({ thinking, calls }: Splitting): Splitter {
  const finder = calls && callFinder(calls.syntax, calls.tools, calls.inPieces);
  const stages: Stage[] = [thinking ? thinkingStage() : null, finder].filter((stage) => stage !== null);
  return {
    open: () => stages[0]?.open?.(),
    push: (text) => stages.reduce(through, textOf(text)),
    flush: () => stages.reduce((segments, stage) => [...through(segments, stage), ...stage.flush()], textOf('')),
  };
}

interface Stage extends Omit<Splitter, 'open'> {
  open?(): void;
}

function through(segments: Segment[], stage: Stage): Segment[] {
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
function thinkingStage(): Stage {
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
    open: () => void (state = 'inside'),
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

/** How much of the text is certain: all but white space and a possible beginning of the tag at its end. */
function safeLength(text: string, tag: string): number {
  let partial = Math.min(tag.length - 1, text.length);
  while (partial > 0 && !text.endsWith(tag.slice(0, partial))) partial--;
  return text.slice(0, text.length - partial).trimEnd().length;
}
