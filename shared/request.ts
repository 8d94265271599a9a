// A generation request after its dialect was taken off: what gateway and worker both understand.
import type { DialectName } from './outcome.ts';

export interface ToolCall {
  id: string;
  name: string;
  /** Arguments as the model wrote them: a JSON object. */
  arguments: Record<string, unknown>;
}

export interface Tool {
  name: string;
  description: string;
  /** JSON schema of the arguments. */
  parameters: Record<string, unknown>;
  /** Every call of it has to follow the schema. */
  strict?: true;
}

/** What is shown or played to a model, beside a text. */
export interface Medium {
  kind: 'image' | 'audio';
  /** The field that it came from, as the client wrote it. */
  at: string;
  /** Ollama's form of it; OpenAI's is left in the body. */
  base64?: string;
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
  /** In the order in which they came. */
  media?: Medium[];
  /** What an assistant message was thinking. */
  thinking?: string;
  /** The calls an assistant message made. */
  toolCalls?: ToolCall[];
  /** Name of the tool (or of the speaker) that a message comes from. */
  name?: string;
  /** The call that a tool's message answers. */
  toolCallId?: string;
}

/** Whether, or how much, a reasoning model shall think before it answers; left out = as the model does by itself. */
export type Think = boolean | 'low' | 'medium' | 'high' | 'max';

export type Prompt =
  | {
      kind: 'chat';
      messages: ChatMessage[];
      tools: Tool[];
      think?: Think;
      /** Tokens of what went before, as an answer's context had them. */
      history?: number[];
      /** What does not fit into the context loses its oldest turns; else it is refused. */
      forgets?: true;
    }
  /** Text that is tokenised as it stands, without a chat template. */
  | { kind: 'raw'; text: string }
  /** Tokens of the model's vocabulary, taken as they are. */
  | { kind: 'tokens'; tokens: number[] }
  /** What stands between two texts is to be filled in, by a model whose vocabulary has the tokens for that. */
  | { kind: 'infill'; before: string; after: string };

/** What is asked of a model's vocabulary alone. */
export type Tokenizing =
  /**
   * `first` adds the token that stands before every prompt; `control` reads control tokens in the text as such; `pieces`:
   * each token's text is wanted too.
   */
  | { kind: 'tokenize'; text: string; first: boolean; control: boolean; pieces?: true }
  | { kind: 'detokenize'; tokens: number[] };

/** What an embedding model is asked for. */
export interface Embedding {
  /** Texts, or tokens of the model's vocabulary. */
  inputs: (string | number[])[];
  /** An input that is too long is cut to the context; else it is refused. */
  truncate: boolean;
  /** The first so many numbers of each vector; `null` = all. */
  dimensions: number | null;
  encoding: 'float' | 'base64';
  /** Which body the client reads: OpenAI's, or one of Ollama's two. */
  form: 'openai' | 'ollama' | 'ollama_single';
}

/** Sampling values. `null` = the engine's default; ranges are checked by the dialects. */
export interface Sampling {
  temperature: number | null;
  topK: number | null;
  topP: number | null;
  minP: number | null;
  repeatPenalty: number | null;
  repeatLastN: number | null;
  presencePenalty: number | null;
  frequencyPenalty: number | null;
  /** 32-bit seed; `null` = the worker draws one. */
  seed: number | null;
  /** Added to the logits of these tokens; an engine refuses ids that its model does not have. */
  logitBias?: [token: number, bias: number][];
}

/** How long an idle model stays loaded, in milliseconds; `Infinity` = for ever, 0 = unload at once. */
export type KeepAliveMs = number;

/** What an answer may be together with tools. */
export type JsonFormat = { kind: 'text' } | { kind: 'json' } | { kind: 'schema'; schema: Record<string, unknown> };

export type OutputFormat =
  | JsonFormat
  /** GBNF, llama.cpp's notation of grammars; a model with tools has none. */
  | { kind: 'grammar'; grammar: string };

export interface Generation {
  dialect: DialectName;
  endpoint: 'chat' | 'generate' | 'completion' | 'embeddings' | Tokenizing['kind'];
  /** The model's name as the client wrote it: replies echo it. */
  model: string;
  /** `null` = only load (or, with `keepAliveMs` 0, unload) the model, Ollama's empty prompt; or `tokenizing` or `embedding`. */
  prompt: Prompt | null;
  stream: boolean;
  /** OpenAI's `stream_options.include_usage`. */
  includeUsage: boolean;
  /** Prompts after the first, each answered on its own: `/v1/completions` takes several. */
  morePrompts?: Prompt[];
  /** Answers to each prompt; left out = 1. */
  answersEach?: number;
  sampling: Sampling;
  /** Bound on output tokens; `null` = up to the context. */
  maxTokens: number | null;
  stop: string[];
  format: OutputFormat;
  keepAliveMs: KeepAliveMs | null;
  /** The context the client asks for; a smaller one than the loaded never reloads. */
  contextTokens: number | null;
  /** So many of the most probable tokens are told beside each token's log-probability; left out = nothing is told. */
  topLogprobs?: number;
  /** `false` = at most one tool call per answer; left out = any number. */
  parallelCalls?: false;
  /** The answer has to be a call of one of these tools. */
  mustCall?: string[];
  /** The reply holds the tokens of prompt and answer, for a next request to begin with: Ollama's `context`. */
  tellsContext?: true;
  /** The answer begins with the prompt: OpenAI's `echo`. */
  echo?: true;
  tokenizing?: Tokenizing;
  embedding?: Embedding;
}

/** How many answers a request gets, all of its prompts together. */
export function answersOf({ morePrompts = [], answersEach = 1 }: Generation): number {
  return (morePrompts.length + 1) * answersEach;
}

/** Whether there is something to see or to hear in it. */
export function hasMedia({ prompt }: Generation): boolean {
  return prompt?.kind === 'chat' && prompt.messages.some(({ media }) => media !== undefined);
}
