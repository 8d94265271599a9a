// The turns of one conversation go to the worker that has it cached, conversations spread over all of them.
import { array, assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { milestonesOf, openingOf } from '@berth/shared/prefix.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { rankSeats } from '../../../gateway/placement/rank.ts';
import type { Asking } from '../../../gateway/placement/rank.ts';

const user = (content: string) => ({ role: 'user', content });
const generationOf = (...messages: object[]) => parseOpenaiChat({ model: 'tiny', messages });
const warm = ['a', 'b', 'c', 'd', 'e'];

function asking(messages: object[], change: Partial<Asking> = {}): Asking {
  const generation = generationOf(...messages);
  const milestones = milestonesOf('red', 'tiny:latest', generation);
  return { milestones, opening: openingOf(milestones, generation), warm, holders: () => [], spare: () => 1, ...change };
}

/** Workers that hold the prompt up to its milestone of this number. */
function held(messages: object[], by: Record<number, string[]>): Partial<Asking> {
  const { milestones } = asking(messages);
  return { holders: (hash) => by[milestones.findIndex((milestone) => milestone.hash === hash)] ?? [] };
}

const long = 'a long enough sentence, again and again. '.repeat(20);
const turns = [{ role: 'system', content: long }, user(long), { role: 'assistant', content: long }, user(long)];

describe('the order of workers', () => {
  it('names at most 4 of the warm workers, each once, with scores from 0 to 1', () => {
    assert(
      property(integer({ min: 0, max: 20 }), array(integer({ min: 0, max: 19 })), (count, holding) => {
        const workers = Array.from({ length: count }, (_, at) => `w${String(at).padStart(2, '0')}`);
        const holders = () => holding.map((at) => `w${String(at).padStart(2, '0')}`);
        const { prefer, candidates } = rankSeats(asking(turns, { warm: workers, holders }));
        expect(prefer.length).toBeLessThanOrEqual(4);
        expect(new Set(prefer).size).toBe(prefer.length);
        expect(prefer.every((worker) => workers.includes(worker))).toBe(true);
        for (const { score } of candidates) expect(score >= 0 && score <= 1).toBe(true);
      }),
    );
  });

  it('begins with who has cached most of the prompt, before who has cached less', () => {
    const { prefer, candidates } = rankSeats(asking(turns, held(turns, { 0: ['b', 'd'], 2: ['d'] })));
    expect(prefer).toEqual(['d']);
    expect(candidates[0]).toMatchObject({ worker: 'd', prefix: 0.75 });
    expect(candidates[1]).toMatchObject({ worker: 'b', prefix: 0.25 });
  });

  it('of those that have the same, begins with the least used', () => {
    const spare = (worker: string) => (worker === 'b' ? 0.2 : 0.9);
    expect(rankSeats(asking(turns, { ...held(turns, { 2: ['b', 'd'] }), spare })).prefer).toEqual(['d', 'b']);
  });

  it('leaves out who has it cached and not loaded, and who is not there', () => {
    expect(rankSeats(asking(turns, held(turns, { 2: ['z', 'c'] }))).prefer).toEqual(['c']);
  });

  it('lets a worker be busier the more it saves, and not at all when nothing is known', () => {
    const slackOf = (messages: object[], by: Record<number, string[]>) =>
      rankSeats(asking(messages, held(messages, by))).slack;
    const huge = [user(long.repeat(60))];
    expect(slackOf(turns, {})).toBe(0);
    expect(slackOf(turns, { 0: ['a'] })).toBeGreaterThanOrEqual(0.25);
    expect(slackOf(turns, { 3: ['a'] })).toBeGreaterThan(slackOf(turns, { 0: ['a'] }));
    expect(slackOf(huge, { 0: ['a'] })).toBe(0.75);
  });

  it('looks at as few workers in a pool of thousands', () => {
    let looks = 0;
    const workers = Array.from({ length: 5_000 }, (_, at) => `w${String(at).padStart(4, '0')}`);
    const count = <T>(value: T): T => {
      looks += 1;
      return value;
    };
    rankSeats(asking(turns, { warm: workers, holders: () => count(['w0007']), spare: () => count(1) }));
    expect(looks).toBeLessThanOrEqual(turns.length + 5);
  });

  it('has one home for all turns of a conversation, at every gateway', () => {
    const homes = turns.slice(1).map((_, at) => rankSeats(asking(turns.slice(0, at + 2))).prefer[0]);
    expect(new Set(homes).size).toBe(1);
  });

  it('spreads a thousand conversations over five workers, none with more than twice its share', () => {
    const firsts = Array.from({ length: 1_000 }, (_, at) => rankSeats(asking([user(`question ${at}`)])).prefer[0]);
    const counts = warm.map((worker) => firsts.filter((first) => first === worker).length);
    expect(Math.min(...counts)).toBeGreaterThan(100);
    expect(Math.max(...counts)).toBeLessThan(400);
  });
});
