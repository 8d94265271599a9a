// How the dialects' tests look at a refusal.
import { Refusal } from '@berth/shared/outcome.ts';

/** The Refusal that `action` throws. Anything else it throws, or nothing, fails the test. */
export function refused(action: () => unknown): Refusal {
  try {
    action();
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}
