// The clients that people use, from their own install in tests/clients. Typed by hand as far as the tests go: the
// checks of the project must pass before these packages are there.
import { join } from 'node:path';
import { install, loader } from '../tools/install.ts';
import { root } from './berth.ts';

export const clientsFolder = join(root, 'tests/clients');

export const installClients = (): Promise<void> => install(clientsFolder);

/** A package of that install, or a file of one, as whoever asks knows it. */
export const loadClient = loader(clientsFolder);

/** The same of a package that is an ES module, as its users import it. */
export async function importClient<T>(name: string): Promise<T> {
  const loaded: T = await import(loadClient.resolve(name));
  return loaded;
}

interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

interface Completion {
  id: string;
  model: string;
  choices: { message: { role: string; content: string | null }; finish_reason: string }[];
  usage?: Usage;
}

interface CompletionChunk {
  choices: { delta: { content?: string | null }; finish_reason: string | null }[];
  usage?: Usage | null;
}

interface TextCompletion {
  choices: { text: string; finish_reason: string | null }[];
}

type Body = Record<string, unknown>;

export interface OpenaiClient {
  chat: {
    completions: {
      create(body: Body & { stream: true }, options?: Body): Promise<AsyncIterable<CompletionChunk>>;
      create(body: Body, options?: Body): Promise<Completion>;
      parse(body: Body): Promise<{ choices: { message: { parsed: { answer: string } | null } }[] }>;
      stream(body: Body): { finalContent(): Promise<string | null> };
      runTools(body: Body): { finalContent(): Promise<string | null> };
    };
  };
  completions: {
    create(body: Body & { stream: true }): Promise<AsyncIterable<TextCompletion>>;
    create(body: Body): Promise<TextCompletion>;
  };
  models: {
    list(): Promise<{ data: { id: string }[] }>;
    retrieve(id: string): Promise<{ id: string; object: string }>;
  };
}

type ErrorClass = abstract new (...args: never) => Error;

export interface OpenaiPackage {
  OpenAI: new (options: Body) => OpenaiClient;
  APIError: ErrorClass;
  APIUserAbortError: ErrorClass;
  AuthenticationError: ErrorClass;
  BadRequestError: ErrorClass;
  InternalServerError: ErrorClass;
  NotFoundError: ErrorClass;
  RateLimitError: ErrorClass;
}

/** Both majors that people run. */
export const openaiVersions = ['openai', 'openai-6'] as const;

export function openaiPackage(name: (typeof openaiVersions)[number]): OpenaiPackage {
  const loaded: OpenaiPackage = loadClient(name);
  return loaded;
}

interface OllamaCall {
  function: { name: string; arguments: { a: number; b: number } };
}

export interface OllamaPart {
  model: string;
  created_at: string | Date;
  done: boolean;
  done_reason?: string;
  message: { role: string; content: string; tool_calls?: OllamaCall[] };
  response: string;
  eval_count: number;
  prompt_eval_count: number;
  context: number[];
}

interface OllamaModel {
  name: string;
  size: number;
  digest: string;
  details: { format: string; family: string; parameter_size: string };
  expires_at: string | Date;
}

interface OllamaShown {
  details: OllamaModel['details'];
  capabilities: string[];
  parameters: string;
  model_info: Body;
}

interface OllamaStream extends AsyncIterable<OllamaPart> {
  abort(): void;
}

export interface OllamaClient {
  chat(body: Body & { stream: true }): Promise<OllamaStream>;
  chat(body: Body): Promise<OllamaPart>;
  generate(body: Body & { stream: true }): Promise<OllamaStream>;
  generate(body: Body): Promise<OllamaPart>;
  list(): Promise<{ models: OllamaModel[] }>;
  ps(): Promise<{ models: OllamaModel[] }>;
  version(): Promise<{ version: string }>;
  show(body: Body): Promise<OllamaShown>;
  abort(): void;
}

export function ollamaClient(host: string): OllamaClient {
  const { Ollama }: { Ollama: new (options: Body) => OllamaClient } = loadClient('ollama');
  return new Ollama({ host });
}
