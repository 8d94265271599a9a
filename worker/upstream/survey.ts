// What a joined server is and which models it has, asked of the server itself.
import type { ModelCard } from '@berth/shared/announcement.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { Answered, WrongServer } from './client.ts';
import type { Client } from './client.ts';
import { chatModel, llamaServerModel, usableName, vllmModel } from './listed.ts';
import { surveyOllama } from './ollama.ts';

/** `openai` is any other server that speaks OpenAI's dialect. */
export type Kind = 'ollama' | 'llama-server' | 'vllm' | 'openai';

/** A model of a joined server: its card, and what the server itself calls it. */
export interface JoinedModel extends Omit<ModelCard, 'evictable' | 'failed'> {
  id: string;
  chatTemplate: string | null;
}

export interface Survey {
  kind: Kind;
  /** Requests that the server runs at once, more wait inside of it; `null` = it does not say. */
  slots: number | null;
  models: JoinedModel[];
}

/** More models than this are not announced: each beat carries their cards. */
const modelsMax = 256;

/** @throws NotReached, WrongServer, Answered, or an Error that says what the server did not do */
export async function survey(client: Client, before: Survey | null): Promise<Survey> {
  const kind = before?.kind ?? (await kindOf(client));
  const found = await look(client, kind, before);
  const models = found.models.filter(({ name }) => usableName(name)).slice(0, modelsMax);
  return { ...found, kind, models };
}

type Look = Omit<Survey, 'kind'>;

async function look(client: Client, kind: Kind, before: Survey | null): Promise<Look> {
  if (kind === 'ollama') return { slots: null, models: await surveyOllama(client, before?.models ?? []) };
  const listed = await listOf(client);
  if (kind === 'vllm') return { slots: null, models: listed.map(vllmModel) };
  if (kind === 'openai') return { slots: null, models: listed.map(chatModel) };
  const props = await client.ask('/props').catch((error: unknown) => {
    if (error instanceof Answered) return {}; // a router has none of its own
    throw error;
  });
  const known = isObject(props) ? props : {};
  const slots = known['total_slots'];
  return {
    slots: typeof slots === 'number' && slots > 0 ? slots : null,
    models: listed.map((entry) => llamaServerModel(entry, known)),
  };
}

/** 1. Some servers speak a little of Ollama's dialect beside their own, so that comes last. */
async function kindOf(client: Client): Promise<Kind> {
  const listed = await listOf(client).catch((error: unknown) => {
    if (error instanceof Answered && error.status === 404) return null;
    throw error;
  });
  const owners = new Set(listed?.map(({ owned_by: owner }) => owner));
  if (owners.has('berth')) {
    throw new WrongServer('UPSTREAM is a gateway of Berth: a worker joins a model server to it, not a gateway');
  }
  if (owners.has('vllm')) return 'vllm';
  if (owners.has('llamacpp')) return 'llama-server';
  if (await isOllama(client)) return 'ollama'; // 1
  if (listed !== null) return 'openai';
  throw new WrongServer(
    'UPSTREAM has neither /v1/models nor /api/version: it is no Ollama, llama-server, vLLM or other OpenAI-compatible server',
  );
}

async function isOllama(client: Client): Promise<boolean> {
  try {
    const version = await client.ask('/api/version');
    return isObject(version) && typeof version['version'] === 'string';
  } catch (error) {
    if (error instanceof Answered || error instanceof WrongServer) return false;
    throw error;
  }
}

async function listOf(client: Client): Promise<JsonObject[]> {
  const reply = await client.ask('/v1/models').catch((error: unknown) => {
    throw error instanceof Answered ? explained(error) : error;
  });
  const data = isObject(reply) ? reply['data'] : undefined;
  if (data === null) return []; // an Ollama without models
  if (!Array.isArray(data))
    throw new WrongServer('UPSTREAM answers /v1/models with something else than a list of models');
  return data.filter((entry) => isObject(entry) && typeof entry['id'] === 'string') as JsonObject[];
}

/** What the refusal of a question of ours means. */
export function explained(error: Answered): Error {
  if (error.status === 401 || error.status === 403) {
    return new WrongServer(`UPSTREAM wants a key, or another one: set UPSTREAM_KEY (it says: ${error.message})`);
  }
  return error;
}
