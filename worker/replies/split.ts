// Tells apart what a model writes in one stream of text: its thinking, its tool calls, and the answer.
import type { Tool } from '@berth/shared/request.ts';
import { channelStage } from './channels.ts';
import { type Segment, type Stage, textOf } from './stage.ts';
import { type Thoughts, thinkingStage } from './thinking.ts';
import { callFinder } from './tools/calls.ts';
import type { ToolSyntax } from './tools/syntax.ts';

export interface Splitter extends Stage {
  open(): void;
}

export interface Splitting {
  /** How thinking is told apart; `null` = not at all. */
  thoughts: Thoughts | null;
  /** The tools whose calls are looked for, in the model's own syntax; `null` = none. */
  calls: { syntax: ToolSyntax; tools: readonly Tool[]; inPieces: boolean } | null;
}

/** Text without either kind of tag arrives unchanged, however it is cut into pieces. */
export function splitter({ thoughts, calls }: Splitting): Splitter {
  const finder = calls && callFinder(calls.syntax, calls.tools, calls.inPieces);
  const stages: Stage[] = [thoughts && stageOf(thoughts), finder].filter((stage) => stage !== null);
  return {
    open: () => stages[0]?.open?.(),
    push: (text) => stages.reduce(through, textOf(text)),
    flush: () => stages.reduce((segments, stage) => [...through(segments, stage), ...stage.flush()], textOf('')),
  };
}

function stageOf(thoughts: Thoughts): Stage {
  return thoughts.kind === 'channels' ? channelStage() : thinkingStage(thoughts);
}

function through(segments: Segment[], stage: Stage): Segment[] {
  return segments.flatMap((segment) => (segment.kind === 'text' ? stage.push(segment.text) : [segment]));
}
