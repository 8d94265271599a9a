// The scenes of the simulation: many models on few boxes, conversations over workers; each policy on the same requests.
import { createEvents } from '../events.ts';
import { runBerth } from './berth.ts';
import type { BerthOptions } from './berth.ts';
import { runClairvoyant } from './clairvoyant.ts';
import { runOllama } from './ollama.ts';
import { createRan } from './ran.ts';
import type { Figures } from './ran.ts';
import { runRouter } from './routers.ts';
import { reusableOf } from './traces.ts';
import type { Ask } from './traces.ts';

export const sixModels = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}:latest`);
const boxes = { workers: 4, loadedMax: 2, slots: 8 };
/** What still runs or waits when the last request has come has so long to end. */
const restMs = 900_000;

export type Policy = 'Berth' | 'Ollama, round robin' | 'clairvoyant';

/** Six models, four boxes with room for two. */
export async function manyModels(
  policy: Policy,
  asks: readonly Ask[],
  change: Partial<BerthOptions> = {},
): Promise<Figures> {
  const events = createEvents();
  const ran = createRan(events, asks);
  const { workers, loadedMax, slots } = boxes;
  if (policy === 'Berth')
    await runBerth(events, asks, { ...boxes, models: sixModels, files: null, seed: 1, ...change }, ran);
  if (policy === 'Ollama, round robin') runOllama(events, asks, { boxes: workers, loadedMax, parallel: slots }, ran);
  if (policy === 'clairvoyant') runClairvoyant(events, asks, { boxes: workers, loadedMax, slots }, ran);
  await events.run((asks.at(-1)?.atMs ?? 0) + restMs);
  return ran.figures();
}

export interface Reuse extends Figures {
  /** Of the prompt tokens that one endless cache would have known. */
  reused: number;
  /** Slot-seconds of the busiest worker beside their mean. */
  unevenness: number;
}

export type Way = 'Berth' | 'round robin' | 'least requests';

/** One model on four workers, conversations. */
export async function conversations(way: Way, asks: readonly Ask[], files: number): Promise<Reuse> {
  const events = createEvents();
  const late = asks.map((ask) => ({ ...ask, model: 'm:latest', atMs: ask.atMs + 60_000 }));
  const ran = createRan(events, late);
  const pool = { ...boxes, loadedMax: 1, models: ['m:latest'], files, seed: 1, preload: 'm:latest' };
  const its =
    way === 'Berth'
      ? await runBerth(events, late, pool, ran)
      : runRouter(events, late, { boxes: boxes.workers, slots: boxes.slots, files, choice: way }, ran);
  await events.run((late.at(-1)?.atMs ?? 0) + restMs);
  const busy = its.busyS();
  const mean = busy.reduce((sum, each) => sum + each, 0) / busy.length;
  return {
    ...ran.figures(),
    reused: its.knownTokens() / reusableOf(late).reusable,
    unevenness: Math.max(...busy) / mean,
  };
}
