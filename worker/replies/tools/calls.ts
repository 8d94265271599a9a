// Finds tool calls in an answer. What looks like one and is none, or is cut off, stays text: nothing is lost.
import type { Tool } from '@berth/shared/request.ts';
import { withoutPartial } from '../stage.ts';
import type { Input, Reading, Step } from './input.ts';
import type { ToolSyntax } from './syntax.ts';

export type CallSegment = { kind: 'text'; text: string } | Exclude<Step, { kind: 'wait' }>;

export interface CallFinder {
  push(text: string): CallSegment[];
  flush(): CallSegment[];
}

interface Open {
  input: Input;
  reading: Reading<boolean>;
  /** White space before the call: it goes with the tag, and comes back if the call is none. */
  before: string;
  opening: string;
  /** What has been told already reaches to here. */
  told: number;
}

/** @param inPieces whether `begins` and `arguments` are told, or only calls that are whole */
export function callFinder(syntax: ToolSyntax, tools: readonly Tool[], inPieces: boolean): CallFinder {
  let held = '';
  let open: Open | null = null;
  let begun = false;
  let called = false;
  let ended = false;

  const openings = (): readonly string[] => (begun ? syntax.opens : [...syntax.opens, ...syntax.opensAnswer]);

  /** One step: the next certain segments, or `null` when more text is needed. */
  const next = (): CallSegment[] | null => (open === null ? nextText() : nextCall(open));
  const nextText = (): CallSegment[] | null => {
    const place = findOpening(held, openings(), begun ? [] : syntax.opensAnswer);
    const end =
      place === null ? withoutPartial(held, openings()).trimEnd().length : held.slice(0, place.at).trimEnd().length;
    const segments = textOf(held.slice(0, end));
    begun ||= segments.length > 0;
    if (place === null) {
      held = held.slice(end);
      return segments.length > 0 ? segments : null;
    }
    const input: Input = { text: held.slice(place.at), at: 0, ended };
    open = {
      input,
      reading: syntax.read(input, tools),
      before: held.slice(end, place.at),
      opening: place.opening,
      told: 0,
    };
    begun = true;
    held = '';
    return segments;
  };
  const nextCall = (here: Open): CallSegment[] | null => {
    const { value: step, done } = here.reading.next();
    if (done) return close(here, step);
    if (step.kind === 'wait') return null;
    if (!inPieces && step.kind !== 'call') return [];
    called = true;
    here.told = here.input.at;
    return [step.kind === 'call' && !inPieces ? { ...step, begun: false } : step];
  };
  const close = ({ input, before, opening, told }: Open, good: boolean): CallSegment[] => {
    open = null;
    if (good || told > 0) {
      held = input.text.slice(good ? input.at : told);
      return [];
    }
    held = input.text.slice(opening.length);
    return textOf(before + opening);
  };
  const drain = (): CallSegment[] => {
    const segments: CallSegment[] = [];
    for (let step = next(); step !== null; step = next()) segments.push(...step);
    return segments;
  };

  return {
    push(text) {
      if (text === '') return [];
      if (open === null) held += text;
      else open.input.text += text;
      return drain();
    },
    flush() {
      ended = true;
      if (open !== null) open.input.ended = true;
      const segments = drain();
      // White space after a call is not an answer.
      const rest = called && held.trim() === '' ? [] : textOf(held);
      held = '';
      return [...segments, ...rest];
    },
  };
}

function textOf(text: string): CallSegment[] {
  return text === '' ? [] : [{ kind: 'text', text }];
}

function findOpening(
  text: string,
  openings: readonly string[],
  onlyFirst: readonly string[],
): { at: number; opening: string } | null {
  const start = text.length - text.trimStart().length;
  const places = openings.map((opening) => ({ at: text.indexOf(opening), opening }));
  const real = places.filter(({ at, opening }) => at !== -1 && (at === start || !onlyFirst.includes(opening)));
  return real.toSorted((a, b) => a.at - b.at)[0] ?? null;
}
