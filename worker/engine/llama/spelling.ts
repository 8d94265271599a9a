// The text of tokens with chosen control tokens written out: the tags of tool calls are control tokens in many models.
import type { Binding } from './binding.ts';

/** @param tags texts of control tokens; those that the model has no token for change nothing */
export function spelling(binding: Binding, tags: readonly string[]): (tokens: readonly number[]) => string {
  const plain = (tokens: readonly number[]): string => binding.textOf(tokens);
  const spelled = new Map(tags.flatMap((tag) => controlTokenOf(binding, tag)));
  if (spelled.size === 0) return plain;
  return (tokens) => {
    let [text, run]: [string, number[]] = ['', []];
    for (const token of tokens) {
      const tag = spelled.get(token);
      if (tag === undefined) run.push(token);
      else [text, run] = [text + plain(run) + tag, []];
    }
    return text + plain(run);
  };
}

function controlTokenOf({ prompts, textOf }: Binding, tag: string): [token: number, tag: string][] {
  const [token, ...more] = prompts.tokenize(tag, true);
  return token === undefined || more.length > 0 || textOf([token]) !== '' ? [] : [[token, tag]];
}
