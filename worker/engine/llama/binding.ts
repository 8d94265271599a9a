// The one adapter over node-llama-cpp: what it takes from the package's internals is named here and nowhere else.
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { getLlama, getModuleVersion, LlamaGrammarEvaluationState, LlamaLogLevel } from 'node-llama-cpp';
import type { Llama, LlamaContext, LlamaGrammar, LlamaModel } from 'node-llama-cpp';
import { Refusal } from '@berth/shared/outcome.ts';
import type { OutputFormat } from '@berth/shared/request.ts';
import type { EngineOptions } from '../engine.ts';
import { gbnfFor } from './grammar.ts';
import type { SamplerSettings } from './sampling.ts';
import type { PromptModel, TemplateValues } from './template.ts';

/** The version whose internals are known to be as declared below. */
export const knownVersion = '3.22.1';

/** Tokens of one batch: the compute buffers grow with it, and beyond it prefill gains nothing on a CPU. */
const batchTokensMax = 512;

/** The smallest context that is worth starting with when memory is short. */
const contextTokensMin = 256;

interface NativeSampler {
  applyConfig(settings: SamplerSettings & { grammarEvaluationState?: unknown }): void;
  dispose(): void;
}

interface NativeContext {
  initBatch(tokens: number): void;
  addToBatch(sequence: number, position: number, tokens: Uint32Array, logitIndexes: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(row: number, sampler: NativeSampler): Promise<number>;
  removeTokenCellsFromSequence(sequence: number, start: number, end: number): boolean;
  getSequenceKvCacheMinPosition(sequence: number): number;
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

/** One sequence's share of a batch. `row`: whether its last token's logits are wanted. */
export interface Part {
  sequence: number;
  position: number;
  tokens: Uint32Array;
  row: boolean;
}

export interface Sampler extends Disposable {
  /** The next token from a row of the last batch, or -1 when no token is possible. Rows may be sampled at once. */
  next(row: number): Promise<number>;
}

export interface Binding {
  readonly contextTokens: number;
  readonly slots: number;
  readonly batchTokensMax: number;
  readonly vramBytes: number;
  readonly prompts: PromptModel;
  /** Text of tokens; control tokens have none, an open character is U+FFFD. */
  textOf(tokens: readonly number[]): string;
  isEnd(token: number): boolean;
  /** Runs one batch; for each part the row of its logits, or `null`. */
  decode(parts: readonly Part[]): Promise<(number | null)[]>;
  /** @throws Refusal `bad_request` when the format cannot be honoured */
  sampler(settings: SamplerSettings, format: OutputFormat): Promise<Sampler>;
  /** Keeps the first `length` cells of a sequence. @returns how many could be kept: `length` or 0 */
  keep(sequence: number, length: number): number;
}

/** @throws Refusal `load_failed` with what is wrong and what to do */
export async function openBinding(options: EngineOptions): Promise<Binding> {
  const llama = await openLlama(options);
  const model = await openModel(llama, options);
  const context = await openContext(model, options);
  checkInternals(llama, model, context);
  return bind(llama, model, context, options.slots);
}

async function openLlama({ gpu, threads }: EngineOptions): Promise<Llama> {
  const advice =
    gpu === false ? 'Reinstall node-llama-cpp.' : 'Check its driver and runtime libraries, or use the CPU.';
  const device = gpu === false ? 'the CPU' : gpu;
  const options = { build: 'never', skipDownload: true, progressLogs: false, logLevel: LlamaLogLevel.error } as const;
  let llama: Llama;
  try {
    llama = await getLlama({ ...options, gpu, maxThreads: threads });
  } catch (error) {
    throw new Refusal('load_failed', `llama.cpp for ${device} does not start here: ${said(error)}. ${advice}`);
  }
  // The package goes on with the CPU when the wanted device has no binary: ten times slower, and nobody is told.
  if (llama.gpu === gpu) return llama;
  throw new Refusal('load_failed', `llama.cpp for ${device} does not start here. ${advice}`);
}

async function openModel(llama: Llama, { path, gpu }: EngineOptions): Promise<LlamaModel> {
  const sizeBytes = statSync(path, { throwIfNoEntry: false })?.size;
  if (sizeBytes === undefined) throw new Refusal('load_failed', `there is no model file ${basename(path)}`);
  try {
    return await llama.loadModel({ modelPath: path, gpuLayers: gpu === false ? 0 : 'max' });
  } catch (error) {
    throw new Refusal(
      'load_failed',
      `the model ${basename(path)} (${gigabytes(sizeBytes)}) cannot be loaded: ${said(error)}. ${await memory(llama, gpu)}` +
        'Check that the file is a complete GGUF model.',
    );
  }
}

async function openContext(model: LlamaModel, options: EngineOptions): Promise<LlamaContext> {
  const wanted = Math.max(2, Math.min(options.contextTokens, model.trainContextSize));
  try {
    return await model.createContext({
      contextSize: { min: Math.min(contextTokensMin, wanted), max: wanted },
      sequences: options.slots,
      batchSize: batchTokensMax,
      threads: options.threads,
      failedCreationRemedy: { retries: 2, autoContextSizeShrink: 0.5 },
    });
  } catch (error) {
    throw new Refusal(
      'load_failed',
      `${options.slots} slots of ${wanted} tokens do not fit beside ${basename(options.path)}: ${said(error)}. ` +
        `${await memory(model.llama, options.gpu)}Lower NUM_PARALLEL or the context.`,
    );
  }
}

async function memory(llama: Llama, gpu: EngineOptions['gpu']): Promise<string> {
  if (gpu === false) return '';
  const { total, free } = await llama.getVramState();
  return `The GPU has ${gigabytes(free)} free of ${gigabytes(total)}. `;
}

/** @throws Error when the package is not the one this file was written for */
function checkInternals(llama: Llama, model: LlamaModel, context: LlamaContext): void {
  const { native, nativeModel, module } = internals(llama, model, context);
  const missing = [
    ...['initBatch', 'addToBatch', 'decodeBatch', 'sampleToken', 'removeTokenCellsFromSequence'].filter(
      (name) => typeof Reflect.get(native, name) !== 'function',
    ),
    ...['tokenize', 'detokenize'].filter((name) => typeof Reflect.get(nativeModel, name) !== 'function'),
    ...['AddonSampler', 'AddonJinjaRenderer'].filter((name) => typeof Reflect.get(module, name) !== 'function'),
  ];
  if (missing.length > 0) throw new Error(`node-llama-cpp lacks ${missing.join(', ')}`);
}

/** Whether the installed package is the version whose internals are known. */
export async function versionFault(): Promise<string | null> {
  const installed = await getModuleVersion();
  return installed === knownVersion ? null : `node-llama-cpp is ${installed}, not ${knownVersion}`;
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

function bind(llama: Llama, model: LlamaModel, context: LlamaContext, slots: number): Binding {
  const { native, nativeModel, module } = internals(llama, model, context);
  return {
    contextTokens: context.contextSize,
    slots,
    batchTokensMax: context.batchSize,
    vramBytes: model.memoryUsage.vram + context.memoryUsage.vram,
    prompts: promptModel(model, nativeModel, module),
    textOf: (tokens) => (tokens.length === 0 ? '' : nativeModel.detokenize(Uint32Array.from(tokens), false)),
    isEnd: (token) => token === model.tokens.eos || token === model.tokens.eot || nativeModel.isEogToken(token),
    decode: (parts) => decode(native, parts),
    sampler: async (settings, format) => {
      const sampler = new module.AddonSampler(nativeModel);
      await openSampler(llama, model, sampler, settings, format);
      return {
        next: (row) => native.sampleToken(row, sampler),
        [Symbol.dispose]: () => sampler.dispose(),
      };
    },
    keep: (sequence, length) => keep(native, sequence, length, model.fileInsights.swaSize ?? Infinity),
  };
}

async function decode(native: NativeContext, parts: readonly Part[]): Promise<(number | null)[]> {
  native.initBatch(parts.reduce((sum, { tokens }) => sum + tokens.length, 0));
  const rows = parts.map(({ sequence, position, tokens, row }) => {
    const wanted = row ? Uint32Array.of(tokens.length - 1) : new Uint32Array(0);
    return native.addToBatch(sequence, position, tokens, wanted)[0] ?? null;
  });
  await native.decodeBatch();
  return rows;
}

/**
 * Recurrent models cannot forget a tail, and models with a sliding window have forgotten what lies before it:
 * both start from nothing then.
 */
function keep(native: NativeContext, sequence: number, length: number, windowTokens: number): number {
  const cut = native.removeTokenCellsFromSequence(sequence, length, -1);
  const oldestNeeded = Math.max(0, length - windowTokens);
  if (cut && (length === 0 || native.getSequenceKvCacheMinPosition(sequence) <= oldestNeeded)) return length;
  native.removeTokenCellsFromSequence(sequence, 0, -1);
  return 0;
}

function promptModel(model: LlamaModel, nativeModel: NativeModel, module: NativeModule): PromptModel {
  const tokenizer = model.fileInfo.metadata.tokenizer;
  const controlType = 3; // LLAMA_TOKEN_TYPE_CONTROL
  const types = tokenizer?.ggml?.token_type ?? [];
  return {
    chatTemplate: tokenizer?.chat_template ?? null,
    controlTexts: (tokenizer?.ggml?.tokens ?? []).filter((_, index) => Number(types[index]) === controlType),
    bosText: model.tokens.bosString ?? '',
    eosText: model.tokens.eosString ?? '',
    firstToken: model.tokens.shouldPrependBosToken ? model.tokens.bos : null,
    compile: (template) => {
      const renderer = new module.AddonJinjaRenderer(template);
      return (values) => renderer.render(values);
    },
    tokenize: (text, control) => (text === '' ? new Uint32Array(0) : nativeModel.tokenize(text, control)),
  };
}

async function compiledGrammar(llama: Llama, grammar: string): Promise<LlamaGrammar> {
  try {
    return await llama.createGrammar({ grammar });
  } catch (error) {
    throw new Refusal('bad_request', `this output format cannot be honoured: ${said(error)}`, { param: 'format' });
  }
}

async function openSampler(
  llama: Llama,
  model: LlamaModel,
  sampler: NativeSampler,
  settings: SamplerSettings,
  format: OutputFormat,
): Promise<void> {
  const text = gbnfFor(format);
  if (text === null) return sampler.applyConfig(settings);
  const grammar = await compiledGrammar(llama, text);
  const state = new LlamaGrammarEvaluationState({ model, grammar });
  sampler.applyConfig({ ...settings, grammarEvaluationState: Reflect.get(state, '_state') as unknown });
}

function said(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split('\n', 1)[0]!.slice(0, 300);
}

function gigabytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
