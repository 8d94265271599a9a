// What to do next so that the models that requests wait for get loaded. Pure: states in, one step out.

export interface ResidentState {
  name: string;
  phase: 'loading' | 'ready' | 'closing';
  /** Requests that use it now. */
  users: number;
  lastUsedMs: number;
  /** It takes no new requests, so that it becomes idle and can make room. */
  withdrawn: boolean;
  /** It never goes for another model. */
  pinned?: boolean;
  /** It was loaded by order, and those who waited for it have not come yet. */
  fresh: boolean;
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
 * 4. A model was told to go: unload it when it is idle, until then it is withdrawn. A busy one is never evicted
 *    (invariant I7).
 * 5. An idle model: unload the one unused for longest. One that nobody has had yet is kept for a while: else two that
 *    are waited for would drive each other out before anybody gets one.
 * 6. One is withdrawn already: wait for it.
 * 7. Withdraw the one with the fewest requests, of these the one unused for longest: without this barrier a steady
 *    stream of requests for loaded models would keep the cold one out for ever (Ollama's does: peers.md §3.2).
 */
export function nextStep(
  residents: readonly ResidentState[],
  wanted: readonly string[],
  loadedMax: number,
  victim = '',
): Step {
  const [first] = wanted;
  if (residents.some(({ phase }) => phase !== 'ready')) return { kind: 'none' }; // 1
  if (first === undefined) return { kind: 'none' }; // 2
  if (residents.length < loadedMax) return { kind: 'load', name: first }; // 3
  const free = residents.filter(({ pinned }) => pinned !== true); // 0
  const told = free.find(({ name }) => name === victim);
  if (told?.users === 0) return { kind: 'unload', name: victim }; // 4
  if (told !== undefined) return told.withdrawn ? { kind: 'none' } : { kind: 'withdraw', name: victim }; // 4
  const settled = free.filter(({ fresh }) => !fresh); // 5
  const [idle] = settled.filter(({ users }) => users === 0).toSorted(byLastUse);
  if (idle !== undefined) return { kind: 'unload', name: idle.name }; // 5
  if (residents.some(({ withdrawn }) => withdrawn)) return { kind: 'none' }; // 6
  const [least] = settled.toSorted((a, b) => a.users - b.users || byLastUse(a, b));
  return least === undefined ? { kind: 'none' } : { kind: 'withdraw', name: least.name }; // 7
}

function byLastUse(a: ResidentState, b: ResidentState): number {
  return a.lastUsedMs - b.lastUsedMs;
}
