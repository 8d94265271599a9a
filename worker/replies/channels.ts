// Answers of gpt-oss: messages, each with a head that says on which channel it goes, or which tool it is for.
import { type Segment, type Stage, firstOf, textOf, thoughtOf, withoutPartial } from './stage.ts';

const [start, channel, message, end] = ['<|start|>', '<|channel|>', '<|message|>', '<|end|>'];
/** What a call's message begins and ends with when it is passed on: models write its head in several ways. */
export const [callOpen, callHead, callClose] = [`${channel}commentary to=functions.`, message, '<|call|>'];
/** The last one stands in a head, before the word "json". */
export const channelTags = [start, channel, message, end, callClose, '<|constrain|>'];

/** A message is over where one of these stands. Those of a new head are kept for it. */
const ends = [end, callClose, '<|return|>', start, channel];
const headCharsMax = 256;
/** What a head begins with; anything else is an answer without one, as one that a grammar holds. */
const heads = [start, channel, 'to=', 'assistant'];

export function channelStage(): Stage {
  let held = '';
  let state: 'head' | 'thinking' | 'text' | 'call' = 'head';
  let told = false;
  /** Texts of two messages, such as a word before the answer, are two paragraphs. */
  let apart = false;

  /** One step: segments, or `null` when more text is needed. */
  const head = (ended: boolean): Segment[] | null => {
    const begins = held.trimStart();
    if (begins === '' && !ended) return null;
    const possible = heads.some((tag) => begins.startsWith(tag) || tag.startsWith(begins));
    const at = held.indexOf(message);
    if (!possible || (at === -1 && (ended || held.length > headCharsMax))) return noHead();
    if (at === -1) return null;
    const [, tool] = /to=functions\.([^\s<]+)/.exec(held.slice(0, at)) ?? [];
    const thinks = new RegExp(`${channel.replaceAll('|', '\\|')}\\s*analysis`).test(held.slice(0, at));
    state = tool === undefined ? (thinks ? 'thinking' : 'text') : 'call';
    held = held.slice(at + message.length);
    apart = told && state === 'text';
    return tool === undefined ? [] : textOf(`${callOpen}${tool}${callHead}`);
  };
  /** Its first tag is text then, or it would be taken for a head once more. */
  const noHead = (): Segment[] => {
    const tag = [start, channel].find((each) => held.trimStart().startsWith(each));
    const length = tag === undefined ? 0 : held.indexOf(tag) + tag.length;
    const segments = textOf(held.slice(0, length));
    held = held.slice(length);
    state = 'text';
    told ||= length > 0;
    return segments;
  };
  const body = (ended: boolean): Segment[] | null => {
    const place = firstOf(held, ends);
    const text = place === null ? (ended ? held : withoutPartial(held, ends)) : held.slice(0, place.at);
    if (place === null && text === '') return null;
    const segments = state === 'thinking' ? thoughtOf(text) : textOf(apart && text !== '' ? `\n\n${text}` : text);
    if (text !== '') apart = false;
    if (state === 'text') told ||= text !== '';
    if (place === null) {
      held = held.slice(text.length);
      return segments;
    }
    const isHead = place.tag === start || place.tag === channel;
    held = held.slice(place.at + (isHead ? 0 : place.tag.length));
    if (state === 'call') segments.push(...textOf(callClose));
    state = 'head';
    return segments;
  };
  const drain = (ended: boolean): Segment[] => {
    const segments: Segment[] = [];
    for (;;) {
      const step = state === 'head' ? head(ended) : body(ended);
      if (step === null) return segments;
      segments.push(...step);
      if (ended && held === '') return segments;
    }
  };

  return {
    push(text) {
      held += text;
      return drain(false);
    },
    flush() {
      return held === '' ? [] : drain(true);
    },
  };
}
