// Which models there are, told in each dialect. Cards of the same model on several workers become one entry.
import type { ModelCard } from '../announcement.ts';
import { Refusal } from '../outcome.ts';
import type { Generation, Medium } from '../request.ts';
import { type Fields, fieldsOf, flag } from './check.ts';
import { modelName } from './parts.ts';
import { rfc3339, unixSeconds } from './rfc3339.ts';

/** The level of Ollama's API that is spoken here: clients switch features by it. */
const ollamaLevel = '0.13.0';
/** Ollama's clients print `Forever` for a time so far away. */
const foreverText = '2318-01-01T00:00:00Z';

/** `x` means `x:latest`, and `hf:o/r` is `hf.co/o/r`. A colon before the last slash is a registry's port, not a tag. */
export function canonicalModel(written: string): string {
  const name = written.replace(/^(hf:|huggingface\.co\/)/, 'hf.co/');
  return name.slice(name.lastIndexOf('/') + 1).includes(':') ? name : `${name}:latest`;
}

/**
 * The name in the rest of a path such as `/v1/models/{name}`, percent-encoded or not.
 * @throws Refusal `bad_request`
 */
export function modelOfPath(rest: string): string {
  try {
    return modelName(decodeURIComponent(rest), 'model');
  } catch (cause) {
    throw cause instanceof Refusal ? cause : new Refusal('bad_request', 'the model in the path is not well encoded');
  }
}

/** The body of `GET /v1/models`, which OpenAI's and Anthropic's clients both read. */
export function openaiModels(cards: readonly ModelCard[]) {
  const data = merged(cards).map((card) => openaiModel(card));
  return {
    object: 'list',
    data,
    has_more: false,
    first_id: data.at(0)?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}

/** The body of `GET /v1/models/{id}`. `asked` is the name as the client wrote it, which the reply echoes. */
export function openaiModel(card: ModelCard, asked = card.name) {
  return {
    id: asked,
    object: 'model',
    created: unixSeconds(card.modifiedAt),
    owned_by: 'berth',
    // What vLLM's and llama-server's clients look for, to know how much they may send.
    max_model_len: card.contextTokens,
    meta: { n_ctx: card.contextTokens, n_ctx_train: card.trainedTokens, size: card.sizeBytes },
    // Anthropic's clients read these.
    type: 'model',
    display_name: card.name,
    created_at: card.modifiedAt,
  };
}

/** The body of `GET /api/tags`. */
export function ollamaTags(cards: readonly ModelCard[]) {
  return { models: merged(cards).map((card) => ({ ...entryOf(card), modified_at: card.modifiedAt })) };
}

/** The body of `GET /api/ps`: loaded models, those that stay longest first. Sizes are sums over the pool. */
export function ollamaPs(cards: readonly ModelCard[], nowMs: number) {
  const loaded = cards.filter((card) => card.loaded);
  const models = merged(loaded).map((card) => psEntry(card, copiesOf(loaded, card.name), nowMs));
  return { models: models.sort((a, b) => (a.expires_at < b.expires_at ? 1 : -1)) };
}

/** The body of `GET /api/version`. */
export function ollamaVersion() {
  return { version: ollamaLevel };
}

/**
 * What `POST /api/show` asks for; `name` is the older spelling of `model`.
 * @throws Refusal `bad_request`
 */
export function parseOllamaShow(body: unknown): { model: string; verbose: boolean } {
  const request = fieldsOf(body, '');
  return { model: modelOf(request), verbose: request.optional('verbose', flag) ?? false };
}

function modelOf(request: Fields): string {
  return (
    request.optional('model', modelName) ?? request.optional('name', modelName) ?? request.required('model', modelName)
  );
}

/**
 * The body of `POST /api/pull`.
 * @throws Refusal `bad_request`
 */
export function parseOllamaPull(body: unknown): { model: string; stream: boolean } {
  const request = fieldsOf(body, '');
  request.optional('insecure', flag);
  return { model: modelOf(request), stream: request.optional('stream', flag) ?? true };
}

/**
 * The body of `DELETE /api/delete`.
 * @throws Refusal `bad_request`
 */
export function parseOllamaDelete(body: unknown): { model: string } {
  return { model: modelOf(fieldsOf(body, '')) };
}

/**
 * The body of `POST /api/copy`.
 * @throws Refusal `bad_request`
 */
export function parseOllamaCopy(body: unknown): { source: string; destination: string } {
  const request = fieldsOf(body, '');
  return { source: request.required('source', modelName), destination: request.required('destination', modelName) };
}

/** What `POST /api/pull` tells, line by line, up to `success`. */
export interface PullStatus {
  status: string;
  /** Of a file of the model, with the bytes that it has and that are there. */
  digest?: string;
  total?: number;
  completed?: number;
  /** Between worker and gateway: it is to be told to the client though it says nothing of a file. */
  remark?: true;
}

/** What `POST /api/pull` tells of a model that is there already. */
export function ollamaPulled({ digest, sizeBytes }: ModelCard): PullStatus[] {
  const layer = { digest: `sha256:${digest}`, total: sizeBytes, completed: sizeBytes };
  return [
    { status: 'pulling manifest' },
    { status: `pulling ${digest.slice(0, 12)}`, ...layer },
    { status: 'success' },
  ];
}

/**
 * What the request needs and no copy of its model can do.
 * @param cards the cards of the request's model
 * @returns a Refusal `bad_request`, or `null` when the request may go on
 */
export function lackOf(generation: Generation, cards: readonly Able[]): Refusal | null {
  const can = new Set(cards.flatMap((card) => card.capabilities));
  const lack = needsOf(generation).find(({ capability }) => !can.has(capability));
  if (lack === undefined) return null;
  const { model } = generation;
  const sense = { image: 'see', audio: 'hear' };
  const why = lack.medium
    ? `${lack.param} is ${lack.word}, and '${model}' cannot ${sense[lack.medium]}: send text`
    : `'${model}' does not support ${lack.word}`;
  return new Refusal('bad_request', why, { param: lack.param });
}

/** Whether a copy can do all that the request needs. */
export function isFit(generation: Generation, card: Able): boolean {
  return needsOf(generation).every(({ capability }) => card.capabilities.includes(capability));
}

type Able = Pick<ModelCard, 'capabilities'>;

interface Need {
  capability: ModelCard['capabilities'][number];
  word: string;
  param: string;
  medium?: Medium['kind'];
}

/** OpenAI's effort is a hint to models that think; Ollama's `think` is an order. */
function needsOf({ dialect, endpoint, prompt, embedding }: Generation): Need[] {
  if (embedding) return [{ capability: 'embedding', word: endpoint, param: 'model' }];
  if (prompt === null) return [];
  const needs: Need[] = [{ capability: 'completion', word: endpoint, param: 'model' }];
  if (prompt.kind === 'infill') needs.push({ capability: 'insert', word: 'insert', param: 'suffix' });
  if (prompt.kind !== 'chat') return needs;
  if (prompt.tools.length > 0) needs.push({ capability: 'tools', word: 'tools', param: 'tools' });
  const mustThink = dialect === 'ollama' && prompt.think !== undefined && prompt.think !== false;
  if (mustThink) needs.push({ capability: 'thinking', word: 'thinking', param: 'think' });
  const media = prompt.messages.flatMap((message) => message.media ?? []);
  const first = (kind: Medium['kind']) => media.find((medium) => medium.kind === kind);
  const [image, audio] = [first('image'), first('audio')];
  if (image) needs.push({ capability: 'vision', word: 'an image', param: image.at, medium: 'image' });
  if (audio) needs.push({ capability: 'audio', word: 'audio', param: audio.at, medium: 'audio' });
  return needs;
}

/** One card per name, by name; of several copies the newest file's. */
function merged(cards: readonly ModelCard[]): ModelCard[] {
  const byName = new Map<string, ModelCard>();
  for (const card of cards) {
    const known = byName.get(card.name);
    if (known === undefined || unixSeconds(card.modifiedAt) > unixSeconds(known.modifiedAt))
      byName.set(card.name, card);
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function copiesOf(cards: readonly ModelCard[], name: string): ModelCard[] {
  return cards.filter((card) => card.name === name);
}

function entryOf(card: ModelCard) {
  return { name: card.name, model: card.name, size: card.sizeBytes, digest: card.digest, details: detailsOf(card) };
}

/** As Ollama tells it in its lists and of one model. */
export function detailsOf(card: ModelCard) {
  return {
    parent_model: '',
    format: 'gguf',
    family: card.architecture,
    families: [card.architecture],
    parameter_size: card.parameterSize,
    quantization_level: card.quantization,
  };
}

/** A copy that is busy or pinned has no expiry: it stays. One whose time has passed is leaving now. */
function psEntry(card: ModelCard, copies: readonly ModelCard[], nowMs: number) {
  const lastMs = Math.max(nowMs, ...copies.map((copy) => copy.expiresAt ?? Infinity));
  return {
    ...entryOf(card),
    size: sum(copies.map((copy) => copy.sizeBytes)),
    expires_at: Number.isFinite(lastMs) ? rfc3339(lastMs) : foreverText,
    size_vram: sum(copies.map((copy) => copy.vramBytes)),
    context_length: card.contextTokens,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
