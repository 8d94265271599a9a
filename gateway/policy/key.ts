// What a key may do, as it is kept: every limit, whose it is, and the digest of its secret; never the secret itself.
import { fieldsOf, isObject, oneOf, refuse } from '@berth/shared/dialects/check.ts';
import type { Check } from '@berth/shared/dialects/check.ts';
import { integer, list, name as printable, number, textUpTo } from '@berth/shared/dialects/check.ts';
import { canonicalModel } from '@berth/shared/dialects/catalog.ts';
import type { PriorityClass } from '@berth/shared/ledger/ledger.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { answersOf } from '@berth/shared/request.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Owner } from '../job.ts';

/** What a key can be allowed to do. A route declares one of them. */
export const scopes = ['infer', 'models:read', 'models:write', 'metrics', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** What a key may do. `null` = as much as there is. */
export interface Rights {
  scopes: readonly Scope[];
  /** Canonical names of the only models that it sees. */
  models: readonly string[] | null;
  /** The most urgent class that it may ask for: 0 high, 1 normal, 2 low. */
  priorityMax: PriorityClass;
  /** Share of its team beside the others. */
  weight: number;
  /** Requests that are inside at once, waiting ones included. */
  concurrentMax: number | null;
  /** Requests that wait for a slot of one model. */
  waitingMax: number | null;
  /** Prompt and output together, reserved at arrival and settled at the end. */
  tokensPerMinute: number | null;
  /** Prompt and output together in a calendar month (UTC). */
  tokensPerMonth: number | null;
  /** Prompt and answer of a request together. */
  contextMax: number | null;
  /** Output tokens that a request may ask for; one that asks for no bound gets so many. */
  outputMax: number | null;
}

/** What a key has that its own keys may not exceed. */
export interface Most extends Rights {
  expiresMs: number | null;
  /** Name of a request header that tells end users apart, where the client that has this key is trusted to set it. */
  endUserHeader: string | null;
}

export interface Key extends Most {
  id: string;
  /** For people. */
  name: string;
  team: string;
  /** SHA-256 of the whole key, hex. Its secret has 192 random bits: nothing slower is needed. */
  digest: string;
  /** The secret before the last rotation, and until when it is taken. */
  previous: { digest: string; untilMs: number } | null;
  createdMs: number;
  /** Id of the key that made it. */
  createdBy: string;
  revokedMs: number | null;
}

/** Who asks: whose the request is, and what it may do. */
export interface Caller extends Owner {
  /** Id of the key without the end user: the label of metrics and usage. */
  id: string;
  rights: Rights;
}

/** Of the keys in the settings, and of everyone where no key is needed. */
export const allRights: Rights = {
  scopes,
  models: null,
  priorityMax: 0,
  weight: 1,
  concurrentMax: null,
  waitingMax: null,
  tokensPerMinute: null,
  tokensPerMonth: null,
  contextMax: null,
  outputMax: null,
};

const countMax = 1e12;
const count = integer(1, countMax);
const label = textUpTo(100);

/** A team's name is a metric label and part of a header. */
const team: Check<string> = (value, path) => {
  const read = printable(value, path);
  return /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(read)
    ? read
    : refuse(path, 'must be 1 to 64 letters, digits or . _ @ - and begin with one of the first two');
};

const headerName: Check<string> = (value, path) => {
  const read = printable(value, path).toLowerCase();
  if (!/^[a-z0-9-]{1,64}$/.test(read)) return refuse(path, 'must be the name of a header');
  return ['authorization', 'x-api-key', 'cookie'].includes(read) ? refuse(path, 'must not hold a secret') : read;
};

const time: Check<number> = (value, path) => {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isFinite(ms) ? ms : refuse(path, 'must be a time such as 2030-12-31T00:00:00Z');
};

const digest: Check<string> = (value, path) =>
  typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : refuse(path, 'must be a SHA-256 in hex');

const keyId: Check<string> = (value, path) =>
  typeof value === 'string' && /^[0-9a-f]{12}$/.test(value) ? value : refuse(path, 'must be the id of a key');

const previous: Check<NonNullable<Key['previous']>> = (value, path) => {
  const at = fieldsOf(value, path);
  return { digest: at.required('digest', digest), untilMs: at.required('until', time) };
};

type Asked = { [K in keyof Rights | 'name' | 'team' | 'endUserHeader' | 'expiresMs']?: unknown };

const askable = [...Object.keys(allRights), 'name', 'team', 'endUserHeader', 'expires'];
const kept = [...askable, 'id', 'digest', 'previous', 'created', 'createdBy', 'revoked'];

/**
 * What an administrator asks a new key to be. What is left out is as its creator's, but for the scopes.
 * @throws Refusal `bad_request`, also for an unknown field: a misspelt limit would be none
 */
export function readWish(body: unknown, creator: Rights): Omit<Key, 'id' | 'digest' | 'createdMs' | 'createdBy'> {
  knownOnly(body, askable);
  const at = fieldsOf(body, '');
  return {
    ...readRights(body, { ...creator, scopes: ['infer', 'models:read'] }),
    name: at.optional('name', label) ?? '',
    team: at.optional('team', team) ?? 'default',
    endUserHeader: at.optional('endUserHeader', headerName),
    expiresMs: at.optional('expires', time),
    previous: null,
    revokedMs: null,
  };
}

function readRights(body: unknown, fallback: Rights): Rights {
  const at = fieldsOf(body, '');
  const limit = (key: keyof Rights, otherwise: number | null) => at.optional(key, count) ?? otherwise;
  return {
    scopes: at.optional('scopes', list(oneOf(...scopes), scopes.length)) ?? fallback.scopes,
    models: at.optional('models', list(printable, 256))?.map(canonicalModel) ?? fallback.models,
    priorityMax: (at.optional('priorityMax', integer(0, 2)) as PriorityClass | null) ?? fallback.priorityMax,
    weight: at.optional('weight', number(0.01, 100)) ?? fallback.weight,
    concurrentMax: limit('concurrentMax', fallback.concurrentMax),
    waitingMax: limit('waitingMax', fallback.waitingMax),
    tokensPerMinute: limit('tokensPerMinute', fallback.tokensPerMinute),
    tokensPerMonth: limit('tokensPerMonth', fallback.tokensPerMonth),
    contextMax: limit('contextMax', fallback.contextMax),
    outputMax: limit('outputMax', fallback.outputMax),
  };
}

/** A key as it is kept and exported. @throws Refusal `bad_request` */
export function readKey(value: unknown): Key {
  knownOnly(value, kept);
  const at = fieldsOf(value, '');
  return {
    ...readRights(value, allRights),
    id: at.required('id', keyId),
    name: at.optional('name', label) ?? '',
    team: at.required('team', team),
    digest: at.required('digest', digest),
    previous: at.optional('previous', previous),
    endUserHeader: at.optional('endUserHeader', headerName),
    createdMs: at.required('created', time),
    createdBy: at.optional('createdBy', label) ?? '',
    expiresMs: at.optional('expires', time),
    revokedMs: at.optional('revoked', time),
  };
}

/** Whether the model, by its canonical name, is among those that the key sees. */
export function sees({ models }: Rights, model: string): boolean {
  return models === null || models.includes(model);
}

/**
 * @param names of the model: as it was asked for, and what that stands for; one that the key may use is enough
 * @throws Refusal `forbidden`, `bad_request` for what the request asks for and the key may not have
 */
export function checkRights(rights: Rights, names: readonly string[], generation: Generation): void {
  const { maxTokens, contextTokens, prompt } = generation;
  if (!names.some((name) => sees(rights, name))) {
    throw new Refusal('forbidden', `this key may use ${rights.models?.join(', ')} only`, { param: 'model' });
  }
  const { outputMax, contextMax } = rights;
  const most = Math.max(maxTokens ?? 1, 1) * answersOf(generation);
  if (outputMax !== null && prompt !== null && most > outputMax) {
    throw new Refusal('bad_request', `this key may have ${outputMax} output tokens: ask for at most as many`, {
      param: 'max_tokens',
    });
  }
  if (contextMax !== null && (contextTokens ?? 0) > contextMax) {
    throw new Refusal('bad_request', `this key may have a context of ${contextMax} tokens`, { param: 'num_ctx' });
  }
}

/** Most output tokens of each of a request's answers that the key may have; `null` = no bound. */
export function outputMaxOf({ outputMax }: Rights, generation: Generation): number | null {
  return outputMax === null ? null : Math.floor(outputMax / answersOf(generation));
}

/** The inverse of `readKey`. */
export function writeKey({ createdMs, expiresMs, revokedMs, previous, ...key }: Key): Record<string, unknown> {
  return {
    ...key,
    previous: previous && { digest: previous.digest, until: iso(previous.untilMs) },
    created: iso(createdMs),
    expires: iso(expiresMs),
    revoked: iso(revokedMs),
  };
}

/** A key as people see it. */
export function showKey(key: Key): Record<string, unknown> {
  const { digest: _digest, previous: _previous, ...shown } = writeKey(key);
  return shown;
}

/**
 * The first field in which `wish` is more than its creator, or `null`. Teams are not compared: whoever administers
 * the pool administers all of its teams.
 */
export function excessOf(wish: Most, creator: Most): string | null {
  const more = (mine: number | null, most: number | null) => most !== null && (mine === null || mine > most);
  if (wish.scopes.some((scope) => !creator.scopes.includes(scope))) return 'scopes';
  const { models } = creator;
  if (models !== null && (wish.models === null || wish.models.some((model) => !models.includes(model))))
    return 'models';
  if (wish.priorityMax < creator.priorityMax) return 'priorityMax';
  if (wish.weight > creator.weight) return 'weight';
  if (more(wish.expiresMs, creator.expiresMs)) return 'expires';
  // Each user is a line of its own in the queue: who may not split his, may not let others split theirs.
  if (wish.endUserHeader !== null && wish.endUserHeader !== creator.endUserHeader) return 'endUserHeader';
  const limits = ['concurrentMax', 'waitingMax', 'tokensPerMinute', 'tokensPerMonth', 'contextMax', 'outputMax'];
  return limits.find((name) => more(wish[name as 'outputMax'], creator[name as 'outputMax'])) ?? null;
}

function knownOnly(value: unknown, known: readonly string[]): asserts value is Asked {
  if (!isObject(value)) throw new Refusal('bad_request', 'the key must be an object');
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new Refusal('bad_request', `a key has no such field: it may have ${known.join(', ')}`);
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
