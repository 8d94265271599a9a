// The answers to one request, one after another in the one slot that it holds. Pure, but for the look at the prompts.
import { Refusal } from '@berth/shared/outcome.ts';
import type { Generation, Prompt, Tokenizing } from '@berth/shared/request.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { answerFormat, tagsOf } from './answer-format.ts';
import type { Engine, EngineRequest } from './engine/engine.ts';
import { thoughtsOf } from './replies/thinking.ts';
import { syntaxOf } from './replies/tools/families.ts';

interface Asking {
  /** The model's chat template. */
  template: string | null;
  /** Of the first answer. */
  seed: number;
  /** Whose cached prompts may be used. */
  team: string;
  /** Most tokens of a prompt and its answer together; left out = the model's context. */
  contextMax: number | undefined;
}

/** What the engine is asked for, answer by answer: equal prompts follow each other, and find the first in the cache. */
export function requestsOf(
  generation: Generation,
  prompt: Prompt,
  { template, seed, team, contextMax }: Asking,
): EngineRequest[] {
  const { sampling, maxTokens, stop, topLogprobs, tellsContext, morePrompts = [], answersEach = 1 } = generation;
  const syntax = syntaxOf(template);
  const thoughts = thoughtsOf(template);
  const common = {
    maxTokens,
    stop,
    format: answerFormat(generation, syntax, template ?? ''),
    tags: tagsOf(generation, syntax, thoughts),
    cacheScope: team,
    ...(contextMax !== undefined && { contextMax }),
    ...(topLogprobs !== undefined && { topLogprobs }),
    ...(tellsContext && { tellsContext }),
    ...(thoughts?.kind === 'tags' && { thoughtOpens: thoughts.open }),
  };
  const seeds = Array.from({ length: answersEach }, (_, index) => (seed + index) % 2 ** 32);
  return [prompt, ...morePrompts].flatMap((each) =>
    seeds.map((own) => ({ ...common, prompt: each, sampling: { ...sampling, seed: own } })),
  );
}

/**
 * Finds before the first answer what the engine would find at a later prompt's turn: a stream that has begun cannot be
 * refused any more.
 * @throws Refusal `context_exceeded`, `bad_request`
 */
export async function checkPrompts(
  engine: Pick<Engine, 'tokenize' | 'info'>,
  prompts: readonly Prompt[],
  contextMax = Infinity,
) {
  if (prompts.length < 2) return;
  for (const [index, prompt] of prompts.entries()) {
    const param = `prompt[${index}]`;
    const count = await tokensIn(engine, prompt, param);
    const contextTokens = Math.min(engine.info.contextTokens, contextMax);
    if (count < contextTokens) continue;
    throw new Refusal('context_exceeded', `${param} has ${count} tokens, the context is ${contextTokens}`, { param });
  }
}

const plain = { kind: 'tokenize', first: false, control: false } as const;
/** Around and between the texts of a place to fill in, and the first token of all. */
const marks = 4;

async function tokensIn(engine: Pick<Engine, 'tokenize'>, prompt: Prompt, param: string): Promise<number> {
  const count = async (task: Tokenizing) => (await engine.tokenize(task)).tokens.length;
  try {
    if (prompt.kind === 'tokens') return await count({ kind: 'detokenize', tokens: prompt.tokens });
    if (prompt.kind === 'raw') return await count({ kind: 'tokenize', text: prompt.text, first: true, control: true });
    if (prompt.kind === 'chat') throw new Error('a chat has one prompt');
    return (await count({ ...plain, text: prompt.before })) + (await count({ ...plain, text: prompt.after })) + marks;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(error.outcome, `${param}: ${error.message}`, { param });
  }
}

/** One settlement of all answers. As in OpenAI's usage, answers to one prompt share it: its tokens count once. */
export function settledTogether(settlements: readonly Settlement[], { answersEach = 1 }: Generation): Settlement {
  const [first, ...more] = settlements;
  if (first === undefined) throw new Error('nothing was answered');
  return more.reduce((all, next, index) => {
    const ownPrompt = (index + 1) % answersEach === 0;
    return {
      ...all,
      finish: all.finish === 'length' ? 'length' : next.finish,
      promptTokens: all.promptTokens + (ownPrompt ? next.promptTokens : 0),
      cachedTokens: all.cachedTokens + (ownPrompt ? next.cachedTokens : 0),
      outputTokens: all.outputTokens + next.outputTokens,
      prefillMs: all.prefillMs + next.prefillMs,
      decodeMs: all.decodeMs + next.decodeMs,
    };
  }, first);
}
