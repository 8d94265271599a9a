// Who knows every request beforehand: the places of the models chosen for the whole trace, all loaded before it begins.
import type { Events } from '../events.ts';
import { createBox } from './engine.ts';
import { measured } from './engine.ts';
import type { Ran } from './ran.ts';
import type { Ask } from './traces.ts';

interface Options {
  boxes: number;
  loadedMax: number;
  slots: number;
}

/**
 * Each model has as many copies as its share of the work asks for, at least one, in the places that there are; the copies
 * are laid out so that the boxes have about equal work; a request goes to the box that has its model and will be free
 * first. Loads cost no wait, because they are known beforehand. No policy that learns of requests as they come can load
 * less, and hardly any can wait less.
 */
export function runClairvoyant(
  events: Events,
  asks: readonly Ask[],
  { boxes, loadedMax, slots }: Options,
  ran: Ran,
): void {
  const work = new Map<string, number>();
  for (const ask of asks) work.set(ask.model, (work.get(ask.model) ?? 0) + costOf(ask));
  const copies = new Map([...work.keys()].map((model) => [model, 1]));
  const share = (model: string) => (work.get(model) ?? 0) / (copies.get(model) ?? 1);
  for (let left = boxes * loadedMax - copies.size; left > 0; left -= 1) {
    const [most] = [...copies].filter(([, count]) => count < boxes).toSorted(([a], [b]) => share(b) - share(a));
    if (most === undefined) break;
    copies.set(most[0], most[1] + 1);
  }
  const all = Array.from({ length: boxes }, () => ({
    box: createBox(events),
    models: new Set<string>(),
    planned: 0,
    users: 0,
    queue: [] as Ask[],
  }));
  const single = [...copies].flatMap(([model, count]) => Array.from({ length: count }, () => model));
  for (const model of single.toSorted((a, b) => share(b) - share(a))) {
    const [home] = all
      .filter(({ models }) => models.size < loadedMax && !models.has(model))
      .toSorted((a, b) => a.planned - b.planned);
    if (home === undefined) continue;
    home.models.add(model);
    home.planned += share(model);
    ran.loaded(model);
  }

  const serve = (home: (typeof all)[number]): void => {
    while (home.users < slots) {
      const ask = home.queue.shift();
      if (ask === undefined) return;
      home.users += 1;
      ran.started(ask);
      home.box.run(ask, 0, () => {
        home.users -= 1;
        ran.ended(ask);
        serve(home);
      });
    }
  };
  for (const ask of asks) {
    events.after(ask.atMs, () => {
      const [home] = all
        .filter(({ models }) => models.has(ask.model))
        .toSorted((a, b) => a.users + a.queue.length - (b.users + b.queue.length));
      home?.queue.push(ask);
      if (home) serve(home);
    });
  }
}

function costOf({ promptTokens, outputTokens }: Ask): number {
  return promptTokens / measured.prefillPerS + outputTokens / measured.decodePerS;
}
