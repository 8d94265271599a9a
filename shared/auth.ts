// Proof that a call between gateway and worker comes from the same pool: an HMAC over what the call asks for.
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from './clock.ts';
import {
  aloneHeader,
  contextMaxHeader,
  epochHeader,
  leaseHeader,
  modelHeader,
  outputMaxHeader,
  ownerHeader,
  signatureHeader,
  timeHeader,
  type NotStarted,
} from './headers.ts';
import type { Log } from './log.ts';

/** On whose behalf a request runs: the worker repeats it in its beats, so that a lost ledger can be rebuilt. */
export interface Owner {
  team: string;
  key: string;
  gateway: string;
}

/** What a call between the processes says of itself; empty strings where it has no such thing (a beat, a scrape). */
export interface Call {
  lease: string;
  epoch: string;
  /** Canonical name of the model; the body keeps the name that the client wrote. */
  model: string;
  owner: Owner;
  /** It has to have the model on the worker to itself; left out = not. */
  alone?: true;
  /** Most output tokens of each answer, whatever the client asked for; left out = no bound. */
  outputMax?: number;
  /** Most tokens of prompt and answer together; left out = the model's context. */
  contextMax?: number;
}

export const nobody: Call = { lease: '', epoch: '', model: '', owner: { team: '', key: '', gateway: '' } };

export type Checked = { kind: 'ok'; call: Call } | { kind: 'refused'; why: 'unsigned' | 'expired' | 'forged' };

/** How far the clocks of two hosts may be apart, and for how long a recorded call could be replayed. */
export const skewMs = 30_000;

/** Longest value of any of these headers, in characters, before it is looked at. */
const headerCharsMax = 2_048;

/** In the order in which `signCall` has them. */
const proven = [
  leaseHeader,
  epochHeader,
  modelHeader,
  ownerHeader,
  aloneHeader,
  outputMaxHeader,
  contextMaxHeader,
  timeHeader,
];

/**
 * The headers that prove a call. The body is not part of the proof (it would have to be read before it is trusted):
 * who can change bytes on the way needs TLS against him.
 * @param nowMs milliseconds since the Unix epoch
 */
export function signCall(
  secret: string,
  method: string,
  path: string,
  call: Call,
  nowMs: number,
): Record<string, string> {
  const headers = {
    [leaseHeader]: call.lease,
    [epochHeader]: call.epoch,
    [modelHeader]: encodeURIComponent(call.model),
    [ownerHeader]: encodeOwner(call.owner),
    [aloneHeader]: call.alone ? '1' : '0',
    [outputMaxHeader]: String(call.outputMax ?? 0),
    [contextMaxHeader]: String(call.contextMax ?? 0),
    [timeHeader]: String(Math.trunc(nowMs)),
  };
  return { ...headers, [signatureHeader]: sign(secret, method, path, Object.values(headers)) };
}

/** Checks a call's headers as node:http gives them; compares in constant time. */
export function checkCall(
  secret: string,
  method: string,
  path: string,
  headers: Record<string, string | string[] | undefined>,
  nowMs: number,
): Checked {
  const values = proven.map((name) => one(headers[name]));
  const signature = one(headers[signatureHeader]);
  if (signature === '' || values.some((value) => value.length > headerCharsMax)) return refused('unsigned');
  const [lease = '', epoch = '', model = '', owner = '', alone = '', outputMax = '', contextMax = '', time = ''] =
    values;
  if (!same(signature, sign(secret, method, path, values))) return refused('forged');
  if (!(Math.abs(nowMs - Number(time || 'NaN')) <= skewMs)) return refused('expired');
  const call: Call = { lease, epoch, model: decodeURIComponent(model), owner: decodeOwner(owner) };
  const [output, context] = [Number(outputMax), Number(contextMax)];
  const bounds = { ...(output > 0 && { outputMax: output }), ...(context > 0 && { contextMax: context }) };
  return { kind: 'ok', call: { ...call, ...(alone === '1' && { alone: true }), ...bounds } };
}

/** Team, key and gateway in one header value; `|` never survives the encoding, so it separates. */
export function encodeOwner({ team, key, gateway }: Owner): string {
  return [team, key, gateway].map(encodeURIComponent).join('|');
}

export function decodeOwner(value: string): Owner {
  const [team = '', key = '', gateway = ''] = value.split('|').map(decodeURIComponent);
  return { team, key, gateway };
}

/** Where a pool without CLUSTER_SECRET keeps its secret: Redis, which is as trusted as the secret itself. */
export interface SecretStore {
  get(name: string): Promise<string | null>;
  /** Sets the value unless there is one. */
  setIfAbsent(name: string, value: string): Promise<void>;
}

/** How often a running process puts the secret back into a Redis that was emptied. */
const keepEveryMs = 1_000;

export interface PoolSecretOptions {
  store: SecretStore;
  pool: string;
  fresh: () => string;
  clock: Clock;
  log: Log;
}

/**
 * The pool's secret, made by whoever asks first, and put back when Redis was emptied.
 * 1. Without one in Redis, a process that starts waits for longer than those that run take to put theirs back: only a
 *    pool in which nobody runs gets a new one.
 * 2. Should two be in use all the same, the one that Redis does not have says so.
 */
export async function poolSecret({ store, pool, fresh, clock, log }: PoolSecretOptions): Promise<string> {
  const name = `b:{${pool}}:secret`;
  let known = await store.get(name);
  if (known === null) {
    await new Promise<void>((resolve) => clock.after(2 * keepEveryMs, resolve)); // 1
    await store.setIfAbsent(name, fresh());
    known = await store.get(name);
  }
  if (known === null) throw new Error(`Redis did not keep the pool's secret ${name}: set CLUSTER_SECRET everywhere`);
  keepSecret(name, known, { store, clock, log });
  return known;
}

/** For the life of the process. A Redis that does not answer is asked again. */
function keepSecret(
  name: string,
  secret: string,
  { store, clock, log }: Omit<PoolSecretOptions, 'pool' | 'fresh'>,
): void {
  let told = false;
  const keep = async () => {
    await store.setIfAbsent(name, secret);
    if (told || (await store.get(name)) === secret) return;
    told = true;
    log.error('the pool has another secret now: restart this process, or set CLUSTER_SECRET everywhere'); // 2
  };
  const again = () =>
    void clock.after(keepEveryMs, () => {
      keep()
        .catch(() => {})
        .finally(again);
    });
  again();
}

/** The value of the not-started header, or `null` when a reply does not carry one. */
export function decodeNotStarted(value: string | string[] | undefined): NotStarted | null {
  return value === 'busy' || value === 'stale' || value === 'draining' ? value : null;
}

function sign(secret: string, method: string, path: string, values: readonly string[]): string {
  return createHmac('sha256', secret)
    .update(JSON.stringify(['berth-1', method, path, ...values]))
    .digest('hex');
}

function same(given: string, expected: string): boolean {
  return given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

function one(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

function refused(why: 'unsigned' | 'expired' | 'forged'): Checked {
  return { kind: 'refused', why };
}
