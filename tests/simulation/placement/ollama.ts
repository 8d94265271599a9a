// The other way to run a team's boxes: Ollama on each, by its own rules, and a round robin in front.
// Rules: github.com/ollama/ollama at fb307609 (2026-08-21), server/sched.go, routes.go; as in its documentation's defaults.
import type { Events } from '../events.ts';
import { createBox, measured, type Box } from './engine.ts';
import type { Ran } from './ran.ts';
import type { Ask } from './traces.ts';

interface Runner {
  model: string;
  /** It is being loaded; requests that came with it wait. */
  loading: boolean;
  /** Its time is over: it goes when it is idle. */
  expired: boolean;
  users: number;
  waiting: Ask[];
  expiry: Disposable | null;
}

interface Options {
  boxes: number;
  loadedMax: number;
  /** Slots of each loaded model: OLLAMA_NUM_PARALLEL. */
  parallel: number;
}

const keepAliveMs = 300_000;

/**
 * 1. A request for a loaded model goes to its runner, also while that is to be unloaded, and waits there for a slot.
 * 2. Every other one goes to the pending queue, which one loop takes in order: a load ends before the next is looked at.
 * 3. With as many models loaded as may be: of those with the shortest keep-alive (here all have the same) the first by
 *    name that is idle goes; is none idle, the first by name is marked, and the loop waits until it has drained.
 * 4. A model that nobody has used for its keep-alive goes. Unloading takes no time here, which favours this side.
 */
export function runOllama(events: Events, asks: readonly Ask[], options: Options, ran: Ran): void {
  const boxes = Array.from({ length: options.boxes }, () => createOllama(events, options, ran));
  asks.forEach((ask, at) => void events.after(ask.atMs, () => boxes[at % boxes.length]?.(ask)));
}

function createOllama(events: Events, { loadedMax, parallel }: Options, ran: Ran): (ask: Ask) => void {
  const box: Box = createBox(events);
  const runners = new Map<string, Runner>();
  const pending: Ask[] = [];
  let busy = false;

  const serve = (runner: Runner): void => {
    while (!runner.loading && runner.users < parallel) {
      const ask = runner.waiting.shift();
      if (ask === undefined) break;
      runner.users += 1;
      ran.started(ask);
      box.run(ask, 0, () => {
        runner.users -= 1;
        ran.ended(ask);
        serve(runner);
        if (runner.users === 0) rest(runner);
      });
    }
  };
  const rest = (runner: Runner): void => {
    if (runner.expired) return unload(runner);
    runner.expiry = events.after(keepAliveMs, () => unload(runner)); // 4
  };
  const unload = (runner: Runner): void => {
    runner.expiry?.[Symbol.dispose]();
    runners.delete(runner.model);
    if (busy) return;
    loop();
  };
  const join = (runner: Runner, ask: Ask): void => {
    runner.expiry?.[Symbol.dispose]();
    runner.waiting.push(ask);
    serve(runner);
  };
  /** Takes the next pending request, unless the one before it is not done. */
  const loop = (): void => {
    const [ask] = pending;
    if (ask === undefined || busy) return;
    const there = runners.get(ask.model);
    if (there !== undefined) {
      pending.shift();
      join(there, ask);
      return loop();
    }
    if (runners.size >= loadedMax) {
      const byName = [...runners.values()].toSorted((a, b) => (a.model < b.model ? -1 : 1));
      const idle = byName.find(({ users, waiting }) => users === 0 && waiting.length === 0); // 3
      const victim = idle ?? byName[0];
      if (victim === undefined) return;
      victim.expired = true;
      // The end of the one that drains calls the loop again.
      return idle === undefined ? undefined : unload(idle);
    }
    pending.shift();
    const runner: Runner = { model: ask.model, loading: true, expired: false, users: 0, waiting: [ask], expiry: null };
    runners.set(ask.model, runner);
    busy = true; // 2
    ran.loaded(ask.model);
    events.after(measured.loadMs, () => {
      busy = false;
      runner.loading = false;
      serve(runner);
      loop();
    });
  };
  return (ask) => {
    const runner = runners.get(ask.model);
    if (runner !== undefined) return join(runner, ask); // 1
    pending.push(ask);
    loop();
  };
}
