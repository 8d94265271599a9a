// Who is next: usage with a half-life, and the lines ordered by it. Part of the twin of shared/ledger/lua/prelude.lua.
import { halfLifeMs } from '@berth/shared/ledger/ledger.ts';
import { commandsOf, type LedgerRecord, type Pool } from './pool.ts';

const eraHalfLivesMax = 500;
const eraHalfLivesBack = 60;
/** A millionth is left by then. */
const usageMemoryMs = 20 * halfLifeMs;
const usageEntriesMax = 10_000;
const forgottenMax = 4;

/** Of two names in one, the first is preceded by its length in bytes, so any character may be in either. */
const pair = (first: string, second: string): string => `${Buffer.byteLength(first)}:${first}${second}`;

function unpair(both: string): [string, string] {
  const colon = both.indexOf(':');
  const bytes = Buffer.from(both.slice(colon + 1));
  const length = Number(both.slice(0, colon));
  return [bytes.toString('utf8', 0, length), bytes.toString('utf8', length)];
}

const line = (cls: string, model: string, team: string): string => `k:${cls}${pair(model, team)}`;
const fifo = (cls: string, model: string, team: string, key: string): string =>
  `f:${cls}${pair(model, pair(team, key))}`;

/** The first ticket of a model's line, with what decides between models. */
interface Head {
  id: string;
  age: number;
  /** Class and team. */
  team: string;
  score: number;
  keyScore: number;
}

function less(it: Head, that: Head | undefined, by: 'score' | 'keyScore'): boolean {
  return that === undefined || it[by] < that[by] || (it[by] === that[by] && it.age < that.age);
}

export type Lines = ReturnType<typeof createLines>;

/** The lines of one pool. Times are milliseconds on the ledger's clock, usage is inflated slot-seconds. */
export function createLines(pool: Pool) {
  const redis = commandsOf(pool);
  let now = 0;

  /** 2^x in straight pieces: only exact operations, so Lua and TypeScript get the same bits. The bound is never near. */
  function inflate(time: number): number {
    const x = Math.max(-1000, Math.min(1000, (time - (pool.era ?? now)) / halfLifeMs));
    const whole = Math.floor(x);
    return 2 ** whole * (1 + x - whole);
  }

  const usage = (entry: string): number => pool.usage.get(entry) ?? 0;

  const weight = (team: string): number => pool.weights.get(team) ?? 1;

  /** Sets the key's place in the team's line, and the team's place among those that wait for the model. */
  function rank(cls: string, model: string, team: string, key: string): void {
    const keys = line(cls, model, team);
    const first = redis.at(fifo(cls, model, team, key), 0);
    if (first !== undefined) redis.add(keys, usage(`k${pair(team, key)}`) + inflate(first.score), key);
    else redis.remove(keys, key);
    const leader = redis.at(keys, 0);
    if (leader === undefined) {
      redis.remove(`q:${model}`, cls + team);
      redis.take(`tw:${team}`, cls + model);
      return;
    }
    const leaderAge = redis.at(fifo(cls, model, team, leader.member), 0)?.score ?? now;
    redis.add(`q:${model}`, ((usage(`t${team}`) + inflate(leaderAge)) / weight(team)) * 4 ** Number(cls), cls + team);
  }

  /** The same in every line that the team stands in, after its usage or the key's changed. */
  function rescore(team: string, key: string): void {
    for (const place of redis.members(`tw:${team}`)) rank(place.slice(0, 1), place.slice(1), team, key);
  }

  /** Who is first in the line of a model, if anybody is. */
  function headOf(model: string): Head[] {
    const first = redis.at(`q:${model}`, 0);
    if (first === undefined) return [];
    const [cls, team] = [first.member.slice(0, 1), first.member.slice(1)];
    const leader = redis.at(line(cls, model, team), 0);
    const ticket = redis.at(fifo(cls, model, team, leader?.member ?? ''), 0);
    if (leader === undefined || ticket === undefined) return [];
    return [{ id: ticket.member, age: ticket.score, team: first.member, score: first.score, keyScore: leader.score }];
  }

  function clear(entry: string): void {
    pool.usage.delete(entry);
    redis.remove('ua', entry);
  }

  function forget(entry: string): void {
    clear(entry);
    const name = entry.slice(1);
    const [team, key] = entry.startsWith('t') ? [name, ''] : unpair(name);
    rescore(team, key);
  }

  function spend(entry: string, amount: number): void {
    const total = usage(entry) + amount;
    if (total <= 0) return clear(entry);
    pool.usage.set(entry, total);
    redis.add('ua', now, entry);
    const oldest = redis.at('ua', 0);
    if (oldest !== undefined && redis.card('ua') > usageEntriesMax) forget(oldest.member);
  }

  return {
    /** The time of the operation that begins. */
    setTime(time: number): void {
      now = time;
    },

    inflate,

    /** The team's share from now on. Only one that is not 1 is written down. */
    weigh(team: string, w: number): void {
      if (w === weight(team)) return;
      if (w === 1) pool.weights.delete(team);
      else pool.weights.set(team, w);
      rescore(team, '');
    },

    /** Adds inflated slot-seconds to what team and key have used; a refund is negative. */
    charge(team: string, key: string, amount: number): void {
      if (amount === 0) return;
      spend(`t${team}`, amount);
      spend(`k${pair(team, key)}`, amount);
      rescore(team, key);
    },

    /**
     * Moves the era before the inflation outgrows a double; usage that is dust by then is dropped. A clock that went
     * back by an hour makes usage meaningless: it starts anew.
     */
    rebase(): void {
      const halfLives = (now - (pool.era ?? now)) / halfLifeMs;
      if (halfLives < eraHalfLivesMax && halfLives > -eraHalfLivesBack) return;
      const shift = Math.floor(halfLives);
      pool.era = (pool.era ?? now) + shift * halfLifeMs;
      for (const [entry, used] of pool.usage) {
        const left = halfLives > 0 ? used * 2 ** -shift : 0;
        if (left < 2 ** -20) clear(entry);
        else pool.usage.set(entry, left);
      }
      for (const id of redis.all('t')) {
        const r = pool.records.get(id);
        if (r !== undefined) rank(r.class, r.model, r.team, r.key);
      }
    },

    /** Puts a ticket behind the older ones of its key. */
    join(id: string, r: LedgerRecord): void {
      const name = pair(r.team, r.key);
      pool.waiting.set(name, (pool.waiting.get(name) ?? 0) + 1);
      redis.add(fifo(r.class, r.model, r.team, r.key), r.age, id);
      redis.put(`tw:${r.team}`, r.class + r.model);
      rank(r.class, r.model, r.team, r.key);
    },

    part(id: string, r: LedgerRecord): void {
      const name = pair(r.team, r.key);
      const left = (pool.waiting.get(name) ?? 0) - 1;
      if (left > 0) pool.waiting.set(name, left);
      else pool.waiting.delete(name);
      redis.remove(fifo(r.class, r.model, r.team, r.key), id);
      rank(r.class, r.model, r.team, r.key);
    },

    waitingOf: (team: string, key: string): number => pool.waiting.get(pair(team, key)) ?? 0,

    /** About how many are served before this ticket: fair order has no fixed rank. */
    place: (id: string, r: LedgerRecord): number =>
      (redis.rankOf(fifo(r.class, r.model, r.team, r.key), id) + 1) * redis.card(`q:${r.model}`),

    /**
     * The ticket whose turn it is among these models: one look per model. First the team with the least score, then,
     * over all models at whose head it is, its key with the least. A tie goes to the older.
     */
    best(serves: readonly string[]): string | undefined {
      const heads = serves.flatMap(headOf);
      const first = heads.reduce<Head | undefined>((least, it) => (less(it, least, 'score') ? it : least), undefined);
      const own = heads.filter(({ team }) => team === first?.team);
      return own.reduce((least, it) => (less(it, least, 'keyScore') ? it : least), first)?.id;
    },

    /** Forgets a few entries that were not charged for long. */
    forgetOld(): void {
      for (const entry of redis.below('ua', now - usageMemoryMs, forgottenMax)) forget(entry);
    },
  };
}
