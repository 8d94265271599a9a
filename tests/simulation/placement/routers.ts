// What is put in front of engines elsewhere: round robin, and least requests. Each box has a queue of its own.
import type { Events } from '../events.ts';
import { createBox } from './engine.ts';
import { createCache } from './cache.ts';
import type { Ran } from './ran.ts';
import type { Ask } from './traces.ts';

interface Options {
  boxes: number;
  slots: number;
  files: number;
  choice: 'round robin' | 'least requests';
}

export interface Routed {
  busyS(): number[];
  knownTokens(): number;
}

/** Every box has the model loaded; only the way to a box differs from Berth's. */
export function runRouter(
  events: Events,
  asks: readonly Ask[],
  { boxes, slots, files, choice }: Options,
  ran: Ran,
): Routed {
  const all = Array.from({ length: boxes }, () => ({
    box: createBox(events),
    cache: createCache({ slots, files }),
    users: 0,
    queue: [] as Ask[],
  }));
  let knownTokens = 0;
  const serve = (home: (typeof all)[number]): void => {
    while (home.users < slots) {
      const ask = home.queue.shift();
      if (ask === undefined) return;
      home.users += 1;
      const begun = home.cache.take(ask);
      knownTokens += begun.knownTokens;
      ran.started(ask);
      home.box.run(ask, begun.knownTokens, () => {
        begun.done();
        home.users -= 1;
        ran.ended(ask);
        serve(home);
      });
    }
  };
  asks.forEach((ask, at) => {
    events.after(ask.atMs, () => {
      const load = (home: (typeof all)[number]) => home.users + home.queue.length;
      const home = choice === 'round robin' ? all[at % boxes] : all.toSorted((a, b) => load(a) - load(b))[0];
      home?.queue.push(ask);
      if (home) serve(home);
    });
  });
  return { busyS: () => all.map(({ box }) => box.busyS), knownTokens: () => knownTokens };
}
