// What a job will cost, and when a refused client shall come back: bounded, jittered, learnt from what was seen.
import { assert, double, integer, property, tuple } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { createEstimate } from '../../gateway/estimate.ts';
import { aSettlement } from '../doubles/fake-worker.ts';
import { aJob } from './a-job.ts';

/** An estimate whose chance is the given share of its range. */
const create = (share = 0.5) =>
  createEstimate({ random: { id: () => '', integer: (below) => Math.floor(share * below) } });
const messages = [{ role: 'user', content: 'hello' }];

describe('when to come back', () => {
  it('is 1 to 30 whole seconds, whatever was seen', () => {
    const seconds = tuple(
      integer({ min: 0, max: 10 ** 6 }),
      integer({ min: 0, max: 1_000 }),
      integer({ min: 0, max: 50 }),
    );
    assert(
      property(double({ min: 0, max: 0.999, noNaN: true }), seconds, (share, [waiting, gateways, released]) => {
        const estimate = create(share);
        for (let at = 0; at < released; at += 1) estimate.released();
        estimate.tick(waiting, gateways);
        const wait = estimate.retryAfterS();
        expect(Number.isInteger(wait) && wait >= 1 && wait <= 30).toBe(true);
      }),
    );
  });

  it('differs from client to client, so that they do not come back together', () => {
    const at = (share: number) => {
      const estimate = create(share);
      for (let second = 0; second < 200; second += 1) {
        estimate.released();
        estimate.tick(16, 1);
      }
      return estimate.retryAfterS();
    };
    expect([at(0), at(0.999)]).toEqual([12, 20]);
  });

  it('is what the queue needs at the rate at which slots came free, all gateways counted', () => {
    const after = (waiting: number, gateways: number) => {
      const estimate = create();
      for (let second = 0; second < 200; second += 1) {
        estimate.released();
        estimate.tick(waiting, gateways);
      }
      return estimate.retryAfterS();
    };
    expect([after(10, 1), after(20, 1), after(20, 2), after(0, 1)]).toEqual([10, 20, 10, 1]);
  });

  it('is 5 s, more or less, while no slot has come free', () => {
    expect([create(0).retryAfterS(), create(0.5).retryAfterS(), create(0.999).retryAfterS()]).toEqual([4, 5, 6]);
  });
});

describe('the least wait', () => {
  it('is nothing for who is next, and nothing while nothing is known', () => {
    const estimate = create();
    expect(estimate.leastWaitMs(100)).toBe(0);
    estimate.released();
    estimate.tick(0, 1);
    expect(estimate.leastWaitMs(1)).toBe(0);
  });

  it('assumes luck: a quarter of what the rate says', () => {
    const estimate = create();
    for (let second = 0; second < 500; second += 1) {
      estimate.released();
      estimate.tick(50, 1);
    }
    expect(estimate.leastWaitMs(41)).toBeCloseTo(10_000, -2);
  });
});

describe('the cost of a job', () => {
  it('grows with its body, and is bounded by the tokens it asks for', () => {
    const estimate = create();
    const generation = (max_tokens: number) => parseOpenaiChat({ model: 'tiny', messages, max_tokens });
    const small = estimate.cost(aJob());
    expect(estimate.cost(aJob({ body: Buffer.alloc(400_000) }))).toBeGreaterThan(small);
    expect(estimate.cost(aJob({ generation: generation(1) }))).toBeLessThan(small);
    expect(estimate.cost(aJob({ generation: generation(1_000_000) }))).toBe(small);
  });

  it('grows with its answers, of which each teaches what one takes', () => {
    const estimate = create();
    const several = aJob({ body: Buffer.alloc(0), generation: parseOpenaiChat({ model: 'tiny', messages, n: 4 }) });
    const one = aJob({ body: Buffer.alloc(0) });
    expect(estimate.cost(several)).toBeCloseTo(estimate.cost(one) * 4);
    const four = { ...aSettlement, promptTokens: 0, cachedTokens: 0, outputTokens: 400, decodeMs: 10_000 };
    for (let turn = 0; turn < 100; turn += 1) estimate.learn('tiny:latest', four, 4);
    expect(estimate.cost(one)).toBeCloseTo(2.5, 1);
  });

  it('comes near to what settled requests of the model took', () => {
    const estimate = create();
    for (let turn = 0; turn < 100; turn += 1) {
      estimate.learn('tiny:latest', {
        ...aSettlement,
        promptTokens: 100,
        cachedTokens: 0,
        prefillMs: 1_000,
        outputTokens: 50,
        decodeMs: 5_000,
      });
    }
    expect(estimate.cost(aJob())).toBeCloseTo(6, 1);
    expect(estimate.cost(aJob({ model: 'other:latest' }))).not.toBeCloseTo(6, 1);
  });

  it('stays a number above nothing after settlements of nothing', () => {
    const estimate = create();
    const nothing = { ...aSettlement, promptTokens: 0, cachedTokens: 0, outputTokens: 0, prefillMs: 0, decodeMs: 0 };
    for (let turn = 0; turn < 10; turn += 1) estimate.learn('tiny:latest', nothing);
    estimate.learn('tiny:latest', { ...nothing, cachedTokens: 9, decodeMs: -1 });
    const cost = estimate.cost(aJob());
    expect(Number.isFinite(cost) && cost > 0).toBe(true);
  });

  it('is learnt for a bounded number of models', () => {
    const estimate = create();
    const slow = { ...aSettlement, outputTokens: 1, decodeMs: 10 ** 6 };
    for (let model = 0; model < 1_001; model += 1) estimate.learn(`m${model}`, slow);
    const [first, last] = ['m0', 'm1000'].map((model) => estimate.cost(aJob({ model })));
    expect(first).not.toBe(last);
    expect(last).toBe(estimate.cost(aJob({ model: 'never seen' })));
  });
});
