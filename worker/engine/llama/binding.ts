// The one adapter over node-llama-cpp: what it takes from the package's internals is named here
// and in batch.ts, and nowhere else.
import { getModuleVersion, LlamaGrammarEvaluationState } from 'node-llama-cpp';
import type { Llama, LlamaContext, LlamaGrammar, LlamaModel } from 'node-llama-cpp';
import { Refusal } from '@berth/shared/outcome.ts';
import type { EngineRequest } from '../engine.ts';
import { stepAtOnce, stepInOrder } from './batch.ts';
import type { NativeBatch, Part, Sampled, Sampler } from './batch.ts';
import { templateOf } from '../../models/chat-template.ts';
import { grammarFor } from './calls-grammar.ts';
import { clientGrammars } from './client-grammar.ts';
import { said } from './load.ts';
import type { LoadedModel } from './load.ts';
import type { SamplerSettings } from './sampling.ts';
import { rowScores } from './scores.ts';
import type { RowScores } from './scores.ts';
import type { PromptModel, TemplateValues } from './template.ts';
import { tokenBytes } from './token-bytes.ts';

/** The version whose internals are known to be as declared below. */
export const knownVersion = '3.22.1';

interface NativeSampler {
  applyConfig(settings: SamplerSettings & { grammarEvaluationState?: unknown }): void;
  dispose(): void;
}

interface NativeContext extends NativeBatch {
  setThreads(count: number): void;
  sampleToken(row: number, sampler: NativeSampler): Promise<number>;
  /** With logits of the tokens named, of the greedy choice, and of the best so many; and the sum of all weights. */
  sampleToken(
    row: number,
    sampler: NativeSampler,
    probabilities: false,
    confidence: false,
    logits: [tokens: number[], highest: false, lowest: false, selected: true, top: number],
    totalWeight: true,
  ): Promise<[token: number, unknown, unknown, logits?: number[], totalWeight?: number]>;
  removeTokenCellsFromSequence(sequence: number, start: number, end: number): boolean;
  getSequenceKvCacheMinPosition(sequence: number): number;
  copySequenceStateFromOtherSequence(target: number, source: number): Promise<number>;
  saveSequenceStateToFile(path: string, sequence: number, tokens: Uint32Array): Promise<number>;
  loadSequenceStateFromFile(path: string, sequence: number, tokensMax: number): Promise<Uint32Array>;
}

interface NativeModel {
  tokenize(text: string, control: boolean): Uint32Array;
  detokenize(tokens: Uint32Array, control: boolean): string;
  isEogToken(token: number): boolean;
}

interface NativeModule {
  AddonSampler: new (model: NativeModel) => NativeSampler;
  AddonJinjaRenderer: new (template: string) => { render(values: TemplateValues): string };
}

/** Reads how probable tokens were. One at a time, but beside other scorers and samplers. */
export interface Scorer extends Disposable {
  /** Of a row of the last batch: the token's score, and the `topCount` best. */
  score(row: number, token: number, topCount: number): Promise<RowScores>;
}

export interface Binding {
  readonly contextTokens: number;
  readonly slots: number;
  readonly batchTokensMax: number;
  readonly vramBytes: number;
  readonly memoryBytes: number;
  readonly prompts: PromptModel;
  /** Text of tokens; control tokens have none, an open character is U+FFFD. */
  textOf(tokens: readonly number[]): string;
  /** Text of tokens as they are: control tokens by their names. */
  spell(tokens: Uint32Array): string;
  isEnd(token: number): boolean;
  /** Ids of tokens are below this. */
  readonly vocabularyTokens: number;
  /** The bytes of a token; control tokens have none. */
  bytesOf(token: number): Uint8Array;
  /** Runs one batch and samples what follows its parts; `null` where that is not wanted. */
  step(parts: readonly Part[]): Promise<(Sampled | null)[]>;
  /** @throws Refusal `bad_request` when the format cannot be honoured */
  sampler(settings: SamplerSettings, format: EngineRequest['format']): Promise<Sampler>;
  /** @throws Refusal `bad_request` where rows cannot be read */
  scorer(): Scorer;
  /** Makes one sequence's cells those of another. Moves all of them, at the next batch. */
  copy(target: number, source: number): Promise<void>;
  /** Keeps the first `length` cells of a sequence. @returns how many could be kept: `length` or 0 */
  keep(sequence: number, length: number): Promise<number>;
  /** From the next batch on. */
  useThreads(count: number): void;
  /** The most bytes that one token's cells take. */
  readonly cellBytes: number;
  /** Says in which format files are written. */
  readonly version: string;
  /** Writes a sequence's cells, whose tokens these are, over a file. @returns the bytes of the file */
  save(sequence: number, path: string, tokens: Uint32Array): Promise<number>;
  /** Fills a sequence from a file of the same model and version. Anything else may end the process. @returns the tokens */
  load(sequence: number, path: string): Promise<Uint32Array>;
}

/** Why the internals must not be used: another version, or something is missing. `null` = all as declared. */
export async function internalsFault({ llama, model }: LoadedModel, context: LlamaContext): Promise<string | null> {
  const installed = await getModuleVersion();
  if (installed !== knownVersion) return `node-llama-cpp is ${installed}, not ${knownVersion}`;
  const { native, nativeModel, module } = internals(llama, model, context);
  const wanted: [object, string][] = [
    [
      native,
      'initBatch addToBatch decodeBatch setThreads sampleToken removeTokenCellsFromSequence getSequenceKvCacheMinPosition copySequenceStateFromOtherSequence saveSequenceStateToFile loadSequenceStateFromFile',
    ],
    [nativeModel, 'tokenize detokenize isEogToken'],
    [module, 'AddonSampler AddonJinjaRenderer'],
  ];
  const missing = wanted.flatMap(([object, names]) =>
    names.split(' ').filter((name) => typeof Reflect.get(object, name) !== 'function'),
  );
  return missing.length === 0 ? null : `node-llama-cpp lacks ${missing.join(', ')}`;
}

function internals(
  llama: Llama,
  model: LlamaModel,
  context: LlamaContext,
): { native: NativeContext; nativeModel: NativeModel; module: NativeModule } {
  return {
    native: Reflect.get(context, '_ctx'),
    nativeModel: Reflect.get(model, '_model'),
    module: Reflect.get(llama, '_bindings'),
  };
}

/**
 * The whole speed: batches over all sequences, through the package's internals.
 *
 * @param inOrder whether the process has one native thread only, so that native calls run in the order they are made
 */
export function bindNative(
  { llama, model, template, memoryBytes }: LoadedModel,
  context: LlamaContext,
  inOrder: boolean,
): Binding {
  const { native, nativeModel, module } = internals(llama, model, context);
  /** Not told yet: no batch may be under way then. */
  let threads: number | null = context.idealThreads;
  const compiled = grammarCompiler(llama);
  return {
    contextTokens: context.contextSize,
    slots: context.totalSequences,
    batchTokensMax: context.batchSize,
    vramBytes: model.memoryUsage.vram + context.memoryUsage.vram,
    memoryBytes: memoryBytes(context),
    prompts: { ...promptModel(model, nativeModel, module), ...(template !== null && { chatTemplate: template }) },
    textOf: textsOf(nativeModel),
    ...vocabularyOf(model),
    spell: (tokens) => (tokens.length === 0 ? '' : nativeModel.detokenize(tokens, true)),
    isEnd: (token) => token === model.tokens.eos || token === model.tokens.eot || nativeModel.isEogToken(token),
    step: (parts) => {
      if (threads !== null) native.setThreads(threads);
      threads = null;
      return inOrder ? stepInOrder(native, parts) : stepAtOnce(native, parts);
    },
    useThreads: (count) => void (threads = count),
    sampler: async (settings, format) => {
      const sampler = new module.AddonSampler(nativeModel);
      openSampler(model, sampler, settings, await compiled(format));
      return {
        next: (row) => native.sampleToken(row, sampler),
        [Symbol.dispose]: () => sampler.dispose(),
      };
    },
    scorer: () => openScorer(native, new module.AddonSampler(nativeModel)),
    copy: async (target, source) => {
      native.removeTokenCellsFromSequence(target, 0, -1);
      await native.copySequenceStateFromOtherSequence(target, source);
    },
    keep: (sequence, length) => keep(native, sequence, length, model.fileInsights.swaSize ?? Infinity),
    cellBytes: cellBytesOf(context),
    version: `${knownVersion} slot loop`,
    save: (sequence, path, tokens) => native.saveSequenceStateToFile(path, sequence, tokens),
    load: (sequence, path) => native.loadSequenceStateFromFile(path, sequence, context.contextSize),
  };
}

/** What a token says by itself is asked for after each one, so it is kept: as many texts as the vocabulary has, at most. */
function textsOf(nativeModel: NativeModel): Binding['textOf'] {
  const alone = new Map<number, string>();
  const read = (tokens: readonly number[]): string => nativeModel.detokenize(Uint32Array.from(tokens), false);
  return (tokens) => {
    const [token] = tokens;
    if (token === undefined) return '';
    if (tokens.length > 1) return read(tokens);
    const text = alone.get(token) ?? read(tokens);
    alone.set(token, text);
    return text;
  };
}

/** With its share of what the context takes besides. */
export function cellBytesOf({ memoryUsage, contextSize, totalSequences }: LlamaContext): number {
  return (memoryUsage.ram + memoryUsage.vram) / (contextSize * totalSequences);
}

/** A sampler without filters leaves the whole distribution as it is; what it would choose itself is of no matter. */
function openScorer(native: NativeContext, sampler: NativeSampler): Scorer {
  sampler.applyConfig({ temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0 });
  return {
    async score(row, token, topCount) {
      const wanted: [number[], false, false, true, number] = [[token], false, false, true, topCount];
      const [, , , logits = [], weight = 1] = await native.sampleToken(row, sampler, false, false, wanted, true);
      return rowScores(logits, weight, token, topCount);
    },
    [Symbol.dispose]: () => sampler.dispose(),
  };
}

/** How many tokens the model has, and what they stand for. */
export function vocabularyOf(model: LlamaModel): Pick<Binding, 'vocabularyTokens' | 'bytesOf'> {
  const ggml = model.fileInfo.metadata.tokenizer?.ggml;
  const tokens = ggml?.tokens ?? [];
  const types = Array.from(ggml?.token_type ?? [], Number);
  return { vocabularyTokens: tokens.length, bytesOf: tokenBytes({ kind: ggml?.model ?? null, tokens, types }) };
}

/**
 * Recurrent models cannot forget a tail, and models with a sliding window have forgotten what lies before it:
 * both start from nothing then.
 */
async function keep(native: NativeContext, sequence: number, length: number, windowTokens: number): Promise<number> {
  const cut = native.removeTokenCellsFromSequence(sequence, length, -1);
  const oldestNeeded = Math.max(0, length - windowTokens);
  if (cut && (length === 0 || native.getSequenceKvCacheMinPosition(sequence) <= oldestNeeded)) return length;
  native.removeTokenCellsFromSequence(sequence, 0, -1);
  return 0;
}

function promptModel(model: LlamaModel, nativeModel: NativeModel, module: NativeModule): PromptModel {
  return {
    ...specialTexts(model),
    compile: (template) => {
      const renderer = new module.AddonJinjaRenderer(template);
      return (values) => renderer.render(values);
    },
    tokenize: (text, control) => (text === '' ? new Uint32Array(0) : nativeModel.tokenize(text, control)),
  };
}

/** What the model's file says of its template and its control tokens. */
export function specialTexts(model: LlamaModel): Omit<PromptModel, 'compile' | 'tokenize'> {
  const tokenizer = model.fileInfo.metadata.tokenizer;
  const controlType = 3; // LLAMA_TOKEN_TYPE_CONTROL
  const types = tokenizer?.ggml?.token_type ?? [];
  return {
    chatTemplate: templateOf(tokenizer?.chat_template, Reflect.get(tokenizer ?? {}, 'chat_template.tool_use')),
    controlTexts: (tokenizer?.ggml?.tokens ?? []).filter((_, index) => Number(types[index]) === controlType),
    vocabularyTokens: tokenizer?.ggml?.tokens?.length ?? 0,
    bosText: model.tokens.bosString ?? '',
    eosText: model.tokens.eosString ?? '',
    firstToken: model.tokens.shouldPrependBosToken ? model.tokens.bos : null,
    infill: infillOf(model),
  };
}

function infillOf({ tokens: { infill } }: LlamaModel): PromptModel['infill'] {
  const { prefix: before, suffix: after, middle: between } = infill;
  return before === null || after === null || between === null ? null : { before, after, between };
}

/** The function that it returns throws a Refusal `bad_request` for a format that cannot be honoured. */
export function grammarCompiler(llama: Llama): (format: EngineRequest['format']) => Promise<LlamaGrammar | null> {
  const ofClient = clientGrammars();
  return async (format) => {
    const grammar = await grammarFor(format, ofClient);
    if (grammar === null) return null;
    try {
      return await llama.createGrammar({ grammar });
    } catch (error) {
      throw new Refusal('bad_request', `this output format cannot be honoured: ${said(error)}`, { param: 'format' });
    }
  };
}

function openSampler(
  model: LlamaModel,
  sampler: NativeSampler,
  settings: SamplerSettings,
  grammar: LlamaGrammar | null,
): void {
  if (grammar === null) return sampler.applyConfig(settings);
  const state = new LlamaGrammarEvaluationState({ model, grammar });
  sampler.applyConfig({ ...settings, grammarEvaluationState: Reflect.get(state, '_state') as unknown });
}
