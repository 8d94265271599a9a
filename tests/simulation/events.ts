// Virtual time: what is to happen, in the order of its time, each with all that it sets going before the next.

export interface Events {
  /** Milliseconds since the start. */
  readonly nowMs: number;
  /** Events that have happened. */
  readonly count: number;
  /** Plans an event; disposing the result cancels it. Events of one moment happen in the order of their planning. */
  after(delayMs: number, action: () => void): Disposable;
  /** Lets everything happen that is planned up to then, or until `enough` says so. */
  run(untilMs: number, enough?: () => boolean): Promise<void>;
}

interface Planned {
  atMs: number;
  order: number;
  action: (() => void) | null;
}

export function createEvents(): Events {
  const heap: Planned[] = [];
  let nowMs = 0;
  let order = 0;
  let count = 0;

  return {
    get nowMs() {
      return nowMs;
    },
    get count() {
      return count;
    },
    after(delayMs, action) {
      const planned: Planned = { atMs: nowMs + Math.max(0, delayMs), order: order++, action };
      push(heap, planned);
      return { [Symbol.dispose]: () => void (planned.action = null) };
    },
    async run(untilMs, enough = () => false) {
      await settled(); // what the caller has set going
      while ((heap[0]?.atMs ?? Infinity) <= untilMs && !enough()) {
        const { atMs, action } = pop(heap);
        if (action === null) continue;
        nowMs = atMs;
        count += 1;
        action();
        await settled();
      }
      if (!enough()) nowMs = Math.max(nowMs, untilMs);
    },
  };
}

/**
 * All promises that can settle have settled: a tick comes only after the last microtask. An immediate would do too, at
 * the price of a look for input and output after each event, of which there is none.
 */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

function before(left: Planned, right: Planned): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

/** A binary heap: the parent of `i` is at `(i - 1) / 2`, and never later than its children. */
function push(heap: Planned[], planned: Planned): void {
  let at = heap.push(planned) - 1;
  while (at > 0) {
    const parentAt = (at - 1) >> 1;
    const parent = heap[parentAt];
    if (parent === undefined || before(parent, planned)) break;
    heap[at] = parent;
    at = parentAt;
  }
  heap[at] = planned;
}

function pop(heap: Planned[]): Planned {
  const [first] = heap;
  const last = heap.pop();
  if (first === undefined || last === undefined) throw new Error('nothing is planned');
  if (heap.length > 0) sink(heap, last);
  return first;
}

function sink(heap: Planned[], planned: Planned): void {
  let at = 0;
  for (;;) {
    const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
    if (left === undefined) break;
    const rightIsFirst = right !== undefined && before(right, left);
    const child = rightIsFirst ? right : left;
    if (before(planned, child)) break;
    heap[at] = child;
    at = 2 * at + (rightIsFirst ? 2 : 1);
  }
  heap[at] = planned;
}
