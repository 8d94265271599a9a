// Before a model serves anybody: do several sequences in one batch say what each says alone?
import type { Part, Sampler } from './batch.ts';
import type { Binding } from './binding.ts';

export interface SelfTest {
  /** Why this binding must not be used, or `null`. */
  fault: string | null;
  /** For the log: what was tested and how long it took. */
  note: string;
}

/** Sequences that are compared: two would have passed with the fault of node-llama-cpp 3.21, eight never did. */
const sequencesMax = 8;
const tokensEach = 6;
/** More than this is not worth the wait: the same version has passed on small models. */
const budgetMs = 2000;
/** Batches of different size may round differently, so one near tie may fall the other way. */
const strayMax = 1;

/** Leaves every sequence empty. */
export async function selfTest(binding: Binding, now: () => number): Promise<SelfTest> {
  const startedAt = now();
  const prompts = staggeredPrompts(binding, Math.min(sequencesMax, binding.slots));
  const alone: number[][] = [];
  for (const prompt of prompts) {
    alone.push(...(await answers(binding, [prompt])));
    const expectedMs = ((now() - startedAt) / alone.length) * (prompts.length + 2);
    if (expectedMs > budgetMs)
      return { fault: null, note: `self-test left out: it would take ${Math.round(expectedMs)} ms` };
  }
  const together = await answers(binding, prompts);
  const strays = together.filter((tokens, index) => tokens.join() !== alone[index]?.join()).length;
  const note = `self-test of ${prompts.length} sequences took ${Math.round(now() - startedAt)} ms`;
  if (strays <= strayMax) return { fault: null, note };
  return { fault: `${strays} of ${prompts.length} sequences say something else together than alone`, note };
}

/** Different beginnings and lengths, so that no two sequences would say the same. */
function staggeredPrompts(binding: Binding, count: number): Uint32Array[] {
  const text = 'The 12 quick brown foxes jump over 7 lazy dogs while she sells sea shells by the sea shore, is it so?';
  const tokens = binding.prompts.tokenize(text, false);
  return Array.from({ length: count }, (_, index) => tokens.slice(index, index + 3 + 2 * index));
}

/** Greedy tokens for each prompt, in one batch per step; the prompts are read one step after the other. */
async function answers(binding: Binding, prompts: readonly Uint32Array[]): Promise<number[][]> {
  const samplers: Sampler[] = [];
  for (const _ of prompts) {
    samplers.push(await binding.sampler({ temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 }, { kind: 'text' }));
  }
  const said: number[][] = prompts.map(() => []);
  for (let step = 0; step < prompts.length + tokensEach - 1; step += 1) {
    const inStep = prompts
      .map((_, index) => index)
      .filter((index) => step >= index && said[index]!.length < tokensEach);
    const parts = inStep.map((index) => partOf(index, prompts[index]!, said[index]!, samplers[index]!));
    const sampled = await binding.step(parts);
    inStep.forEach((index, place) => said[index]!.push(sampled[place]?.token ?? -1));
  }
  for (const [index, sampler] of samplers.entries()) {
    sampler[Symbol.dispose]();
    await binding.keep(index, 0);
  }
  return said;
}

function partOf(sequence: number, prompt: Uint32Array, said: readonly number[], sampler: Sampler): Part {
  const last = said.at(-1);
  const tokens = last === undefined ? prompt : Uint32Array.of(last);
  return { sequence, position: last === undefined ? 0 : prompt.length + said.length - 1, tokens, sampler };
}
