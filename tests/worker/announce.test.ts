// When a worker beats, and what it does when the ledger is away or calls it stale.
import { describe, expect, it } from 'vitest';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { Beat, BeatReply, Order } from '@berth/shared/ledger/ledger.ts';
import type { Log } from '@berth/shared/log.ts';
import { createAnnouncer } from '../../worker/announce.ts';
import type { Announcer } from '../../worker/announce.ts';
import { virtualClock } from '../doubles/clock.ts';
import type { VirtualClock } from '../doubles/clock.ts';

interface Bench {
  announcer: Announcer;
  clock: VirtualClock;
  beats: Beat[];
  /** What the ledger does with the next beats; `null` = takes them. */
  answer: { with: (() => Promise<BeatReply>) | null };
  stale: string[];
  said: string[];
  /** What it was ordered, after each beat. */
  orders: (Order | null)[];
}

function bench(): Bench {
  const clock = virtualClock();
  const beats: Beat[] = [];
  const stale: string[] = [];
  const said: string[] = [];
  const orders: (Order | null)[] = [];
  const answer: Bench['answer'] = { with: null };
  const log: Log = {
    debug: () => undefined,
    info: (m) => said.push(m),
    warn: (m) => said.push(m),
    error: (m) => said.push(m),
  };
  const announcer = createAnnouncer({
    ledger: {
      beat: async (beat) => {
        beats.push(beat);
        return answer.with === null ? { kind: 'ok', added: 0, dropped: 0, order: null } : answer.with();
      },
    },
    now: () => ({ worker: 'w', epoch: 'e', capacity: 4, weight: 1, serves: [], running: [], announcement: '{}' }),
    clock,
    log,
    onOrder: (order) => orders.push(order),
    onStale: (epoch) => stale.push(epoch),
  });
  return { announcer, clock, beats, answer, stale, said, orders };
}

describe('beats', () => {
  it('come each second, and only the first is of a boot', async () => {
    const { announcer, clock, beats } = bench();
    await announcer.start();
    await clock.advance(3_000);
    expect(beats.map(({ boot }) => boot)).toEqual([true, false, false, false]);
  });

  it('say boot until the ledger has taken one', async () => {
    const { announcer, clock, beats, answer } = bench();
    answer.with = async () => Promise.reject(new LedgerUnavailable('away'));
    await announcer.start();
    await clock.advance(1_000);
    answer.with = null;
    await clock.advance(2_000);
    expect(beats.map(({ boot }) => boot)).toEqual([true, true, true, false]);
  });

  it('come at once on a change, and a storm of changes is one beat per 50 ms', async () => {
    const { announcer, clock, beats } = bench();
    await announcer.start();
    await clock.advance(500);
    announcer.soon();
    await clock.advance(0);
    expect(beats).toHaveLength(2);
    for (let change = 0; change < 200; change += 1) {
      announcer.soon();
      await clock.advance(1);
    }
    expect(beats.length).toBeGreaterThanOrEqual(5);
    expect(beats.length).toBeLessThanOrEqual(6);
    const before = beats.length;
    await clock.advance(2_000);
    expect(beats.length - before).toBeLessThanOrEqual(3);
  });

  it('are never two at a time: a change during one is told by the next', async () => {
    const { announcer, clock, beats, answer } = bench();
    await announcer.start();
    const slow = Promise.withResolvers<BeatReply>();
    answer.with = () => slow.promise;
    await clock.advance(1_000);
    announcer.soon();
    await clock.advance(5_000);
    expect(beats).toHaveLength(2);
    answer.with = null;
    slow.resolve({ kind: 'ok', added: 0, dropped: 0, order: null });
    await clock.advance(50);
    expect(beats).toHaveLength(3);
  });

  it('say once that the ledger is away and once that it is back', async () => {
    const { announcer, clock, answer, said } = bench();
    await announcer.start();
    answer.with = async () => Promise.reject(new LedgerUnavailable('connection refused'));
    await clock.advance(5_000);
    answer.with = null;
    await clock.advance(5_000);
    expect(said).toEqual([expect.stringMatching('does not answer'), expect.stringMatching('answers again')]);
  });

  it('end with a last one, twice when the first got no answer, and none comes after it', async () => {
    const { announcer, clock, beats, answer } = bench();
    await announcer.start();
    answer.with = async () => Promise.reject(new LedgerUnavailable('away'));
    await announcer.last();
    await clock.advance(5_000);
    announcer.soon();
    await clock.advance(5_000);
    expect(beats.map(({ last }) => last)).toEqual([false, true, true]);
  });

  it('wait for the one on its way before the last one', async () => {
    const { announcer, clock, beats, answer } = bench();
    await announcer.start();
    const slow = Promise.withResolvers<BeatReply>();
    answer.with = () => slow.promise;
    await clock.advance(1_000);
    answer.with = null;
    const last = announcer.last();
    await clock.advance(100);
    expect(beats.map(({ last }) => last)).toEqual([false, false]);
    slow.resolve({ kind: 'ok', added: 0, dropped: 0, order: null });
    await last;
    expect(beats.map(({ last }) => last)).toEqual([false, false, true]);
  });

  it('that are stale end this life', async () => {
    const { announcer, clock, answer, stale } = bench();
    await announcer.start();
    answer.with = async () => ({ kind: 'stale', epoch: 'other' });
    await clock.advance(1_000);
    expect(stale).toEqual(['other']);
  });
});
