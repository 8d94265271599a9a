// Who has cached what, as workers announce it and as this gateway has sent it.
import { describe, expect, it } from 'vitest';
import { packHashes } from '@berth/shared/prefix.ts';
import { createHolders } from '../../../gateway/workers/holders.ts';
import { virtualClock } from '../../doubles/clock.ts';

const at = (hash: number) => [{ hash, chars: 100, number: 1 }];

describe('the holders of a prompt', () => {
  it('are those who announce it, until they announce it no more or go', () => {
    const holders = createHolders(virtualClock());
    holders.announced('a', packHashes([1, 2]));
    holders.announced('b', packHashes([2, 3]));
    expect([1, 2, 3, 4].map((hash) => holders.of(hash))).toEqual([['a'], ['a', 'b'], ['b'], []]);
    holders.announced('a', packHashes([2]));
    holders.announced('b', packHashes([]));
    expect([1, 2, 3].map((hash) => holders.of(hash))).toEqual([[], ['a'], []]);
  });

  it('are also where this gateway has just sent one, before that is announced', async () => {
    const clock = virtualClock();
    const holders = createHolders(clock);
    holders.announced('b', packHashes([7]));
    holders.sent('a', at(7));
    expect(holders.of(7)).toEqual(['b', 'a']);
    holders.announced('a', packHashes([7]));
    expect(holders.of(7)).toEqual(['b', 'a']);
    holders.announced('a', packHashes([]));
    await clock.advance(30 * 60_000 + 1);
    expect(holders.of(7)).toEqual(['b']);
  });

  it('are remembered of a bounded number of requests', () => {
    const holders = createHolders(virtualClock());
    for (let hash = 0; hash < 70_000; hash += 1) holders.sent('a', at(hash));
    expect([holders.of(0), holders.of(69_999)]).toEqual([[], ['a']]);
  });
});
