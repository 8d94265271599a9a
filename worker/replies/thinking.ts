// How models mark their thinking, told by the chat template, and the stage that takes it off the start of an answer.
import { channelTags } from './channels.ts';
import { type Segment, type Stage, textOf, thoughtOf, withoutPartial } from './stage.ts';

export type Thoughts =
  | {
      kind: 'tags';
      open: string;
      close: string;
      /** Texts that may be control tokens of the model: they have to be spelled to be seen. */
      tags: readonly string[];
    }
  /** The whole answer is in messages whose heads say what they are: gpt-oss. */
  | { kind: 'channels'; tags: readonly string[] };

function between(open: string, close: string, ...tags: string[]): Thoughts & { kind: 'tags' } {
  return { kind: 'tags', open, close, tags: tags.length > 0 ? tags : [open, close] };
}

/** Qwen 3, DeepSeek R1 and most others. */
export const thinkTags = between('<think>', '</think>');

/** The surest mark first. */
const known: readonly [mark: RegExp, thoughts: Thoughts][] = [
  [/<\|channel\|>[^]*<\|message\|>/, { kind: 'channels', tags: channelTags }],
  // Gemma 4
  [/<\|channel>thought/, between('<|channel>thought', '<channel|>', '<|channel>', '<channel|>')],
  [/\[THINK\]/, between('[THINK]', '[/THINK]')],
  [/<seed:think>/, between('<seed:think>', '</seed:think>')],
  [/<think>|enable_thinking|reasoning_content/, thinkTags],
];

/** `null` for a model that does not think, as far as its template says. */
export function thoughtsOf(template: string | null): Thoughts | null {
  return known.find(([mark]) => mark.test(template ?? ''))?.[1] ?? null;
}

/** Thinking counts only at the very start. The white space around it belongs to the tags. */
export function thinkingStage({ open: thinkOpen, close: thinkClose }: Thoughts & { kind: 'tags' }): Stage {
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
    const certain = close === -1 ? withoutPartial(held, [thinkClose]) : held.slice(0, close);
    const end = certain.trimEnd().length;
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
