// Which beginnings of prompts a worker tells of.
import { describe, expect, it } from 'vitest';
import { unpackHashes } from '@berth/shared/prefix.ts';
import { createPrefixes } from '../../worker/prefixes.ts';

const at = (...hashes: number[]) => hashes.map((hash, turn) => ({ hash, chars: (turn + 1) * 100, number: turn + 1 }));

describe('what a worker has cached', () => {
  it('is what came last, as many prompts as it has sequences', () => {
    const prefixes = createPrefixes({ slots: 2, keepsFiles: false });
    for (const hash of [1, 2, 3]) prefixes.began('m', at(hash), 0);
    expect(unpackHashes(prefixes.list())).toEqual([3, 2]);
  });

  it('is one prompt for the turns of one conversation', () => {
    const prefixes = createPrefixes({ slots: 2, keepsFiles: false });
    prefixes.began('m', at(9), 0);
    prefixes.began('m', at(1, 2), 0);
    prefixes.began('m', at(1, 2, 3, 4), 50);
    expect(unpackHashes(prefixes.list())).toEqual([4, 9, 2, 1]);
  });

  it('is forgotten when the engine does not find it any more', () => {
    const prefixes = createPrefixes({ slots: 4, keepsFiles: true });
    prefixes.began('m', at(1, 2), 0);
    prefixes.began('m', at(1, 3), 0);
    expect(unpackHashes(prefixes.list())).toEqual([3, 1]);
  });

  it('goes with the engine, unless prompts are kept in files', () => {
    for (const keepsFiles of [false, true]) {
      const prefixes = createPrefixes({ slots: 2, keepsFiles });
      prefixes.began('m', at(1), 0);
      prefixes.began('n', at(2), 0);
      prefixes.gone('m');
      expect(unpackHashes(prefixes.list())).toEqual(keepsFiles ? [1, 2] : [2]);
    }
  });

  it('is told of with a bound, the newest first', () => {
    const prefixes = createPrefixes({ slots: 2_000, keepsFiles: false });
    for (let hash = 0; hash < 2_000; hash += 1) prefixes.began('m', at(hash), 0);
    expect([unpackHashes(prefixes.list()).length, unpackHashes(prefixes.list())[0]]).toEqual([1_536, 1_999]);
  });
});
