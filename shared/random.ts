// Chance as an argument: ids, seeds and jitter come from here, so that a test can replay them.
import { randomFillSync } from 'node:crypto';

export interface Random {
  /** A fresh opaque id of 16 lowercase hex characters. */
  id(): string;
  /** An integer from 0 up to and without `below` (at most 2^32). */
  integer(below: number): number;
}

/** The operating system's randomness. Made in `main` only. */
export const systemRandom: Random = drawnAhead(4_096);

/** Random bytes are drawn so many at a time: asking for each id alone was 2.6 % of the cost of a request (measured). */
function drawnAhead(bytes: number): Random {
  const drawn = Buffer.alloc(bytes);
  let used = drawn.length;
  /** Index in `drawn` of as many fresh bytes. */
  const draw = (count: number): number => {
    if (used + count > drawn.length) {
      randomFillSync(drawn);
      used = 0;
    }
    used += count;
    return used - count;
  };
  return {
    id() {
      const at = draw(8);
      return drawn.toString('hex', at, at + 8);
    },
    integer: (below) => Math.floor((drawn.readUInt32LE(draw(4)) / 2 ** 32) * below),
  };
}
