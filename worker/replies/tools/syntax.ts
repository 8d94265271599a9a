// How a family of models writes its tool calls: what every family's file gives.
import type { Tool } from '@berth/shared/request.ts';
import type { CallFrame } from '../../engine/engine.ts';
import type { Input, Reading } from './input.ts';

export interface ToolSyntax {
  readonly name: string;
  /** Whether a chat template is of this family. */
  readonly knows: (template: string) => boolean;
  /** What a call begins with, anywhere in an answer. */
  readonly opens: readonly string[];
  /** What a call begins with when nothing but white space stands before it. */
  readonly opensAnswer: readonly string[];
  /** Tags that may be control tokens of the model: their text has to be spelled to be seen. */
  readonly tags: readonly string[];
  /** How one answer that has to be a call is written. `template` tells apart the family's versions. */
  readonly frame: (template: string) => CallFrame;
  /**
   * Reads calls from an opening tag on, which stands at `input.at`. False = what comes after the last call that was
   * told is none: it is text.
   */
  read(input: Input, tools: readonly Tool[]): Reading<boolean>;
}

/** Whether it may be the name of a tool, where a tag alone says that one stands here. */
export function isName(written: string): boolean {
  return /^[\w.:/-]+$/.test(written);
}

/** A tag says already that it is a call: whatever name is in it, the client shall see it. */
export const anyName = (): boolean => true;

/** Without a tag, only the name of a tool that is offered tells a call from an answer in JSON. */
export function offered(tools: readonly Tool[]): (name: string) => boolean {
  const names = new Set(tools.map(({ name }) => name));
  return (name) => names.has(name);
}
