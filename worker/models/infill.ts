// Whether a model can fill in between two texts: its vocabulary then has tokens that mark what is before, behind and between.
import type { Keys } from './gguf-keys.ts';

/** As converters write their ids, now and formerly. */
const idKeys = [
  ['fim_pre', 'fim_suf', 'fim_mid'],
  ['prefix', 'suffix', 'middle'],
] as const;

/** As the models themselves write them: Qwen, StarCoder and Granite; DeepSeek; CodeLlama; GLM; Falcon. llama.cpp looks for them too. */
const names: readonly (readonly [prefix: RegExp, suffix: RegExp, middle: RegExp])[] = [
  [/^<\|?fim[-_]prefix\|?>$/, /^<\|?fim[-_]suffix\|?>$/, /^<\|?fim[-_]middle\|?>$/],
  [/^<｜fim▁begin｜>$/, /^<｜fim▁hole｜>$/, /^<｜fim▁end｜>$/],
  [/^▁?<PRE>$/, /^▁?<SUF>$/, /^▁?<MID>$/],
  [/^<\|(code_)?prefix\|>$/, /^<\|(code_)?suffix\|>$/, /^<\|(code_)?middle\|>$/],
];
const anyName = new RegExp(
  names
    .flat()
    .map(({ source }) => source)
    .join('|'),
);

export interface InfillSearch {
  /** Looks at a token's text. */
  look(text: string): void;
  found(keys: Keys): boolean;
}

export function infillSearch(): InfillSearch {
  const seen: string[] = [];
  return {
    look: (text) => {
      if (seen.length < 64 && anyName.test(text)) seen.push(text);
    },
    found: (keys) =>
      idKeys.some((ids) => ids.every((id) => typeof keys.get(`tokenizer.ggml.${id}_token_id`) === 'number')) ||
      names.some((three) => three.every((name) => seen.some((text) => name.test(text)))),
  };
}
