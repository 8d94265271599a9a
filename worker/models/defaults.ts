// What holds for a model where a request says nothing: its author's settings, as Ollama keeps them.
import type { Generation, Prompt, Sampling } from '@berth/shared/request.ts';
import { unsetSampling } from '@berth/shared/dialects/parts.ts';

export interface Defaults {
  sampling: Readonly<Sampling>;
  stop: readonly string[];
  /** `null` = none. */
  system: string | null;
}

export const noDefaults: Defaults = { sampling: unsetSampling, stop: [], system: null };

/** The request with the model's own settings where it has none. */
export function withDefaults({ sampling, stop, system }: Defaults, generation: Generation): Generation {
  const said = Object.entries(generation.sampling).filter(([, value]) => value !== null);
  return {
    ...generation,
    sampling: { ...sampling, ...Object.fromEntries(said) },
    stop: generation.stop.length > 0 ? generation.stop : [...stop],
    prompt: generation.prompt && system !== null ? withSystem(generation.prompt, system) : generation.prompt,
  };
}

function withSystem(prompt: Prompt, system: string): Prompt {
  if (prompt.kind !== 'chat' || prompt.messages.some(({ role }) => role === 'system')) return prompt;
  return { ...prompt, messages: [{ role: 'system', content: system }, ...prompt.messages] };
}
