// What the slots and files of a simulated engine know of prompts: chosen by the engine's own rules.
import { chooseSequence } from '../../../worker/engine/llama/prefix.ts';
import type { CachedSequence, CachedTokens } from '../../../worker/engine/llama/prefix.ts';
import { blockTokens, type Ask } from './traces.ts';

export interface Cache {
  /** Tokens of the prompt that are known; its sequence is busy until `done`. */
  take(ask: Ask): { knownTokens: number; done: () => void };
}

interface Options {
  slots: number;
  /** Prompts that files keep when their sequence is given to another. */
  files: number;
}

/** A unit stands for so many tokens: the rules look at tokens one by one, and only where they differ matters. */
const unitTokens = 16;
const contextTokens = 131_072;
/** As `worthSaving` has it: who keeps more of its content goes on with it. */
const lostShareMin = 0.25;

export function createCache({ slots, files }: Options): Cache {
  const sequences = Array.from({ length: slots }, (_, index) => ({
    index,
    usedAt: 0,
    scope: null as string | null,
    tokens: new Int32Array(0) as ArrayLike<number>,
    busy: false,
  }));
  const saved: CachedTokens[] = [];
  let uses = 0;

  function save(lost: CachedSequence, reuse: number): void {
    if (files === 0 || lost.tokens.length - reuse < lost.tokens.length * lostShareMin || lost.tokens.length === 0)
      return;
    saved.unshift({ scope: lost.scope, tokens: lost.tokens });
    saved.length = Math.min(saved.length, files);
  }

  return {
    take({ model, blocks }) {
      const prompt = unitsOf(blocks);
      const idle = sequences.filter(({ busy }) => !busy);
      const busy = sequences.filter((sequence) => sequence.busy);
      const choice = chooseSequence(idle, busy, saved, model, prompt, contextTokens / unitTokens);
      if (choice === null) throw new Error('more requests than slots');
      const { sequence, reuse, from } = choice;
      if (from !== null || sequence.scope !== model) save(sequence, 0);
      else save(sequence, reuse);
      if (from?.kind === 'file') {
        saved.splice(saved.indexOf(from.saved), 1);
        saved.unshift(from.saved);
      }
      Object.assign(sequence, { usedAt: ++uses, scope: model, tokens: prompt, busy: true });
      return { knownTokens: reuse * unitTokens, done: () => void (sequence.busy = false) };
    },
  };
}

function unitsOf(blocks: readonly number[]): Int32Array {
  const each = blockTokens / unitTokens;
  const units = new Int32Array(blocks.length * each);
  for (let at = 0; at < units.length; at += 1) units[at] = (blocks[Math.floor(at / each)] ?? 0) * each + (at % each);
  return units;
}
