// An embedding model in its engine process: one context, one sequence, one input at a time, in the order of arrival.
// A batch over several sequences is not possible through the binding: it reads sequence 0 only.
import type { LlamaEmbeddingContext, LlamaModel, Token } from 'node-llama-cpp';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Tokenizing } from '@berth/shared/request.ts';
import type { EmbedInput, EngineInfo, EngineOptions, Tokenized } from '../engine.ts';
import type { LoadedModel } from './load.ts';
import { said } from './load.ts';

export interface Embedder {
  readonly info: EngineInfo;
  /** @throws Refusal `context_exceeded` when it is too long and may not be cut, `bad_request` for an unknown token */
  embed(input: EmbedInput): Promise<{ vector: Float64Array; tokens: number }>;
  /** @throws Refusal `bad_request` for an unknown token */
  translate(task: Tokenizing): Tokenized;
}

/** The smallest context that is worth starting with when memory is short. */
const contextTokensMin = 64;

/** @throws Refusal `load_failed` */
export async function openEmbedder({ model, memoryBytes }: LoadedModel, options: EngineOptions): Promise<Embedder> {
  const { context, contextTokens } = await openContext(model, options);
  const vocabularyTokens = model.fileInfo.metadata.tokenizer?.ggml?.tokens.length ?? 0;

  function tokensOf({ input, at }: EmbedInput): Token[] {
    if (typeof input === 'string') return model.tokenize(input);
    return known(input, at);
  }

  function known(tokens: readonly number[], at: string): Token[] {
    const strange = tokens.findIndex((token) => token >= vocabularyTokens);
    if (strange < 0) return tokens.map(asToken);
    const param = `${at}[${strange}]`;
    throw new Refusal('bad_request', `${param} is no token: this model's go from 0 to ${vocabularyTokens - 1}`, {
      param,
    });
  }

  /** With the tokens that the model wants around every text. */
  const lengthOf = (tokens: Token[]): number => context.calculateInputLength(tokens);

  function fitting(tokens: Token[], { truncate, at }: EmbedInput): Token[] {
    const length = lengthOf(tokens);
    if (length <= contextTokens) return tokens;
    if (truncate) return tokens.slice(0, Math.max(0, contextTokens - (length - tokens.length)));
    throw new Refusal(
      'context_exceeded',
      `${at} has ${length} tokens, more than the model's context length of ${contextTokens}: shorten it`,
      { param: at },
    );
  }

  return {
    info: {
      contextTokens,
      slots: 1,
      vramBytes: model.memoryUsage.vram,
      memoryBytes: memoryBytes({ memoryUsage: { ram: 0, vram: 0 } }),
    },
    async embed(input) {
      const tokens = fitting(tokensOf(input), input);
      const count = lengthOf(tokens);
      if (count === 0)
        throw new Refusal('bad_request', `${input.at} holds no token of this model`, { param: input.at });
      const { vector } = await context.getEmbeddingFor(tokens);
      return { vector: Float64Array.from(vector), tokens: count };
    },
    translate(task) {
      if (task.kind === 'detokenize') {
        return { tokens: task.tokens, text: model.detokenize(known(task.tokens, 'tokens')) };
      }
      const bare = model.tokenize(task.text, task.control);
      const first = task.first && model.tokens.bos !== null ? [model.tokens.bos] : [];
      return { tokens: [...first, ...bare].map(Number), text: task.text };
    },
  };
}

/**
 * The batch is as long as the context, because an encoder has to see a whole text at once. The package keeps one
 * place of the context free, so it gets one more than the model has.
 */
async function openContext(
  model: LlamaModel,
  { contextTokens: wanted, threads }: EngineOptions,
): Promise<{ context: LlamaEmbeddingContext; contextTokens: number }> {
  let contextTokens = Math.min(wanted, model.trainContextSize);
  for (;;) {
    const size = contextTokens + 1;
    try {
      return {
        context: await model.createEmbeddingContext({ contextSize: size, batchSize: size, threads }),
        contextTokens,
      };
    } catch (error) {
      if (contextTokens / 2 < contextTokensMin) {
        throw new Refusal('load_failed', `no context for embeddings can be made: ${said(error)}`);
      }
      contextTokens = Math.floor(contextTokens / 2);
    }
  }
}

/** Tokens are numbers with a brand in the package's types. */
function asToken(token: number): Token {
  const branded: unknown = token;
  return branded as Token;
}
