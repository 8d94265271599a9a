// One step in telling an answer's text apart: text in, segments out; the text among them goes on to the next stage.
import type { CallSegment } from './tools/calls.ts';

export type Segment = { kind: 'thinking'; text: string } | CallSegment;

export interface Stage {
  /** Says, before any text, that the prompt ended inside of thinking: the template wrote the opening tag. */
  open?(): void;
  /** Segments that are certain after this text; a possible beginning of a tag is held back. Texts are never empty. */
  push(text: string): Segment[];
  /** What was held back, at the end of the text. */
  flush(): Segment[];
}

export function textOf(text: string): Segment[] {
  return text === '' ? [] : [{ kind: 'text', text }];
}

export function thoughtOf(text: string): Segment[] {
  return text === '' ? [] : [{ kind: 'thinking', text }];
}

/** Without what may be the beginning of one of the tags, at the text's end. */
export function withoutPartial(text: string, tags: readonly string[]): string {
  const partial = Math.max(0, ...tags.map((tag) => partialLength(text, tag)));
  return text.slice(0, text.length - partial);
}

function partialLength(text: string, tag: string): number {
  let partial = Math.min(tag.length - 1, text.length);
  while (partial > 0 && !text.endsWith(tag.slice(0, partial))) partial--;
  return partial;
}

/** The first of the tags in the text, and where it stands. */
export function firstOf(text: string, tags: readonly string[]): { at: number; tag: string } | null {
  const places = tags.map((tag) => ({ at: text.indexOf(tag), tag })).filter(({ at }) => at !== -1);
  return places.toSorted((a, b) => a.at - b.at)[0] ?? null;
}
