// A model as servers list it → as it is announced. Pure.
import type { ModelCard } from '@berth/shared/announcement.ts';
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { JsonObject } from '@berth/shared/dialects/json.ts';
import { rfc3339 } from '@berth/shared/dialects/rfc3339.ts';
import { parameterSize } from '../cards.ts';
import { nameOfFile } from '../models/files.ts';
import { thoughtsOf } from '../replies/thinking.ts';
import type { JoinedModel } from './survey.ts';

/** Of a model whose server does not tell: a guess that is too small would refuse what the server can do. */
export const unknownContext = 2 ** 20;
/** What no server tells: an id of the file's content. */
export const noDigest = '0'.repeat(64);

/** Names travel in headers and logs, and are looked for there. */
export function usableName(name: string): boolean {
  return /^[^\s\p{C}]{1,256}$/u.test(name);
}

/** A server with one model calls it by its path, where nobody has given it a name. */
function nameOf(id: string): string {
  return /^[./~]|\.gguf$/i.test(id) ? nameOfFile(id) : canonicalModel(id);
}

function common(entry: JsonObject, contextTokens: number | null): JoinedModel {
  const id = text(entry['id']);
  const created = number(entry['created']);
  return {
    name: nameOf(id),
    id,
    loaded: true,
    contextTokens: contextTokens ?? unknownContext,
    trainedTokens: null,
    sizeBytes: 0,
    vramBytes: 0,
    digest: noDigest,
    architecture: 'unknown',
    parameterSize: '',
    quantization: '',
    modifiedAt: rfc3339((created ?? 0) * 1_000),
    capabilities: [],
    expiresAt: null,
    chatTemplate: null,
  };
}

/** What a server does not tell of itself it is believed to do: it refuses in its own words what it cannot. */
const anything: ModelCard['capabilities'] = ['completion', 'tools', 'thinking', 'vision', 'audio'];

/** Models that embed and do not chat, by their names: nothing else tells them apart. */
const embedders = /embed|(^|[-/_])(bge|e5|gte|minilm)([-_.]|$)/i;

export function chatModel(entry: JsonObject): JoinedModel {
  const context = number(entry['max_model_len']) ?? number(entry['context_length']) ?? number(entry['context_window']);
  const embeds = embedders.test(text(entry['id']));
  return { ...common(entry, context), capabilities: embeds ? ['embedding'] : anything };
}

export function vllmModel(entry: JsonObject): JoinedModel {
  return { ...chatModel(entry), capabilities: anything };
}

/** @param props what `/props` tells, which is of the one model that is loaded */
export function llamaServerModel(entry: JsonObject, props: JsonObject): JoinedModel {
  const meta = object(entry['meta']);
  const settings = object(props['default_generation_settings']);
  const modalities = object(props['modalities']);
  const template = typeof props['chat_template'] === 'string' ? props['chat_template'] : null;
  const can = {
    completion: true,
    tools: template === null || /\btools\b/.test(template),
    thinking: template === null || thoughtsOf(template) !== null,
    vision: modalities['vision'] === true,
    audio: modalities['audio'] === true,
  };
  return {
    ...common(entry, number(settings['n_ctx']) ?? number(meta['n_ctx'])),
    trainedTokens: number(meta['n_ctx_train']),
    sizeBytes: number(meta['size']) ?? 0,
    parameterSize: parameterSize(number(meta['n_params']) ?? 0),
    capabilities: (['completion', 'tools', 'thinking', 'vision', 'audio'] as const).filter((what) => can[what]),
    chatTemplate: template,
  };
}

export function object(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Above 0; `null` = none. */
export function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : null;
}
