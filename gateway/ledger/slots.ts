// Who holds which slot: leases, hand-off, burial. Part of the twin of shared/ledger/lua/prelude.lua.
import { sessionMs, type HandOff } from '@berth/shared/ledger/ledger.ts';
import type { Lines } from './lines.ts';
import type { Orders } from './orders.ts';
import { commandsOf, countIn, type LedgerRecord, type Pool } from './pool.ts';

const goneMax = 256;
const looksMax = 64;
const passedOverMax = 8;
const reapedMax = 2;

/**
 * The slots of one pool.
 * @param publish tells a gateway of a grant; answers how many listened
 */
export function createSlots(
  pool: Pool,
  lines: Lines,
  orders: Orders,
  publish: (gateway: string, handOff: HandOff) => number,
) {
  const redis = commandsOf(pool);
  const { records, workers } = pool;
  let now = 0;

  /** Sets the worker's place among the free ones of each model that it serves. Returns its free slots, 0 when parked. */
  function reindex(w: string): number {
    const worker = workers.get(w);
    if (worker === undefined) return 0;
    const used = redis.card(`l:${w}`);
    const free = worker.parked ? 0 : Math.max(0, worker.capacity - used);
    for (const model of worker.serves) {
      if (free > 0) redis.add(`i:${model}`, used / (worker.capacity * worker.weight), w);
      else redis.remove(`i:${model}`, w);
    }
    return free;
  }

  /** The one place where a slot is given. The caller reindexes. Returns the epoch. */
  function give(id: string, r: LedgerRecord, w: string): string {
    const epoch = workers.get(w)?.epoch ?? '';
    redis.add(`l:${w}`, now, id);
    records.set(id, { ...r, state: 'held', worker: w, epoch, since: now });
    lines.charge(r.team, r.key, r.cost * lines.inflate(now));
    return epoch;
  }

  /** Puts a ticket into its line by its age, and opens its gateway's session: without one it would never be reaped. */
  function enqueue(id: string, r: LedgerRecord): void {
    records.set(id, r);
    if (redis.score('g', r.gateway) === undefined) redis.add('g', now + sessionMs, r.gateway);
    redis.put(`gt:${r.gateway}`, id);
    redis.add('t', r.age, id);
    lines.join(id, r);
  }

  /** Takes a ticket out of its line; its record stays for the caller to change or to delete. */
  function dequeue(id: string, r: LedgerRecord): void {
    redis.take(`gt:${r.gateway}`, id);
    redis.remove('t', id);
    lines.part(id, r);
  }

  function withdraw(id: string): void {
    const r = records.get(id);
    if (r === undefined) return;
    dequeue(id, r);
    records.delete(id);
  }

  /**
   * Fills the worker's free slots with the waiters whose turn it is. No ear, no grant: where nobody listens the
   * ticket is forgotten, and its owner, if it lives, asks within a second and comes back with its age.
   */
  function handoff(w: string): void {
    const free = reindex(w);
    const { epoch = '', serves = [] } = workers.get(w) ?? {};
    const aside: [string, LedgerRecord][] = [];
    let given = 0;
    for (let looks = 0; given < free && looks < looksMax && aside.length <= passedOverMax; looks++) {
      const id = lines.best(serves);
      const r = id === undefined ? undefined : records.get(id);
      if (id === undefined || r === undefined) break;
      dequeue(id, r);
      if (r.exclude.includes(w)) {
        aside.push([id, r]);
      } else if (publish(r.gateway, { id, worker: w, epoch, atMs: now }) > 0) {
        give(id, r, w);
        given++;
      } else {
        records.delete(id);
        countIn(pool, 'tickets_unheard', 1);
      }
    }
    for (const [id, r] of aside) enqueue(id, r);
    if (given > 0) reindex(w);
  }

  /** A lease ends, once; `actual` slot-seconds settle what was charged, at the inflation of the charge. */
  function drop(id: string, r: LedgerRecord, actual: number | null): void {
    redis.remove(`l:${r.worker}`, id);
    records.delete(id);
    if (actual !== null) lines.charge(r.team, r.key, (actual - r.cost) * lines.inflate(r.since));
  }

  /** A worker's life is over: its leases are void. The roster remembers for a while that it went. */
  function bury(w: string, why: 'dead_worker' | 'new_epoch' | 'worker_left'): void {
    const leases = redis.all(`l:${w}`);
    for (const id of leases) {
      records.delete(id);
      redis.remove(`l:${w}`, id);
    }
    countIn(pool, `leases_${why}`, leases.length);
    orders.serve(w, []);
    orders.voidOrder(w);
    workers.delete(w);
    redis.remove('s', w);
    redis.remove('ro', w);
    redis.add('rg', ++pool.version, w);
    const oldest = redis.at('rg', 0);
    if (oldest === undefined || redis.card('rg') <= goneMax) return;
    redis.remove('rg', oldest.member);
    pool.kept = oldest.score;
  }

  /** Whoever calls buries a few of the dead and forgets a few old debts: nothing relies on a timer. */
  function reap(): void {
    for (const w of redis.below('s', now, reapedMax)) bury(w, 'dead_worker');
    for (const gateway of redis.below('g', now, reapedMax)) {
      const tickets = redis.members(`gt:${gateway}`);
      for (const id of tickets) withdraw(id);
      countIn(pool, 'tickets_dead_session', tickets.length);
      redis.remove('g', gateway);
    }
    for (const w of redis.below('o', now, reapedMax)) orders.voidOrder(w);
    lines.forgetOld();
  }

  return {
    /** The time of the operation that begins. */
    setTime(time: number): void {
      now = time;
    },
    reindex,
    give,
    enqueue,
    dequeue,
    withdraw,
    handoff,
    drop,
    bury,
    reap,
  };
}
