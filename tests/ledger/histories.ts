// Random histories of a pool, and how one step of them is run: several gateways and workers, some of them wrong, late, twice or deaf.
import {
  array,
  constant,
  constantFrom as pick,
  nat,
  oneof,
  option,
  record,
  subarray,
  type Arbitrary,
} from 'fast-check';
import type { Beat, Claim, Leave, PriorityClass, Session, Take } from '@berth/shared/ledger/ledger.ts';
import type { Dump } from './dump.ts';
import type { Opened } from './opened.ts';

const gateways = ['g1', 'g2', 'g|{3}'];
const workers = ['w1', 'w2', 'w 3'];
const models = ['llama', 'a|1'];
const teams = ['red', 'blue', '1:r'];
const keys = ['ann', 'bob'];

/** What a history is made of. Numbers pick from what there is when the step runs, so that a history can shrink. */
export type Step =
  | { do: 'take'; again: number | null; age: number | null; take: Omit<Take, 'id' | 'age'> }
  | { do: 'leave'; which: number; anybody: number; actual: number | null; refused: boolean }
  | { do: 'session'; gateway: string; unlisted: number; ghost: number | null; version: 'last' | 'none' | 'wrong' }
  | {
      do: 'beat';
      beat: Omit<Beat, 'running' | 'epoch'>;
      life: 'same' | 'next' | 'before';
      unlisted: number;
      ghosts: number[];
      obeys: boolean;
    }
  | {
      do: 'claim';
      claim: Pick<Claim, 'gateway' | 'model' | 'worker' | 'victim'>;
      before: boolean;
      unseen: number;
      version: 'last' | 'none' | 'any';
    }
  | { do: 'hear'; gateway: string; listening: boolean }
  | { do: 'advance'; ms: number }
  | { do: 'flush' }
  | { do: 'survey' };

/** A step, how many times it runs, and how many steps later. */
export interface Event {
  step: Step;
  times: 1 | 2;
  late: number;
}

const some = nat({ max: 1_000 });

const take = record({
  do: constant('take' as const),
  again: option(some, { freq: 8 }),
  age: option(some, { freq: 4 }),
  take: record({
    gateway: pick(...gateways),
    model: pick(...models),
    priority: pick<PriorityClass>(0, 1, 2),
    team: pick(...teams),
    key: pick(...keys),
    weight: pick(1, 1, 1, 1, 3, 0.5, NaN, 1e9, -1),
    cost: pick(0, 0.1, 1, 7.3, 40, 1e9, NaN, -3),
    waitingMax: pick(2, 5, 40, 40, 40),
    waitingPerKeyMax: pick(2, 20, 20, 20),
    slack: pick(0, 0.3, 1),
    prefer: subarray(workers),
    exclude: oneof({ weight: 3, arbitrary: constant([]) }, { weight: 1, arbitrary: subarray(workers) }),
  }),
});
const leave = record({
  do: constant('leave' as const),
  which: some,
  anybody: nat({ max: 5 }),
  actual: pick(null, null, 0, 0.5, 3, 80, NaN, -1),
  refused: pick(false, false, false, true),
});
const session = record({
  do: constant('session' as const),
  gateway: pick(...gateways),
  unlisted: nat({ max: 20 }),
  ghost: option(some),
  version: pick('last' as const, 'last' as const, 'none' as const, 'wrong' as const),
});
const beat = record({
  do: constant('beat' as const),
  life: oneof(
    { weight: 12, arbitrary: constant('same' as const) },
    { weight: 1, arbitrary: constant('next' as const) },
    { weight: 1, arbitrary: constant('before' as const) },
  ),
  unlisted: nat({ max: 20 }),
  ghosts: oneof(
    { weight: 3, arbitrary: constant<number[]>([]) },
    { weight: 1, arbitrary: array(some, { maxLength: 2 }) },
  ),
  obeys: pick(true, true, false),
  beat: record({
    worker: pick(...workers),
    boot: pick(false, false, false, true),
    last: nat({ max: 14 }).map((n) => n === 14),
    capacity: pick(0, 1, 2, 2, 3, 3),
    weight: pick(0.5, 1, 1, 3),
    serves: pick(models, models, models.toReversed(), models.slice(1), []),
    loading: pick(null, null, { model: 'a|1', victim: '' }, { model: 'new', victim: 'llama' }),
    announcement: pick('{}', '{"state":"ready"}'),
  }),
});
const claim = record({
  do: constant('claim' as const),
  claim: record({
    gateway: pick(...gateways),
    model: pick('new', 'new', ...models),
    worker: pick(...workers),
    victim: pick('', ...models),
  }),
  before: pick(false, false, false, false, true),
  unseen: pick(0, 0, 0, 0, 1),
  version: pick('any' as const, 'any' as const, 'last' as const, 'none' as const),
});
const hear = record({
  do: constant('hear' as const),
  gateway: pick(...gateways),
  listening: pick(true, true, true, false),
});
// Back by a little and by a lot, over the grace, the sessions, the half-life and the era.
const advance = record({
  do: constant('advance' as const),
  ms: oneof(
    { weight: 12, arbitrary: pick(1, 7, 300, 499, 501, 999) },
    { weight: 4, arbitrary: pick(1_001, 2_001, 3_001) },
    { weight: 1, arbitrary: pick(5_001, 61_000, 1_300_000, 31_000_000, -40, -3_000, -7_200_000) },
  ),
});

export const event: Arbitrary<Event> = record({
  step: oneof(
    { weight: 60, arbitrary: take },
    { weight: 40, arbitrary: leave },
    { weight: 15, arbitrary: session },
    { weight: 25, arbitrary: beat },
    { weight: 15, arbitrary: claim },
    { weight: 4, arbitrary: hear },
    { weight: 15, arbitrary: advance },
    { weight: 2, arbitrary: constant<Step>({ do: 'survey' }) },
    { weight: 1, arbitrary: constant<Step>({ do: 'flush' }) },
  ),
  times: pick<1 | 2>(1, 1, 1, 2),
  late: pick(0, 0, 0, 0, 0, 1, 3),
});

/** What gateways and workers remember. */
export interface World {
  ids: string[];
  ages: Map<string, number>;
  /** Roster version that each gateway has, and the number of each worker's life. */
  versions: Map<string, number>;
  lives: Map<string, number>;
}

export function newWorld(): World {
  return { ids: [], ages: new Map(), versions: new Map(), lives: new Map() };
}

export type Input =
  | { do: 'take'; input: Take }
  | { do: 'leave'; input: Leave }
  | { do: 'session'; input: Session }
  | { do: 'beat'; input: Beat }
  | { do: 'claim'; input: Claim }
  | Extract<Step, { do: 'hear' | 'advance' | 'flush' | 'survey' }>;

/** The step with the ids that it means now. */
export function concrete(step: Step, world: World, dump: Dump): Input {
  switch (step.do) {
    case 'take':
      return { do: 'take', input: concreteTake(step, world) };
    case 'leave':
      return { do: 'leave', input: concreteLeave(step, world, dump) };
    case 'session':
      return { do: 'session', input: concreteSession(step, world, dump) };
    case 'beat':
      return { do: 'beat', input: concreteBeat(step, world, dump) };
    case 'claim':
      return { do: 'claim', input: concreteClaim(step, world, dump) };
    default:
      return step;
  }
}

function concreteTake({ again, age, take }: Extract<Step, { do: 'take' }>, world: World): Take {
  const id = again === null || world.ids.length === 0 ? `t${world.ids.length}` : chosen(world.ids, again);
  if (!world.ids.includes(id)) world.ids.push(id);
  const known = world.ages.get(id) ?? world.ages.get(chosen(world.ids, age ?? 0)) ?? 0;
  return { ...take, id, age: age === null ? null : known + (age % 3 === 0 ? 5_000 : 0) };
}

/** Mostly of those that are there. */
function concreteLeave(
  { which, anybody, actual, refused }: Extract<Step, { do: 'leave' }>,
  world: World,
  dump: Dump,
): Leave {
  const here = Object.keys(dump.records);
  return { id: chosen(anybody === 0 || here.length === 0 ? world.ids : here, which), actual, refused };
}

function concreteSession(step: Extract<Step, { do: 'session' }>, world: World, dump: Dump): Session {
  const own = Object.entries(dump.records).filter(([, r]) => r.state === 'wait' && r.gateway === step.gateway);
  const tickets = own.map(([id]) => id).filter((_, at) => at !== step.unlisted);
  if (step.ghost !== null) tickets.push(chosen(world.ids, step.ghost));
  const last = world.versions.get(step.gateway) ?? 0;
  const rosterVersion = { last, none: 0, wrong: last + 3 }[step.version];
  return { gateway: step.gateway, tickets, rosterVersion };
}

/** Mostly as the ledger is; now and then by a gateway that has not heard of the last changes. */
function concreteClaim(
  { claim, before, unseen, version }: Extract<Step, { do: 'claim' }>,
  world: World,
  dump: Dump,
): Claim {
  const { gateway, worker, model } = claim;
  const epoch = `${worker}-${(world.lives.get(worker) ?? 1) - (before ? 1 : 0)}`;
  const servers = (dump.sets[`sv:${model}`]?.length ?? 0) + unseen;
  const rosterVersion = { any: Infinity, last: world.versions.get(gateway) ?? 0, none: 0 }[version];
  return { ...claim, epoch, servers, rosterVersion };
}

function concreteBeat(
  { beat, life, unlisted, ghosts, obeys }: Extract<Step, { do: 'beat' }>,
  world: World,
  dump: Dump,
): Beat {
  const known = world.lives.get(beat.worker) ?? 1;
  const number = { same: known, next: known + 1, before: known - 1 }[life];
  if (life === 'next') world.lives.set(beat.worker, number);
  const own = Object.entries(dump.records).filter(([, r]) => r.state === 'held' && r.worker === beat.worker);
  const runs = own.map(([id]) => id).filter((_, at) => at !== unlisted);
  for (const ghost of ghosts) runs.push(chosen(world.ids, ghost));
  const running = runs.map((id, at) => {
    const [model = '', team = '', key = '', gateway = ''] = [models, teams, keys, gateways].map((all) =>
      chosen(all, at),
    );
    return { id, model, team, key, gateway };
  });
  const loading = obeys ? (dump.workers[beat.worker]?.order ?? null) : (beat.loading ?? null);
  const { worker } = beat;
  return { ...beat, boot: beat.boot || life === 'next', epoch: `${worker}-${number}`, running, loading };
}

function chosen(from: readonly string[], which: number): string {
  return from[which % Math.max(1, from.length)] ?? 'nobody';
}

/** One operation on one ledger. */
export async function act(input: Input, { ledger, advance, hear, flush }: Opened): Promise<unknown> {
  switch (input.do) {
    case 'take':
      return ledger.take(input.input);
    case 'leave':
      return ledger.leave(input.input);
    case 'session':
      return ledger.session(input.input);
    case 'beat':
      return ledger.beat(input.input);
    case 'claim':
      return ledger.claim(input.input);
    case 'survey':
      return ledger.survey();
    case 'hear':
      return hear(input.gateway, input.listening);
    case 'flush':
      return flush();
    default:
      return advance(input.ms);
  }
}

/** Ages and versions, as gateways keep them. */
export function remember(input: Input, reply: unknown, world: World): void {
  if (typeof reply !== 'object' || reply === null) return;
  if (input.do === 'take' && 'age' in reply) world.ages.set(input.input.id, Number(reply.age));
  if (input.do === 'session' && 'roster' in reply && typeof reply.roster === 'object' && reply.roster !== null) {
    if ('version' in reply.roster) world.versions.set(input.input.gateway, Number(reply.roster.version));
  }
}
