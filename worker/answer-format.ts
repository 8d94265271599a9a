// What holds an answer: its format, and the calls that it has to be or may be, in the model's own syntax. Pure.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Generation, Tool } from '@berth/shared/request.ts';
import type { EngineRequest } from './engine/engine.ts';
import type { Thoughts } from './replies/thinking.ts';
import type { ToolSyntax } from './replies/tools/syntax.ts';

/** @param template the model's chat template, which tells a family's versions apart */
export function answerFormat(generation: Generation, syntax: ToolSyntax, template: string): EngineRequest['format'] {
  const { prompt, format, mustCall, parallelCalls } = generation;
  if (format.kind === 'grammar') return format;
  const tools = prompt?.kind === 'chat' ? prompt.tools : [];
  const calls = { kind: 'calls', frame: syntax.frame(template), several: parallelCalls !== false } as const;
  if (mustCall !== undefined) {
    return { ...calls, tools: tools.filter(({ name }) => mustCall.includes(name)), otherwise: null };
  }
  if (tools.length === 0 || (format.kind === 'text' && !tools.some(({ strict }) => strict))) return format;
  return { ...calls, tools: tools.map(asPromised), otherwise: format };
}

/** An error of the engine; one of the format names the field in which the client wrote it. */
export function atItsField(error: unknown, generation: Generation): unknown {
  if (!(error instanceof Refusal) || error.param !== 'format') return error;
  return new Refusal(error.outcome, error.message, { param: fieldOfFormat(generation) });
}

/** A grammar is made of strict tools, of an output format, or of both. */
function fieldOfFormat({ dialect, mustCall, prompt, format }: Generation): string {
  const calls = mustCall !== undefined || (prompt?.kind === 'chat' && prompt.tools.some(({ strict }) => strict));
  if (format.kind === 'grammar') return 'grammar';
  if (calls && format.kind === 'text') return 'tools';
  return dialect === 'openai' ? 'response_format' : 'format';
}

/** Only the arguments of a strict tool are promised to follow its schema; those of others are any object. */
function asPromised(tool: Tool): Tool {
  return tool.strict ? tool : { ...tool, parameters: { type: 'object' } };
}

/** Texts that mean something to a reply, and are control tokens in some models. */
export function tagsOf({ prompt }: Generation, syntax: ToolSyntax, thoughts: Thoughts | null): string[] {
  if (prompt?.kind !== 'chat') return [];
  return [...(prompt.tools.length > 0 ? syntax.tags : []), ...(thoughts?.tags ?? [])];
}
