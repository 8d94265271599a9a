// Requests that kill engines: whoever was there when one died is a suspect and runs alone; who kills another one alone
// is the cause, and is refused for a while, and so is a key that brings such requests again and again.
import { createHmac } from 'node:crypto';
import { isObject } from '@berth/shared/dialects/check.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Generation } from '@berth/shared/request.ts';
import type { Admit } from './admit.ts';
import type { Forward } from './forward.ts';
import type { Job } from './job.ts';
import type { Registers } from './policy/registers.ts';

/** What happened; the label of the metric. */
export const poisonEvents = ['suspected', 'cleared', 'quarantined', 'refused', 'key_refused'] as const;
export type PoisonEvent = (typeof poisonEvents)[number];

/** What is known of one request, by its fingerprint, or of one key. */
export interface Mark {
  state: 'suspect' | 'cleared' | 'quarantined' | 'key';
  untilMs: number;
  /** Of the request, for people. */
  team: string;
  model: string;
  key: string;
  /** When engines died that the key's requests had to themselves: the latest, ms since the Unix epoch. */
  deathsMs: number[];
}

export interface Poison {
  /** The door, with a look at what is known of the request. */
  admit(admit: Admit): Admit;
  /** The same way to the worker, where it is said who runs alone, and heard whose engine died. */
  forward(forward: Forward): Forward;
  /** Requests that are refused now, by fingerprint, and keys. */
  list(): [name: string, mark: Mark][];
  /** Forgets what is known. @returns false when there is nothing of this name */
  release(name: string): Promise<boolean>;
}

interface Options {
  registers: Registers;
  /** Makes fingerprints that say nothing without it; the same at all gateways. */
  secret: string;
  clock: Clock;
  onEvent: (event: PoisonEvent) => void;
}

const suspectMs = 10 * 60_000;
const quarantineMs = 60 * 60_000;
const keyMs = 10 * 60_000;
/** So many engines that a key's requests killed alone within `keyMs`: then all of its requests run alone … */
const deathsAlone = 2;
/** … and then the key is refused. */
const deathsMax = 4;
/** A death makes a few marks, and engines do not die often: more than so many are not kept. */
const marksMax = 10_000;

/**
 * 1. An engine died: each request that it ran is a suspect. One that has sent nothing yet is tried once more.
 * 2. A suspect runs alone: nobody can die with it, and it cannot die of somebody else.
 * 3. It ends well: it was innocent.
 * 4. It dies alone: two deaths, and of the second nobody else is the cause. It is refused from now on.
 * 5. The keys of those are counted: first all that they send runs alone, then nothing does. Who has no key of his own
 *    shares it with everybody, who shall not be locked out with him.
 */
export function createPoison({ registers, secret, clock, onEvent }: Options): Poison {
  // Asked twice for each request, and a long prompt takes a while.
  const names = new WeakMap<Job, string>();
  const nameOf = (job: Job): string => {
    const name = names.get(job) ?? fingerprint(job, secret);
    names.set(job, name);
    return name;
  };
  const markOf = (name: string): Mark | null => {
    const mark = registers.get(name)?.value as Mark | undefined;
    return mark && mark.untilMs > clock.now() ? mark : null;
  };
  const put = (name: string, mark: Mark): void => {
    if (registers.size >= marksMax && !registers.get(name)) return;
    // Time is the revision: of what two gateways say of a request the later holds.
    const revision = Math.max(clock.now(), (registers.get(name)?.revision ?? 0) + 1);
    registers.put(name, { revision, value: mark });
    registers.flush().catch(() => {});
  };

  /** @returns whether it has to run alone @throws Refusal `quarantined`, `key_isolated` */
  function check(job: Job): boolean {
    if (registers.size === 0) return false;
    const deaths = deathsOf(job);
    if (deaths.length >= deathsMax && !isShared(job)) {
      onEvent('key_refused');
      throw keyRefused(deaths.length, (deaths[0] ?? 0) + keyMs - clock.now());
    }
    const state = markOf(nameOf(job))?.state;
    if (state === 'quarantined') {
      onEvent('refused');
      throw quarantined();
    }
    return state === 'suspect' || deaths.length >= deathsAlone;
  }

  /** Oldest first. */
  function deathsOf({ owner }: Job): number[] {
    return (markOf(keyName(owner.key, secret))?.deathsMs ?? []).filter((ms) => ms + keyMs > clock.now());
  }

  /** @returns true when it is the cause */
  function died(job: Job, alone: boolean): boolean {
    const name = nameOf(job);
    const before = markOf(name)?.state;
    const guilty = alone && before === 'suspect';
    const state = guilty ? 'quarantined' : 'suspect';
    // A copy of it may have been found out meanwhile.
    if (before === 'quarantined') return true;
    onEvent(guilty ? 'quarantined' : 'suspected');
    put(name, markOn(job, state, guilty ? quarantineMs : suspectMs));
    if (alone) blame(job);
    return guilty;
  }

  function blame(job: Job): void {
    const deathsMs = [...deathsOf(job), clock.now()].slice(-deathsMax);
    put(keyName(job.owner.key, secret), { ...markOn(job, 'key', keyMs), deathsMs });
  }

  /** It ran alone and did no harm. */
  function clear(job: Job): void {
    const name = nameOf(job);
    if (markOf(name)?.state !== 'suspect') return;
    onEvent('cleared');
    put(name, markOn(job, 'cleared', suspectMs));
  }

  function markOn({ owner, model }: Job, state: Mark['state'], forMs: number): Mark {
    const { team, key } = owner;
    return { state, untilMs: clock.now() + forMs, team, model, key, deathsMs: [] };
  }

  return {
    admit: (admit) => (job) => {
      check(job);
      return admit(job);
    },
    forward: (forward) => async (job, seat, reply, record) => {
      const alone = check(job); // again: a copy of it may have been found out while it waited
      seat.alone = alone; // 2
      try {
        const ending = await forward(job, seat, reply, record);
        if (ending.kind === 'settled' && alone) clear(job); // 3
        if (ending.kind === 'broken' && ending.died && died(job, alone)) throw quarantined(); // 1, 4
        return ending;
      } catch (error) {
        // After the first byte: the client is told that its answer was cut, whatever the cause.
        if (error instanceof Refusal && error.outcome === 'engine_died') died(job, alone);
        throw error;
      }
    },
    list: () =>
      registers.entries().flatMap(([name]) => {
        const mark = markOf(name);
        return mark && (mark.state === 'quarantined' || mark.state === 'key') ? [[name, mark]] : [];
      }),
    async release(name) {
      const mark = markOf(name);
      if (!mark) return false;
      put(name, { ...mark, state: 'cleared', deathsMs: [] });
      await registers.flush();
      return true;
    },
  };
}

function quarantined(): Refusal {
  return new Refusal(
    'quarantined',
    `this request ended the model's process twice, the second time alone, and is refused for ${quarantineMs / 60_000} minutes: change it, or ask an administrator`,
  );
}

function keyRefused(deaths: number, forMs: number): Refusal {
  return new Refusal(
    'key_isolated',
    `requests of this key ended the model's process ${deaths} times: it is refused for ${Math.ceil(forMs / 60_000)} more minutes`,
    { retryAfterS: Math.max(1, Math.ceil(forMs / 1_000)) },
  );
}

/** Of everybody who needs no key. */
function isShared({ owner }: Job): boolean {
  return owner.key === 'anyone';
}

function keyName(key: string, secret: string): string {
  return `key-${digestOf(key, secret)}`;
}

/** Says nothing to who has not the secret. */
function digestOf(text: string, secret: string): string {
  return createHmac('sha256', secret).update('poison').update(text).digest('base64url').slice(0, 22);
}

/** A request that means the same has the same name, whatever its bytes, its dialect and its seed. */
function fingerprint({ owner, model, generation }: Job, secret: string): string {
  const meant = JSON.stringify([owner.team, model, ordered(meaningOf(generation))]);
  return digestOf(meant, secret);
}

/** All but how the answer is written down, how long the model stays, and what a retry or a dialect's default changes. */
function meaningOf(generation: Generation): Partial<Generation> {
  const { dialect: _d, endpoint: _e, model: _m, stream: _s, includeUsage: _u, keepAliveMs: _k, ...meant } = generation;
  const { forgets: _f, ...prompt } = { forgets: true, ...meant.prompt };
  return { ...meant, prompt: prompt as Generation['prompt'], sampling: { ...meant.sampling, seed: null } };
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, ordered(value[key])]),
  );
}

/** @throws Error when it is no mark */
export function checkMark(value: unknown): void {
  const right =
    isObject(value) &&
    typeof value['untilMs'] === 'number' &&
    ['team', 'model', 'key', 'state'].every((name) => typeof value[name] === 'string') &&
    Array.isArray(value['deathsMs']);
  if (!right) throw new Error('it is no mark');
}

/** A mark is kept for a minute more than it holds, so that no gateway brings it back. */
export function isMarkKept(value: unknown, nowMs: number): boolean {
  return isObject(value) && Number(value['untilMs']) + 60_000 > nowMs;
}
