// What a model can do, told by its header and its chat template. Pure.
import type { ModelCard } from '@berth/shared/announcement.ts';
import { thoughtsOf } from '../replies/thinking.ts';
import type { GgufHeader } from './gguf.ts';

/** Encoder architectures of llama.cpp: they embed and cannot chat, whether or not the file says how it pools. */
const encoders = /^((nomic-|jina-|modern-|neo-|euro)?bert(-moe|-v\d)?|t5encoder|gemma-embedding)$/;

/** What a model can do, by what its header and its chat template say. */
export function capabilitiesOf({ architecture, chatTemplate, pooled, infills }: GgufHeader): ModelCard['capabilities'] {
  if (pooled || encoders.test(architecture)) return ['embedding'];
  const tools = chatTemplate !== null && /\btools\b/.test(chatTemplate);
  const thinking = thoughtsOf(chatTemplate) !== null;
  const can = { completion: true, tools, thinking, insert: infills };
  return (['completion', 'tools', 'thinking', 'insert'] as const).filter((what) => can[what]);
}
