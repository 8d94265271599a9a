// What to do next so that the models that requests wait for get loaded. Pure: states in, one step out.
import { victimsAmong } from './victims.ts';
import type { Candidate } from './victims.ts';

export interface ResidentState extends Candidate {
  phase: 'loading' | 'ready' | 'closing';
  /** Requests that use it now. */
  users: number;
  /** It takes no new requests, so that it becomes idle and can make room. */
  withdrawn: boolean;
  /** It was loaded by order, and those who waited for it have not come yet. */
  fresh: boolean;
  /** It never goes for another model. */
  pinned: boolean;
}

export type Step =
  | { kind: 'none' }
  | { kind: 'load'; name: string }
  | { kind: 'unload'; name: string }
  | { kind: 'withdraw'; name: string };

/**
 * 0. A pinned model is as if it were not there when room is made.
 * 1. While a model loads or unloads, nothing else starts: memory is counted when the last change is done.
 * 2. Nobody waits: nothing.
 * 3. Room: load the model that was wanted first.
 * 4. A model was told to go: unload it when it is idle, until then it is withdrawn. A busy or pinned one is never
 *    evicted (invariant I7).
 * 5. Idle models that free enough: unload the first of them (`victims.ts`). One that nobody has had yet is kept for a
 *    while: else two that are waited for would drive each other out before anybody gets one.
 * 6. One is withdrawn already: wait for it.
 * 7. Withdraw the one with the fewest requests, of these the one that is worth least: without this barrier a steady
 *    stream of requests for loaded models would keep the cold one out for ever (Ollama's does: peers.md §3.2).
 * 8. Nothing can go. For want of memory it is tried all the same: what does not fit then says so with its numbers.
 *
 * @param lackingBytes memory that the first one wanted did not find when it was tried; 0 = it was not tried, or has room
 */
export function nextStep(
  residents: readonly ResidentState[],
  wanted: readonly string[],
  loadedMax: number,
  victim = '',
  lackingBytes = 0,
): Step {
  const [first] = wanted;
  if (residents.some(({ phase }) => phase !== 'ready')) return { kind: 'none' }; // 1
  if (first === undefined) return { kind: 'none' }; // 2
  if (residents.length < loadedMax && lackingBytes <= 0) return { kind: 'load', name: first }; // 3
  const movable = residents.filter(({ pinned }) => !pinned); // 0
  const told = movable.find(({ name }) => name === victim);
  if (told?.users === 0) return { kind: 'unload', name: victim }; // 4
  if (told !== undefined) return told.withdrawn ? { kind: 'none' } : { kind: 'withdraw', name: victim }; // 4
  const settled = movable.filter(({ fresh }) => !fresh); // 5
  const [idle] =
    victimsAmong(
      settled.filter(({ users }) => users === 0),
      lackingBytes,
    ) ?? [];
  if (idle !== undefined) return { kind: 'unload', name: idle.name }; // 5
  if (residents.some(({ withdrawn }) => withdrawn)) return { kind: 'none' }; // 6
  const [least] = settled.filter(({ users }) => users > 0).toSorted((a, b) => a.users - b.users || byWorth(a, b));
  if (least !== undefined) return { kind: 'withdraw', name: least.name }; // 7
  const mayTry = movable.length === settled.length && residents.length < loadedMax;
  return mayTry ? { kind: 'load', name: first } : { kind: 'none' }; // 8
}

function byWorth(a: ResidentState, b: ResidentState): number {
  return a.worthMs - b.worthMs || a.lastUsedMs - b.lastUsedMs;
}

/** Where every place is taken by a pinned model, waiting for one would be in vain. */
export function outByPins(residents: readonly ResidentState[], loadedMax: number): { reason: string } | null {
  if (residents.length < loadedMax || !residents.every(({ pinned }) => pinned)) return null;
  const names = residents.map(({ name }) => name).join(', ');
  return { reason: `its place is taken by what is pinned (${names}): unpin a model or raise MAX_LOADED_MODELS` };
}
