// From bytes to a job: everything that can be wrong with a request is found here, before anything waits.
import { canonicalModel, lackOf } from '@berth/shared/dialects/catalog.ts';
import { modelNotFound } from '@berth/shared/dialects/dialect.ts';
import type { Dialect } from '@berth/shared/dialects/dialect.ts';
import { parseJson } from '@berth/shared/dialects/json.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { milestonesOf } from '@berth/shared/prefix.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Held } from './admit.ts';
import type { Aliases } from './aliases.ts';
import { readBody } from './http.ts';
import type { Exchange } from './http.ts';
import type { Job } from './job.ts';
import { checkContext } from './placement/fit.ts';
import { checkRights, outputMaxOf } from './policy/key.ts';
import { wishesOf } from './wishes.ts';
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
  aliases: Aliases;
  bodyBytesMax: number;
  held: Held;
}

/** @throws Refusal `bad_request`, `forbidden`, `body_too_large`, `queue_full`, `model_not_found`, `no_worker`; ClientGone */
export async function parse(
  { roster, aliases, bodyBytesMax, held }: Options,
  route: Generating,
  exchange: Exchange,
): Promise<Job> {
  const body = await readBody(exchange, bodyBytesMax, held);
  const asks = route.read(parseJson(body));
  const outputMax = outputMaxOf(exchange.owner.rights, asks);
  const { contextMax } = exchange.owner.rights;
  // The bytes go on as they came, and the bound beside them.
  const generation =
    outputMax === null ? asks : { ...asks, maxTokens: Math.min(asks.maxTokens ?? Infinity, outputMax) };
  await roster.firstLook(exchange.reply.signal);
  const asked = generation.model || onlyModel(roster);
  const model = aliases.modelOf(asked);
  // Before it is looked for: whether a model exists that the key may not use is not its business.
  checkRights(exchange.owner.rights, [canonicalModel(asked), model], asks);
  const cards = roster.expected(model);
  if (cards.length === 0) throw unservable(generation.model, model, roster);
  const lack = lackOf(generation, cards);
  if (lack) throw lack;
  checkContext(generation.prompt, body.length, roster.contexts(model));
  return {
    id: exchange.id,
    dialect: route.dialect,
    path: route.path,
    generation,
    model,
    milestones: milestonesOf(exchange.owner.team, model, generation),
    body,
    owner: exchange.owner,
    ...(outputMax !== null && { outputMax }),
    ...(contextMax !== null && { contextMax }),
    arrivedMs: exchange.arrivedMs,
    ...(exchange.record.trace && { trace: exchange.record.trace }),
    ...wishesOf(exchange.request.headers, exchange.owner),
  };
}

/** A request that names no model means the only one. @throws Refusal `bad_request`, `no_worker` */
function onlyModel(roster: Roster): string {
  const names = roster.names();
  const [name] = names;
  if (name === undefined) throw unservable('', '', roster);
  if (names.size === 1) return name;
  throw new Refusal('bad_request', 'model is required: there are several here', { param: 'model' });
}

/** @param model what was meant by `asked` */
function unservable(asked: string, model: string, roster: Roster): Refusal {
  const [why] = roster.problems(model);
  if (why !== undefined)
    return new Refusal('model_not_found', `model '${asked}' cannot be used: ${why}`, { param: 'model' });
  if (roster.workers().length > 0 || roster.serves())
    return modelNotFound(asked, model === canonicalModel(asked) ? undefined : model);
  return new Refusal('no_worker', 'no worker is there yet: try again', { retryAfterS: 2 });
}
