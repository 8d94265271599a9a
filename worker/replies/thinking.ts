// How models mark their thinking, told by the chat template, and the stage that takes it off the start of an answer.
import { channelTags } from './channels.ts';
import { type Segment, type Stage, firstOf, textOf, thoughtOf, withoutPartial } from './stage.ts';

export type Thoughts =
  | {
      kind: 'tags';
      open: string;
      close: string;
      /** Texts that may be control tokens of the model: they have to be spelled to be seen. */
      tags: readonly string[];
      /** Some models call in the middle of a thought, which is over then though nothing closes it. */
      calls?: string;
      /** What stands around the answer proper, and is no part of it. */
      around?: readonly string[];
    }
  /** The whole answer is in messages whose heads say what they are: gpt-oss. */
  | { kind: 'channels'; tags: readonly string[] };

function between(open: string, close: string, ...tags: string[]): Thoughts & { kind: 'tags' } {
  return { kind: 'tags', open, close, tags: tags.length > 0 ? tags : [open, close] };
}

/** Qwen 3, DeepSeek R1 and most others. */
export const thinkTags = between('<think>', '</think>');

/** The second pair is of R7B and the first Command A. */
const cohereAnswer = ['<|START_TEXT|>', '<|END_TEXT|>', '<|START_RESPONSE|>', '<|END_RESPONSE|>'];
const cohere: Thoughts = { ...between('<|START_THINKING|>', '<|END_THINKING|>'), around: cohereAnswer };

/** A template that has all of the marks; the surest ones first. */
const known: readonly [marks: readonly string[], thoughts: Thoughts][] = [
  [['<|channel|>', '<|message|>'], { kind: 'channels', tags: channelTags }],
  // Gemma 4
  [['<|channel>thought'], between('<|channel>thought', '<channel|>', '<|channel>', '<channel|>')],
  [['[THINK]'], between('[THINK]', '[/THINK]')],
  [['<seed:think>'], between('<seed:think>', '</seed:think>')],
  [['<|START_THINKING|>'], cohere],
  [['<|START_RESPONSE|>'], cohere],
  [['<|tool_calls_section_begin|>', '<think>'], { ...thinkTags, calls: '<|tool_calls_section_begin|>' }],
  ...['<think>', 'enable_thinking', 'reasoning_content'].map((mark): [string[], Thoughts] => [[mark], thinkTags]),
];

/** `null` for a model that does not think, as far as its template says. */
export function thoughtsOf(template: string | null): Thoughts | null {
  return known.find(([marks]) => marks.every((mark) => template?.includes(mark)))?.[1] ?? null;
}

/** Thinking counts only at the very start. The white space around it belongs to the tags. */
export function thinkingStage({
  open: thinkOpen,
  close: thinkClose,
  calls,
  around = [],
}: Thoughts & { kind: 'tags' }): Stage {
  const closes = [thinkClose, ...(calls === undefined ? [] : [calls])];
  const marks = new RegExp(around.map((tag) => tag.replaceAll('|', '\\|')).join('|'), 'g');
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
    const close = firstOf(held, closes);
    const certain = close === null ? withoutPartial(held, closes) : held.slice(0, close.at);
    const end = certain.trimEnd().length;
    const thought = thoughtOf(held.slice(0, end));
    begun ||= end > 0;
    held = held.slice(close === null ? end : close.at + (close.tag === thinkClose ? thinkClose.length : 0));
    if (close === null) return thought;
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
    if (around.length > 0) held = held.replace(marks, '');
    const certain = withoutPartial(held, around);
    held = held.slice(certain.length);
    return textOf(certain);
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
