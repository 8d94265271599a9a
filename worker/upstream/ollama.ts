// What only Ollama has: models that it loads and unloads, and tells of in its own words.
import type { ModelCard } from '@berth/shared/announcement.ts';
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { Answered, WrongServer } from './client.ts';
import type { Client } from './client.ts';
import { noDigest, number, object, text, unknownContext } from './listed.ts';
import type { JoinedModel } from './survey.ts';

/** As long as the ledger waits for a load. */
const loadMs = 600_000;

/** @param before what is known already: what a model can do is asked once for each content of its name */
export async function surveyOllama(client: Client, before: readonly JoinedModel[]): Promise<JoinedModel[]> {
  const [tags, ps] = await Promise.all([client.ask('/api/tags'), client.ask('/api/ps')]);
  const loaded = new Map(entriesOf(ps, '/api/ps').map((entry) => [canonicalModel(nameIn(entry)), entry]));
  const models: JoinedModel[] = [];
  for (const entry of entriesOf(tags, '/api/tags')) {
    const name = canonicalModel(nameIn(entry));
    const known = before.find((each) => each.name === name && each.digest === digestOf(entry));
    const model = known ?? (await shown(client, entry));
    if (model !== null) models.push(asLoaded(model, loaded.get(name)));
  }
  return models;
}

/** The model as a file, with what `/api/show` says of it; `null` = it has gone meanwhile, or cannot be read. */
async function shown(client: Client, entry: JsonObject): Promise<JoinedModel | null> {
  const id = nameIn(entry);
  const details = object(entry['details']);
  const told = await client.ask('/api/show', { body: { model: id } }).catch((error: unknown) => {
    if (error instanceof Answered) return null;
    throw error;
  });
  if (!isObject(told)) return null;
  const info = object(told['model_info']);
  const architecture = text(info['general.architecture']) || text(details['family']) || 'unknown';
  const trained = number(info[`${architecture}.context_length`]);
  return {
    name: canonicalModel(id),
    id,
    loaded: false,
    contextTokens: trained ?? unknownContext,
    trainedTokens: trained,
    sizeBytes: number(entry['size']) ?? 0,
    vramBytes: 0,
    digest: digestOf(entry),
    architecture,
    parameterSize: text(details['parameter_size']),
    quantization: text(details['quantization_level']),
    modifiedAt: text(entry['modified_at']),
    capabilities: capabilitiesOf(told),
    expiresAt: null,
    chatTemplate: text(told['template']) || null,
  };
}

/** The context that it will get is known when it is loaded: by the memory that is there, and by what the box is set to. */
function asLoaded(model: JoinedModel, entry: JsonObject | undefined): JoinedModel {
  if (entry === undefined) {
    const contextTokens = model.trainedTokens ?? unknownContext;
    return { ...model, loaded: false, vramBytes: 0, expiresAt: null, contextTokens };
  }
  const expiresAt = Date.parse(text(entry['expires_at']));
  return {
    ...model,
    loaded: true,
    vramBytes: number(entry['size_vram']) ?? 0,
    contextTokens: number(entry['context_length']) ?? model.contextTokens,
    expiresAt: Number.isNaN(expiresAt) ? null : expiresAt,
  };
}

const known: ModelCard['capabilities'] = ['completion', 'embedding', 'tools', 'thinking', 'insert', 'vision', 'audio'];

/** An older Ollama does not say: then by its template and its kind. */
function capabilitiesOf(told: JsonObject): ModelCard['capabilities'] {
  const said = told['capabilities'];
  if (Array.isArray(said)) return known.filter((capability) => said.includes(capability));
  const family = text(object(told['details'])['family']);
  if (/bert/.test(family)) return ['embedding'];
  const template = text(told['template']);
  const can = { completion: true, tools: /\.Tools\b/.test(template), insert: /\.Suffix\b/.test(template) };
  return (['completion', 'tools', 'insert'] as const).filter((what) => can[what]);
}

/** Loads the model, as Ollama's own clients do: an empty prompt. @throws as `ask` does */
export async function loadOllama(
  client: Client,
  { id, capabilities }: JoinedModel,
  signal: AbortSignal,
): Promise<void> {
  // Its embedding models refuse a prompt, empty or not, and load with the first input.
  const embeds = capabilities.includes('embedding') && !capabilities.includes('completion');
  const [path, more] = embeds ? ['/api/embed', { input: 'a' }] : ['/api/generate', { stream: false }];
  await client.ask(path, { body: { model: id, ...more }, withinMs: loadMs, signal });
}

export async function unloadOllama(client: Client, { id }: JoinedModel): Promise<void> {
  await client.ask('/api/generate', { body: { model: id, keep_alive: 0, stream: false } });
}

function entriesOf(reply: unknown, path: string): JsonObject[] {
  const models = isObject(reply) ? reply['models'] : undefined;
  if (models === null) return [];
  if (!Array.isArray(models))
    throw new WrongServer(`UPSTREAM answers ${path} with something else than a list of models`);
  return models.filter((entry) => isObject(entry) && nameIn(entry) !== '') as JsonObject[];
}

function nameIn(entry: JsonObject): string {
  return text(entry['model']) || text(entry['name']);
}

function digestOf(entry: JsonObject): string {
  const digest = text(entry['digest']).replace(/^sha256:/, '');
  return /^[0-9a-f]{64}$/.test(digest) ? digest : noDigest;
}
