// The engine's port: one loaded model that generates for several requests at once.
import { Refusal } from '@berth/shared/outcome.ts';
import type { JsonFormat, OutputFormat, Prompt, Sampling, Tokenizing, Tool } from '@berth/shared/request.ts';

export interface EngineRequest {
  prompt: Prompt;
  sampling: Sampling & { seed: number };
  /** Bound on output tokens; `null` = up to the context. */
  maxTokens: number | null;
  /** The text ends before the first of these; they are not part of it. */
  stop: readonly string[];
  format: OutputFormat | CallsFormat;
  /** Control tokens with these texts are written out like any other token: they mark tool calls or thinking. */
  tags?: readonly string[];
  /** Where the prompt ends in this text and white space, the answer begins inside of a thought. */
  thoughtOpens?: string;
  /** So many of the most probable tokens are told with each token's score; left out = no scores. */
  topLogprobs?: number;
  /** The end tells the tokens of prompt and answer. */
  tellsContext?: true;
  /** Prefixes in the KV cache are shared only between requests of the same scope. */
  cacheScope: string;
  /** Most tokens of prompt and answer together; left out = the context. */
  contextMax?: number;
}

/** The answer is held to calls of these tools, with arguments that follow their schemas. */
export interface CallsFormat {
  kind: 'calls';
  frame: CallFrame;
  tools: readonly Tool[];
  /** Whether one answer may hold several calls. */
  several: boolean;
  /** What the answer may be instead of calls; `null` = it has to be a call. */
  otherwise: JsonFormat | null;
}

/** An answer of calls: `open`, calls with `between` between them, `close`; a call is its name and JSON in `call`. */
export interface CallFrame {
  open: string;
  call: readonly [beforeName: string, beforeArguments: string, after: string];
  /** `null` = this family calls one tool at a time. */
  between: string | null;
  close: string;
  /** What no other text would have: from here on a call is certain. Left out = the first tag of a call. */
  tag?: string;
}

export interface EngineUsage {
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
  prefillMs: number;
  decodeMs: number;
}

export type EngineEvent =
  /** The prompt was rendered, tokenised and fits: the request has a sequence. Always first. `thinking`: it ends in `thoughtOpens`. */
  | { kind: 'started'; promptTokens: number; cachedTokens: number; thinking?: true }
  /** Whole UTF-8 text of one or more tokens; never empty. `scores`: of the tokens it is made of, when asked for. */
  | { kind: 'text'; text: string; tokens: number; scores?: TokenScore[] }
  /** Always last. */
  | { kind: 'end'; finish: 'stop' | 'length'; usage: EngineUsage; context?: number[] };

/** How probable the model found a token: from the whole distribution, before temperature, filters and biases. */
export interface TokenScore {
  /** The token's text; what is no whole character is U+FFFD. */
  token: string;
  logprob: number;
  bytes: number[];
  /** The most probable tokens at its place, best first. */
  top: Omit<TokenScore, 'top'>[];
}

/** A text and its tokens. */
export interface Tokenized {
  tokens: number[];
  text: string;
  /** When they were asked for: each token's text, or its bytes where they are no text of their own. */
  pieces?: (string | number[])[];
}

/** One input of an embedding model. */
export interface EmbedInput {
  /** Text, or tokens of the model's vocabulary. */
  input: string | number[];
  /** What is too long is cut to the context; else it is refused. */
  truncate: boolean;
  /** The field that it comes from, for a refusal. */
  at: string;
}

export interface Embedded {
  /** As the model gave it, not normalised. */
  vector: Float32Array;
  tokens: number;
}

export interface EngineInfo {
  /** Tokens of one sequence: prompt and answer together. */
  contextTokens: number;
  /** Sequences that run at once. */
  slots: number;
  vramBytes: number;
  /** What it takes of the device's memory, which becomes free with its end: of a GPU's, or of the machine's. */
  memoryBytes: number;
}

/** One step of an engine: a batch of tokens, and what became of it. */
export interface EngineStep {
  ms: number;
  /** Answers whose token was decoded. */
  decoded: number;
  /** Prompt tokens that were read. */
  prefilled: number;
}

export interface Engine extends AsyncDisposable {
  readonly info: EngineInfo;
  /** Its process; `null` when it runs in the worker's own. */
  readonly pid: number | null;
  /** Steps done since the load; grows while work is outstanding, or the engine hangs. */
  steps(): number;
  /** From now on each step is told; to the last who asked. */
  onStep(hear: (step: EngineStep) => void): void;
  /**
   * Runs one request. Aborting the signal ends the iteration with the signal's reason after at most one step,
   * and the sequence is free when the iteration has ended.
   * @throws Refusal `context_exceeded` or `bad_request` before `started`
   * @throws EngineDied when the engine's process ended
   */
  generate(request: EngineRequest, signal: AbortSignal): AsyncIterable<EngineEvent>;
  /**
   * Asks the vocabulary; needs no sequence.
   * @throws Refusal `bad_request` for a token that the vocabulary does not have; EngineDied
   */
  tokenize(task: Tokenizing): Promise<Tokenized>;
  /**
   * One input's vector, from an engine that was opened with `embeds`. Inputs are taken in the order of arrival.
   * @throws Refusal `context_exceeded`, `bad_request`; EngineDied
   */
  embed(input: EmbedInput): Promise<Embedded>;
  /** From the next step on; what it was opened with is for the time until the first call. */
  useThreads(count: number): void;
  /** Settles with the reason when the engine ends by itself. */
  readonly died: Promise<EngineDied>;
}

export interface EngineOptions {
  path: string;
  /** Wanted tokens per sequence; clamped to the model's own. */
  contextTokens: number;
  /** Refused rather than opened with a shorter context than wanted: there is something that could make room. */
  whole?: true;
  /** Jinja, in place of the file's own chat template. */
  template?: string;
  /** LoRA adapters that are applied to the weights. */
  adapters?: readonly { path: string; scale: number }[];
  /** NVIDIA GPUs that it is spread over, as CUDA_VISIBLE_DEVICES; left out = the worker's own. */
  devices?: string;
  /** Layers on the GPU; left out = all of them. */
  gpuLayers?: number;
  /** For an embedding model: it embeds, one input at a time, and generates nothing. */
  embeds?: true;
  /** Wanted sequences. */
  slots: number;
  threads: number;
  gpu: 'cuda' | 'metal' | 'vulkan' | false;
  /** Where prompts are kept that lose their sequence; `null` = nowhere. */
  promptCache?: PromptCacheOptions | null;
}

export interface PromptCacheOptions {
  /** A folder that the engines of one worker share, and nobody else. */
  folder: string;
  /** Most bytes of all files in it. */
  bytesMax: number;
}

/**
 * @param onProgress the load goes on: told now and then
 * @throws Refusal `load_failed`, whose message says what is wrong with the file; OutOfMemory
 */
export type OpenEngine = (options: EngineOptions, signal: AbortSignal, onProgress?: () => void) => Promise<Engine>;

/** A load for which the device has too little memory. */
export class OutOfMemory extends Refusal {
  /** What has to become free, at least. */
  readonly missingBytes: number;

  constructor(message: string, missingBytes: number) {
    super('load_failed', message);
    this.missingBytes = missingBytes;
  }
}

/** The engine's process is gone; what ran in it is lost. */
export class EngineDied extends Error {
  override readonly name = 'EngineDied';
}
