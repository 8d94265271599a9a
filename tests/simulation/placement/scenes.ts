// The scenes of the simulation: many models on few boxes, conversations over workers; each policy on the same requests.
import { createEvents } from '../events.ts';
import { runBerth } from './berth.ts';
import type { BerthOptions, BerthPool } from './berth.ts';
import { chanceFrom } from '../../models/chance.ts';
import { runClairvoyant } from './clairvoyant.ts';
import { runOllama } from './ollama.ts';
import { createRan } from './ran.ts';
import type { Figures, Ran } from './ran.ts';
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

interface Alternating {
  models: number;
  usersEach: number;
  thinkMs: number;
  outputTokens: number;
  loadMs: number;
  workers: number;
  forMs: number;
  seed: number;
}

/** Users of more models than there are places, who ask, think and ask again, as `npm run bench:placement` has them. */
export async function alternating(way: 'one pool' | 'boxes in turn', its: Alternating): Promise<Figures> {
  const events = createEvents();
  const chance = chanceFrom(its.seed);
  const asks: Ask[] = [];
  const all = createRan(events, asks);
  const names = sixModels.slice(0, its.models);
  const next = (user: number, inMs: number): void => {
    const atMs = events.nowMs + inMs;
    if (atMs > startMs + its.forMs) return;
    const ask = { id: asks.length, atMs, model: names[user % its.models] ?? '', promptTokens: 20, blocks: [] };
    asks.push({ ...ask, outputTokens: its.outputTokens });
    users.set(ask.id, user);
    pools[ask.id % pools.length]?.ask(asks.at(-1)!);
  };
  const users = new Map<number, number>();
  const ran: Ran = {
    ...all,
    ended(ask) {
      all.ended(ask);
      next(users.get(ask.id) ?? 0, its.thinkMs * (0.5 + chance.unit()));
    },
  };
  const options = { loadedMax: 1, slots: 4, models: names, files: null, seed: its.seed, loadMs: its.loadMs };
  const boxes = way === 'one pool' ? [its.workers] : Array.from({ length: its.workers }, () => 1);
  const pools: BerthPool[] = [];
  for (const workers of boxes) pools.push(await runBerth(events, [], { ...options, workers }, ran));
  await events.run(3_000);
  const startMs = events.nowMs;
  for (let user = 0; user < its.models * its.usersEach; user += 1) next(user, chance.unit() * its.thinkMs);
  await events.run(startMs + its.forMs + restMs);
  return all.figures();
}
