// Which family's syntax a model's calls are in, by the marks in its chat template.
import { channels } from './channels.ts';
import { cohere } from './cohere.ts';
import { deepseek } from './deepseek.ts';
import { gemma } from './gemma.ts';
import { generic } from './generic.ts';
import { glm } from './glm.ts';
import { hermes } from './hermes.ts';
import { invoke } from './invoke.ts';
import { kimi } from './kimi.ts';
import { listed } from './listed.ts';
import { llama3 } from './llama3.ts';
import { mistral } from './mistral.ts';
import { qwenCoder } from './qwen-coder.ts';
import type { ToolSyntax } from './syntax.ts';

/** The surest mark first; the last one takes what is left. */
export const families: readonly ToolSyntax[] = [
  channels,
  kimi,
  deepseek,
  invoke,
  cohere,
  mistral,
  gemma,
  glm,
  qwenCoder,
  hermes,
  listed,
  llama3,
  generic,
];

export function syntaxOf(template: string | null): ToolSyntax {
  return families.find((family) => family.knows(template ?? '')) ?? generic;
}
