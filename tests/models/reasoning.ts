// A model that thinks before it answers, and a chat template that keeps the two apart by <think> and </think>.
import { turnEnd, turnStart } from './dialogues/chat.ts';
import type { Gguf } from './gguf.ts';
import { scriptedModel } from './scripted.ts';

export const thought = 'The user wants something. I shall answer in few words.';
export const answer = 'Here is my answer: forty-two.';

/** ChatML that drops the thoughts of earlier turns, as reasoning models want it; `opens` says who writes the first <think>. */
function reasoningTemplate(opens: 'model' | 'template'): string {
  return [
    `{%- for message in messages -%}`,
    `{%- set content = message.content -%}`,
    `{%- if message.role == 'assistant' and '</think>' in content -%}{%- set content = content.split('</think>')[-1] | trim -%}{%- endif -%}`,
    `{{- '${turnStart}' + message.role + '\\n' + content + '${turnEnd}\\n' -}}`,
    `{%- endfor -%}`,
    `{%- if add_generation_prompt -%}{{- '${turnStart}assistant\\n' -}}`,
    opens === 'template'
      ? `{{- '<think>\\n' -}}`
      : `{%- if enable_thinking is defined and enable_thinking is false -%}{{- '<think>\\n\\n</think>\\n\\n' -}}{%- endif -%}`,
    `{%- endif -%}`,
  ].join('\n');
}

/** Always thinks `thought` and answers `answer`; the first tag comes from the model or from the template. */
export function reasoningModel(opens: 'model' | 'template' = 'model'): Gguf {
  const opening = opens === 'model' ? ['<think>\n'] : [];
  return scriptedModel({
    name: `berth-reasoning-${opens}`,
    says: [...opening, ...wordsOf(thought), '\n</think>\n\n', ...wordsOf(answer)],
    template: reasoningTemplate(opens),
  });
}

/** Words with the space before them: no word of ours comes twice. */
function wordsOf(text: string): string[] {
  return text.match(/ ?[^ ]+/g) ?? [];
}
