// Chance as an argument: ids, seeds and jitter come from here, so that a test can replay them.
import { randomBytes } from 'node:crypto';

export interface Random {
  /** A fresh opaque id of 16 lowercase hex characters. */
  id(): string;
  /** An integer from 0 up to and without `below` (at most 2^32). */
  integer(below: number): number;
}

/** The operating system's randomness. Made in `main` only. */
export const systemRandom: Random = {
  id: () => randomBytes(8).toString('hex'),
  integer: (below) => Math.floor((randomBytes(4).readUInt32LE() / 2 ** 32) * below),
};
