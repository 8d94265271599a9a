// The ledger's operations as scripts: the only place that knows the order of their arguments and replies.
import { ledgerCounts } from './ledger.ts';
import type {
  Beat,
  BeatReply,
  Claim,
  Claimed,
  Leave,
  LedgerCount,
  Left,
  PriorityClass,
  Session,
  SessionReply,
  Survey,
  Take,
  Taken,
  TicketState,
} from './ledger.ts';
import { defineScript } from './script.ts';

export const takeScript = defineScript<Take, Taken>(
  'take',
  (t) => [
    t.id,
    t.gateway,
    t.model,
    t.priority,
    t.team,
    t.key,
    t.weight,
    t.cost,
    t.age ?? '',
    t.waitingMax,
    t.waitingPerKeyMax,
    t.slack,
    t.prefer.length,
    ...t.prefer,
    ...t.exclude,
  ],
  (reply, { id }) => {
    const [kind, second, third, fourth] = list(reply);
    if (kind === 'held') return { kind, id, age: number(second), worker: text(third), epoch: text(fourth) };
    if (kind === 'wait') return { kind, age: number(second), place: number(third), servers: number(fourth) };
    if (kind === 'full' && (third === 'all' || third === 'key')) return { kind, age: number(second), bound: third };
    throw unexpected(reply);
  },
);

export const leaveScript = defineScript<Leave, Left>(
  'leave',
  ({ id, actual, refused }) => [id, actual ?? '', refused ? 1 : 0],
  (reply) => {
    if (reply === 'gone' || reply === 'waited' || reply === 'held') return reply;
    throw unexpected(reply);
  },
);

export const sessionScript = defineScript<Session, SessionReply>(
  'session',
  ({ gateway, rosterVersion, tickets }) => [gateway, rosterVersion, ...tickets],
  (reply, { tickets }) => {
    const [states, version, whole, present, gone, waiting, gateways, nowMs] = list(reply);
    const stateOf = list(states).map(ticketState);
    return {
      tickets: new Map(tickets.map((id, at) => [id, stateOf[at] ?? { kind: 'gone' }])),
      roster: {
        version: number(version),
        whole: whole === '1',
        present: groups(present, 2).map(([worker, words]) => ({ worker: text(worker), announcement: text(words) })),
        gone: list(gone).map(text),
      },
      waiting: number(waiting),
      gateways: number(gateways),
      nowMs: number(nowMs),
    };
  },
);

function ticketState(reply: unknown): TicketState {
  const [kind, second, third] = list(reply);
  if (kind === 'wait') return { kind, place: number(second), servers: number(third) };
  if (kind === 'held') return { kind, worker: text(second), epoch: text(third) };
  if (kind === 'gone') return { kind };
  throw unexpected(reply);
}

export const beatScript = defineScript<Beat, BeatReply>(
  'beat',
  (b) => [
    b.worker,
    b.epoch,
    b.boot ? 1 : 0,
    b.last ? 1 : 0,
    b.capacity,
    b.weight,
    b.announcement,
    b.loading?.model ?? '',
    b.loading?.victim ?? '',
    b.serves.length,
    ...b.serves,
    ...b.running.flatMap(({ id, model, team, key, gateway }) => [id, model, team, key, gateway]),
  ],
  (reply) => {
    const [kind, second, third, model, victim] = list(reply);
    if (kind === 'ok') {
      const order = model === '' ? null : { model: text(model), victim: text(victim) };
      return { kind, added: number(second), dropped: number(third), order };
    }
    if (kind === 'stale') return { kind, epoch: text(second) };
    throw unexpected(reply);
  },
);

export const claimScript = defineScript<Claim, Claimed>(
  'claim',
  (c) => [c.gateway, c.model, c.worker, c.epoch, c.victim, c.rosterVersion, c.servers],
  (reply) => {
    if (reply === 'ordered' || reply === 'loading' || reply === 'moved') return reply;
    throw unexpected(reply);
  },
);

export const surveyScript = defineScript<undefined, Survey>(
  'survey',
  () => [],
  (reply) => {
    const [waiting, workers, leases, counts] = list(reply);
    const counted = new Map(groups(counts, 2).map(([name, times]) => [text(name), number(times)]));
    return {
      waiting: groups(waiting, 4).map(([model, priority, tickets, age]) => ({
        model: text(model),
        priority: priorityClass(priority),
        tickets: number(tickets),
        age: number(age),
      })),
      leases: groups(leases, 3).map(([worker, model, held]) => ({
        worker: text(worker),
        model: text(model),
        held: number(held),
      })),
      counts: countsOf((name) => counted.get(name)),
      workers: groups(workers, 3).map(([worker, held, capacity]) => ({
        worker: text(worker),
        held: number(held),
        capacity: number(capacity),
      })),
    };
  },
);

/** Every count, 0 where there is none yet. */
export function countsOf(read: (name: LedgerCount) => number | undefined): Survey['counts'] {
  return Object.fromEntries(ledgerCounts.map((name) => [name, read(name) ?? 0])) as Survey['counts'];
}

function priorityClass(value: unknown): PriorityClass {
  const parsed = number(value);
  if (parsed === 0 || parsed === 1 || parsed === 2) return parsed;
  throw unexpected(value);
}

function list(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw unexpected(value);
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  throw unexpected(value);
}

/** A number, or the text of one: Lua's replies would lose the fraction. */
function number(value: unknown): number {
  const parsed = typeof value === 'string' && value !== '' ? Number(value) : value;
  if (typeof parsed === 'number' && Number.isFinite(parsed)) return parsed;
  throw unexpected(value);
}

/** A flat list in rows of so many. */
function groups(value: unknown, size: number): unknown[][] {
  const flat = list(value);
  return Array.from({ length: Math.floor(flat.length / size) }, (_, row) => flat.slice(row * size, (row + 1) * size));
}

function unexpected(reply: unknown): TypeError {
  return new TypeError(`the ledger's script answered ${JSON.stringify(reply).slice(0, 200)}`);
}
