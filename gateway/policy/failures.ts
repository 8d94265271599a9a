// Wrong keys from one address: a few are answered, then none is looked at for a moment.
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { sendsKey } from '../keys.ts';
import type { Authenticate } from '../keys.ts';

/** So many wrong keys at once from an address, and so many a second after that. */
const burst = 30;
const perSecond = 1;
/** Addresses of which something is remembered; the oldest goes first. */
const addressesMax = 10_000;

interface State {
  left: number;
  atMs: number;
  /** Ids of keys that were right here before. */
  right: Set<string>;
}

/**
 * 1. A wrong key costs its address one of its tries.
 * 2. Without tries, wrong keys are told to wait, and a key of the settings that was not right here before waits too:
 *    such a key was thought of by a person, who may be guessed. The keys that we make cannot be, and always come in.
 * 3. Who sends no key at all guesses nothing.
 */
export function limitFailures(next: Authenticate, clock: Clock): Authenticate {
  const states = new Map<string, State>();

  const stateOf = (address: string): State => {
    const nowMs = clock.monotonic();
    const state = states.get(address) ?? { left: burst, atMs: nowMs, right: new Set() };
    state.left = Math.min(burst, state.left + ((nowMs - state.atMs) / 1_000) * perSecond);
    state.atMs = nowMs;
    return state;
  };
  const remember = (address: string, state: State): void => {
    states.delete(address);
    states.set(address, state);
    const [oldest] = states.keys();
    if (states.size > addressesMax && oldest !== undefined) states.delete(oldest);
  };

  return (headers, address, came) => {
    const from = address ?? came?.peer ?? '';
    if (!sendsKey(headers)) return next(headers, address, came); // 3
    const state = stateOf(from);
    try {
      const caller = next(headers, address, came);
      const guessable = isOfSettings(caller.id) && !state.right.has(caller.id);
      if (!guessable) return caller;
      if (state.left < 1) throw tooMany(state.left); // 2
      state.right.add(caller.id);
      remember(from, state);
      return caller;
    } catch (error) {
      if (!(error instanceof Refusal) || error.outcome !== 'unauthorized') throw error;
      if (state.left < 1) throw tooMany(state.left); // 2
      state.left -= 1; // 1
      remember(from, state);
      throw error;
    }
  };
}

/** Keys that we make have longer ids. */
function isOfSettings(id: string): boolean {
  return /^[0-9a-f]{8}$/.test(id);
}

function tooMany(left: number): Refusal {
  return new Refusal('rate_limited', 'too many wrong keys came from this address: try again in a moment', {
    retryAfterS: (1 - left) / perSecond,
  });
}
