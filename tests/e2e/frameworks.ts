// The frameworks of tests/clients, typed by hand as far as the tests go.
import { importClient, loadClient } from './clients.ts';
import type { openaiVersions } from './clients.ts';

/** Opaque: made by a provider, taken by the AI SDK. */
export type LanguageModel = object;

interface Asked {
  model: LanguageModel;
  prompt: string;
  temperature?: number;
  maxRetries?: number;
  abortSignal?: AbortSignal;
  output?: object;
  tools?: object;
  stopWhen?: object;
  onError?: () => void;
}

interface Usage {
  inputTokens: number;
  outputTokens: number;
}

export interface Ai {
  model(provider: 'openai' | 'openai-compatible' | 'ollama', url: string, name: string, apiKey?: string): LanguageModel;
  generateText(
    asked: Asked,
  ): Promise<{ text: string; finishReason: string; usage: Usage; output?: { answer: string } }>;
  streamText(asked: Asked): { textStream: AsyncIterable<string>; text: PromiseLike<string>; usage: PromiseLike<Usage> };
}

type Provider = ((name: string) => LanguageModel) & { chat(name: string): LanguageModel };
type Create = (options: object) => Provider;

export async function aiSdk(): Promise<Ai> {
  const ai = await importClient<Pick<Ai, 'generateText' | 'streamText'>>('ai');
  const { createOpenAI } = await importClient<{ createOpenAI: Create }>('@ai-sdk/openai');
  const compatible = await importClient<{ createOpenAICompatible: Create }>('@ai-sdk/openai-compatible');
  const { createOllama } = await importClient<{ createOllama: Create }>('ollama-ai-provider-v2');
  return {
    ...ai,
    model(provider, url, name, apiKey = 'none') {
      const baseURL = `${url}/v1`;
      if (provider === 'openai') return createOpenAI({ baseURL, apiKey }).chat(name);
      if (provider === 'ollama') return createOllama({ baseURL: `${url}/api` })(name);
      const options = { name: 'berth', baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true };
      return compatible.createOpenAICompatible(options)(name);
    },
  };
}

export interface Message {
  content: string;
  usage_metadata?: { output_tokens: number };
  tool_calls?: object[];
  concat(next: Message): Message;
}

export interface Chat {
  invoke(prompt: string | object[]): Promise<Message>;
  stream(prompt: string | object[], options?: object): Promise<AsyncIterable<Message>>;
  bindTools(tools: object[]): Chat;
  withStructuredOutput(schema: object, options: object): { invoke(prompt: string): Promise<{ answer: string }> };
}

export function langchain(name: 'ChatOpenAI' | 'ChatOllama', url: string, options: object): Chat {
  if (name === 'ChatOllama') {
    const { ChatOllama }: { ChatOllama: new (options: object) => Chat } = loadClient('@langchain/ollama');
    return new ChatOllama({ baseUrl: url, ...options });
  }
  const { ChatOpenAI }: { ChatOpenAI: new (options: object) => Chat } = loadClient('@langchain/openai');
  return new ChatOpenAI({ apiKey: 'none', configuration: { baseURL: `${url}/v1` }, ...options });
}

export interface Zod {
  z: { object(fields: object): object; enum(words: string[]): object; number(): object };
}

/** An answer that a toy of a model can give, when its words are bound. */
export const yesOrNo = {
  schema(): object {
    const { z } = loadClient<Zod>('zod');
    return z.object({ answer: z.enum(['yes', 'no']) });
  },
  async output(): Promise<object> {
    const { Output } = await importClient<{ Output: { object(of: object): object } }>('ai');
    const { z } = await importClient<Zod>('zod');
    return Output.object({ schema: z.object({ answer: z.enum(['yes', 'no']) }) });
  },
  responseFormat(name: (typeof openaiVersions)[number]): object {
    const { zodResponseFormat }: { zodResponseFormat(schema: object, name: string): object } = loadClient(
      `${name}/helpers/zod`,
    );
    return zodResponseFormat(yesOrNo.schema(), 'verdict');
  },
};
