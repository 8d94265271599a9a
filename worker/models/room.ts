// Memory for a model that is to be loaded beside others: whether those could make room, and how it is opened then.
import { OutOfMemory } from '../engine/engine.ts';
import type { Engine } from '../engine/engine.ts';
import type { Candidate } from './victims.ts';

/** Whether the load failed for want of memory that these would free. */
export function couldFree(movable: readonly Candidate[], error: unknown): error is OutOfMemory {
  if (!(error instanceof OutOfMemory) || movable.length === 0) return false;
  return movable.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0) >= error.missingBytes;
}

/**
 * While others could go, a context is not cut short for them; where all of them would not be enough, it is.
 * @throws what `open` throws
 */
export async function openBeside(
  movable: () => readonly Candidate[],
  open: (whole: boolean) => Promise<Engine>,
): Promise<Engine> {
  if (movable().length === 0) return await open(false);
  try {
    return await open(true);
  } catch (error) {
    if (!(error instanceof OutOfMemory) || couldFree(movable(), error)) throw error;
    return await open(false);
  }
}
