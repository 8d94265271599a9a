// The turns of one conversation go to one worker, conversations spread over all of them.
import { array, assert, constantFrom, integer, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprint, rank } from '../../../gateway/placement/rank.ts';
import type { Job } from '../../../gateway/job.ts';
import { parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import type { Generation } from '@berth/shared/request.ts';
import { aJob } from '../a-job.ts';

const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const chatJob = (messages: object[], change: Partial<Job> = {}) =>
  aJob({ generation: parseOpenaiChat({ model: 'tiny', messages }), ...change });

describe('rank', () => {
  it('names at most 4 of the warm workers, each once, beginning anywhere', () => {
    assert(
      property(integer({ min: 0, max: 20 }), integer({ min: 0, max: 2 ** 32 - 1 }), (count, print) => {
        const warm = Array.from({ length: count }, (_, at) => `w${at}`);
        const ranked = rank(warm, print);
        expect(ranked).toHaveLength(Math.min(4, count));
        expect(new Set(ranked).size).toBe(ranked.length);
        expect(ranked.every((worker) => warm.includes(worker))).toBe(true);
      }),
    );
  });

  it('spreads a thousand conversations over five workers, none with more than twice its share', () => {
    const warm = ['a', 'b', 'c', 'd', 'e'];
    const firsts = Array.from(
      { length: 1_000 },
      (_, at) => rank(warm, fingerprint(chatJob([user(`question ${at}`)])))[0],
    );
    const counts = warm.map((worker) => firsts.filter((first) => first === worker).length);
    expect(Math.min(...counts)).toBeGreaterThan(100);
    expect(Math.max(...counts)).toBeLessThan(400);
  });
});

describe('a fingerprint', () => {
  it('is the same for every later turn of a conversation', () => {
    assert(
      property(string(), string(), array(string(), { maxLength: 4 }), (system, first, more) => {
        const opening = [{ role: 'system', content: system }, user(first)];
        const later = more.flatMap((text) => [assistant(text), user(text)]);
        expect(fingerprint(chatJob([...opening, ...later]))).toBe(fingerprint(chatJob(opening)));
      }),
    );
  });

  it('is another for another team, model, system prompt or first question', () => {
    const base = [{ role: 'system', content: 's' }, user('q')];
    const prints = [
      chatJob(base),
      chatJob(base, { owner: { team: 'blue', key: 'k' } }),
      chatJob(base, { model: 'other:latest' }),
      chatJob([{ role: 'system', content: 't' }, user('q')]),
      chatJob([{ role: 'system', content: 's' }, user('r')]),
    ].map(fingerprint);
    expect(new Set(prints).size).toBe(prints.length);
  });

  it('is a whole number for any prompt, or none', () => {
    const prompts: Generation[] = [
      parseOllamaGenerate({ model: 'm' }),
      parseOllamaGenerate({ model: 'm', prompt: 'p', raw: true }),
      parseOpenaiChat({ model: 'm', messages: [assistant('only')] }),
    ];
    assert(
      property(constantFrom(...prompts), (generation) => {
        expect(Number.isSafeInteger(fingerprint(aJob({ generation })))).toBe(true);
      }),
    );
  });
});
