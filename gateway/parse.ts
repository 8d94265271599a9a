// From bytes to a job: everything that can be wrong with a request is found here, before anything waits.
import type { IncomingHttpHeaders } from 'node:http';
import { goDurationMs } from '@berth/shared/config.ts';
import { canonicalModel, lackOf } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Held } from './admit.ts';
import { readBody } from './http.ts';
import type { Exchange } from './http.ts';
import type { Job } from './job.ts';
import { checkRights } from './policy/key.ts';
import type { Roster } from './workers/roster.ts';

/** A route that generates: how its body is read, and where the worker has it. */
export interface Generating {
  dialect: Dialect;
  /** Path on the worker. */
  path: string;
  /** @throws Refusal `bad_request` with the field's name */
  read: (body: unknown) => Generation;
}

interface Options {
  roster: Roster;
  bodyBytesMax: number;
  held: Held;
}

/** @throws Refusal `bad_request`, `forbidden`, `body_too_large`, `queue_full`, `model_not_found`, `no_worker`; ClientGone */
export async function parse(
  { roster, bodyBytesMax, held }: Options,
  route: Generating,
  exchange: Exchange,
): Promise<Job> {
  const body = await readBody(exchange, bodyBytesMax, held);
  const generation = route.read(parseJson(body));
  const model = canonicalModel(generation.model);
  // Before it is looked for: whether a model exists that the key may not use is not its business.
  checkRights(exchange.owner.rights, model, generation);
  const cards = roster.model(model).map(({ card }) => card);
  if (cards.length === 0) throw unservable(generation.model, roster);
  const lack = lackOf(generation, cards);
  if (lack) throw lack;
  return {
    id: exchange.id,
    dialect: route.dialect,
    path: route.path,
    generation,
    model,
    body,
    owner: exchange.owner,
    priority: 1,
    arrivedMs: exchange.arrivedMs,
    retry: isRetry(exchange.request.headers),
    patienceMs: patienceOf(exchange.request.headers['berth-max-wait']),
  };
}

/** What OpenAI's and Anthropic's clients send with a retry, and the header that others use for the same. */
function isRetry(headers: IncomingHttpHeaders): boolean {
  return Number(headers['x-stainless-retry-count'] ?? 0) > 0 || headers['idempotency-key'] !== undefined;
}

/** Longest wait that can be asked for. The queue's own timeout bounds it anyway. */
const patienceMsMax = 24 * 3_600_000;

/** The header `berth-max-wait`: a duration such as `20s`, or seconds. @throws Refusal `bad_request` */
function patienceOf(header: string | string[] | undefined): number | null {
  if (header === undefined) return null;
  const text = String(header);
  const ms = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1_000 : goDurationMs(text);
  if (ms > 0 && ms <= patienceMsMax) return ms;
  throw new Refusal('bad_request', 'berth-max-wait must be a duration such as 20s or 1m30s, or seconds', {
    param: 'berth-max-wait',
  });
}

function unservable(model: string, roster: Roster): Refusal {
  if (roster.workers().length > 0) return modelNotFound(model);
  return new Refusal('no_worker', 'no worker is there yet: try again', { retryAfterS: 2 });
}
