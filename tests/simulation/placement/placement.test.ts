// A short form of `npm run sim:placement`: what must hold whatever is asked.
import { expect, test } from 'vitest';
import { sessionEveryMs } from '../../../gateway/session.ts';
import { beatEveryMs } from '../../../worker/announce.ts';
import { turnMsOf } from '../../../worker/models/entry.ts';
import { measured } from './engine.ts';
import { alternating, conversations, manyModels, sixModels } from './scenes.ts';
import { likeAzure, likeMooncake, spreadOver, stretched } from './traces.ts';

const asks = spreadOver(stretched(likeAzure(7, 700), 3), sixModels, 7);
const longestS = Math.max(
  ...asks.map((ask) => ask.promptTokens / measured.prefillPerS + ask.outputTokens / measured.decodePerS),
);
/** The turn of a victim, its longest stream beside seven others, the load, and each message by the slowest way. */
const boundMs = turnMsOf(measured.loadMs) + 8 * longestS * 1_000 + measured.loadMs + sessionEveryMs + 2 * beatEveryMs;

test('six models on four boxes with room for two: no busy or pinned model goes, nobody waits beyond the bound, half the loads and waits of a round robin', async () => {
  const berth = await manyModels('Berth', asks, { pins: { w1: 'f:latest' } });
  const ollama = await manyModels('Ollama, round robin', asks);
  expect(berth.wrong).toEqual([]);
  expect(berth.ended).toBe(asks.length);
  expect(berth.mostMs).toBeLessThanOrEqual(boundMs);
  expect(berth.loads * 2).toBeLessThanOrEqual(ollama.loads);
  expect(berth.p95Ms * 2).toBeLessThanOrEqual(ollama.p95Ms);
});

test('more models than places: each gets its turn within the bound beside a model that is always asked for', async () => {
  const four = { workers: 1, loadedMax: 1, slots: 4, models: sixModels.slice(0, 2) };
  const steady = stretched(likeAzure(3, 200), 6).map((ask) => ({ ...ask, model: 'a:latest' }));
  const rare = [30_000, 90_000].map((atMs, at) => ({ ...steady[0]!, id: 1_000 + at, atMs, model: 'b:latest' }));
  const all = [...steady, ...rare].toSorted((x, y) => x.atMs - y.atMs);
  const berth = await manyModels('Berth', all, four);
  expect([berth.wrong, berth.ended]).toEqual([[], all.length]);
  expect(berth.mostMs).toBeLessThanOrEqual(2 * boundMs);
});

const threeModels = { models: 3, usersEach: 2, thinkMs: 1_500, outputTokens: 24, workers: 2, forMs: 120_000, seed: 1 };

test('users of three models on two workers with room for one: more answers, fewer loads and shorter waits than boxes in turn', async () => {
  for (const loadMs of [300, measured.loadMs, 8_000]) {
    const its = { ...threeModels, loadMs };
    const [berth, robin] = [await alternating('one pool', its), await alternating('boxes in turn', its)];
    expect([berth.wrong, berth.asked - berth.ended]).toEqual([[], 0]);
    expect([berth.ended > robin.ended, berth.loads < robin.loads, berth.p95Ms < robin.p95Ms]).toEqual([
      true,
      true,
      true,
    ]);
  }
});

test('six models on two workers with room for one, two gateways: each is loaded in its turn, and none is forgotten', async () => {
  const its = { ...threeModels, models: 6, loadMs: 8_000, forMs: 900_000 };
  const berth = await alternating('one pool', its);
  expect([berth.wrong, berth.asked - berth.ended]).toEqual([[], 0]);
  // Four of six wait, two at a time get a place.
  expect(berth.mostMs).toBeLessThanOrEqual(3 * (turnMsOf(its.loadMs) + its.loadMs + sessionEveryMs + 2 * beatEveryMs));
});

test('two models in turn on one worker, whose loads take a minute: it does more than to load', async () => {
  const forMs = 1_800_000;
  const its = { ...threeModels, models: 2, workers: 1, usersEach: 6, outputTokens: 200, loadMs: 60_000, forMs };
  const berth = await alternating('one pool', its);
  expect([berth.wrong, berth.asked - berth.ended]).toEqual([[], 0]);
  expect(berth.loads * its.loadMs).toBeLessThan(forMs * 0.6);
});

test('conversations over four workers: most of what can be reused is, and no worker has much more than the others', async () => {
  const talks = stretched(likeMooncake(7, 250), 8);
  const [berth, robin] = [await conversations('Berth', talks, 64), await conversations('round robin', talks, 64)];
  expect(berth.reused).toBeGreaterThanOrEqual(0.9);
  expect(berth.reused).toBeGreaterThan(robin.reused * 1.5);
  expect(berth.unevenness).toBeLessThanOrEqual(1.5);
});
