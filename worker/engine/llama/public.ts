// The safe way when the internals are not as expected: node-llama-cpp's public API, one sequence, no batching.
import { createRequire } from 'node:module';
import { LlamaGrammarEvaluationState, TokenBias } from 'node-llama-cpp';
import type { LlamaContext, LlamaContextSequence, LlamaModel, SequenceEvaluateOptions, Token } from 'node-llama-cpp';
import { Refusal } from '@berth/shared/outcome.ts';
import { cellBytesOf, grammarCompiler, knownVersion, specialTexts, vocabularyOf } from './binding.ts';
import type { Part, Sampler } from './batch.ts';
import type { Binding } from './binding.ts';
import type { LoadedModel } from './load.ts';
import type { SamplerSettings } from './sampling.ts';
import type { TemplateValues } from './template.ts';

/** @param context a context with one sequence */
export function bindPublic({ llama, model, template, memoryBytes }: LoadedModel, context: LlamaContext): Binding {
  const sequence = context.getSequence();
  let row: Token[] = [];
  const compiled = grammarCompiler(llama);
  return {
    contextTokens: context.contextSize,
    slots: 1,
    batchTokensMax: context.batchSize,
    vramBytes: model.memoryUsage.vram + context.memoryUsage.vram,
    memoryBytes: memoryBytes(context),
    prompts: {
      ...specialTexts(model),
      ...(template !== null && { chatTemplate: template }),
      compile: compileTemplate,
      tokenize: (text, control) => Uint32Array.from(model.tokenize(text, control)),
    },
    textOf: (tokens) => model.detokenize(asTokens(tokens), false),
    ...vocabularyOf(model),
    spell: (tokens) => model.detokenize(asTokens(tokens), true),
    isEnd: (token) => model.isEogToken(asTokens([token])[0]),
    step: async ([part]) => {
      if (part === undefined) return [];
      row = await read(sequence, part);
      return [part.sampler && { row: 0, token: await part.sampler.next(0) }];
    },
    sampler: async (settings, format) => {
      const grammar = await compiled(format);
      const state = grammar === null ? null : new LlamaGrammarEvaluationState({ model, grammar });
      return publicSampler(sequence, () => row, {
        ...optionsOf(settings),
        ...(settings.tokenBiasKeys && { tokenBias: biasOf(model, settings) }),
        ...(state && { grammarEvaluationState: state }),
      });
    },
    scorer: () => {
      throw new Refusal('bad_request', 'logprobs are not possible here: this engine runs in its safe mode', {
        param: 'logprobs',
      });
    },
    copy: async () => {
      throw new Error('there is only one sequence');
    },
    keep: async (_, length) => {
      await sequence.eraseContextTokenRanges([{ start: length, end: sequence.nextTokenIndex }]);
      return sequence.nextTokenIndex === length ? length : 0;
    },
    useThreads: () => {}, // the API sets them when the context is made
    cellBytes: cellBytesOf(context),
    version: `${knownVersion} public`,
    save: async (_, path) => (await sequence.saveStateToFile(path)).fileSize,
    load: async (_, path) => {
      await sequence.loadStateFromFile(path, { acceptRisk: true });
      return Uint32Array.from(sequence.contextTokens);
    },
  };
}

/** The API reads and samples in one: the last token is kept for the sampler. @returns what is left to be read */
async function read(sequence: LlamaContextSequence, { tokens, sampler }: Part): Promise<Token[]> {
  const all = asTokens(tokens);
  if (sampler !== null && all.length === 1) return all;
  await sequence.evaluateWithoutGeneratingNewTokens(sampler === null ? all : all.slice(0, -1));
  return sampler === null ? [] : all.slice(-1);
}

function publicSampler(sequence: LlamaContextSequence, row: () => Token[], options: SequenceEvaluateOptions): Sampler {
  const { seed = 0, repeatPenalty } = options;
  const said: Token[] = [];
  return {
    next: async () => {
      // A new generator per token starts the random numbers anyway, so each token has a seed of its own.
      const seeded = { ...options, seed: (seed + said.length) >>> 0, yieldEogToken: true };
      const punished = repeatPenalty && { repeatPenalty: { ...repeatPenalty, punishTokens: () => said } };
      const answer = sequence.evaluate(row(), { ...seeded, ...punished });
      const { value } = await answer.next();
      await answer.return();
      if (value === undefined) return -1;
      said.push(value);
      return value;
    },
    [Symbol.dispose]: () => {},
  };
}

function optionsOf(settings: SamplerSettings): SequenceEvaluateOptions {
  const { temperature, topK, topP, minP, seed, repeatPenalty } = settings;
  const options = { temperature, topK, topP, minP, seed };
  if (repeatPenalty === undefined) return options;
  return {
    ...options,
    repeatPenalty: {
      punishTokens: [],
      penalty: repeatPenalty,
      presencePenalty: settings.repeatPenaltyPresencePenalty ?? 0,
      frequencyPenalty: settings.repeatPenaltyFrequencyPenalty ?? 0,
    },
  };
}

function biasOf(model: LlamaModel, { tokenBiasKeys = new Uint32Array(), tokenBiasValues }: SamplerSettings): TokenBias {
  const bias = TokenBias.for(model);
  tokenBiasKeys.forEach((token, index) => bias.set(asTokens([token]), { logit: tokenBiasValues?.[index] ?? 0 }));
  return bias;
}

/** The package renders templates with this dependency of its own where its native renderer is not used. */
function compileTemplate(template: string): (values: TemplateValues) => string {
  const require = createRequire(import.meta.resolve('node-llama-cpp'));
  const {
    Template,
  }: { Template: new (text: string) => { render(values: TemplateValues): string } } = require('@huggingface/jinja');
  const compiled = new Template(template);
  return (values) => compiled.render(values);
}

/** Tokens are numbers with a brand in the package's types. */
function asTokens(tokens: Iterable<number>): Token[] {
  const branded: unknown[] = [...tokens];
  return branded.filter((token): token is Token => typeof token === 'number');
}
