// What becomes of a prompt that is too long: refused, or without its oldest turns.
import { Refusal } from '@berth/shared/outcome.ts';
import type { ChatMessage, Prompt } from '@berth/shared/request.ts';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fittingPrompt } from '../../../worker/engine/llama/fitting.ts';

/** Each message is as many tokens as characters, and two more. */
const read = (prompt: Prompt): Uint32Array => {
  if (prompt.kind !== 'chat') throw new Error('only chats are read here');
  return Uint32Array.from(prompt.messages.flatMap(({ content }) => [0, ...Buffer.from(content), 1]));
};
const say = (role: ChatMessage['role'], content: string): ChatMessage => ({ role, content });
const chat = (messages: ChatMessage[], more = {}): Prompt => ({
  kind: 'chat',
  messages,
  tools: [],
  forgets: true,
  ...more,
});
const fit = (prompt: Prompt, contextTokens: number, maxTokens: number | null = null) =>
  fittingPrompt(prompt, { maxTokens }, read, contextTokens);
const textOf = (tokens: Uint32Array) => Buffer.from(tokens.filter((token) => token > 1)).toString();

const turns = [
  say('system', 'S'),
  say('user', 'first?'),
  say('assistant', 'call'),
  say('tool', 'result'),
  say('assistant', 'first.'),
  say('user', 'second?'),
  say('assistant', 'second.'),
  say('user', 'third?'),
];

describe('a conversation that is too long', () => {
  test('forgets its oldest turns, each with its calls and results, but not what the system says', () => {
    expect(textOf(fit(chat(turns), 70))).toBe('Sfirst?callresultfirst.second?second.third?');
    expect(textOf(fit(chat(turns), 48))).toBe('Ssecond?second.third?');
    expect(textOf(fit(chat(turns), 14))).toBe('Sthird?');
  });

  test('leaves an eighth of the context to the answer, or what it asks for when that is less', () => {
    const long = chat([say('user', 'a'.repeat(20)), say('assistant', 'b'), say('user', 'c'.repeat(60))]);
    expect(fit(long, 98)).toHaveLength(62);
    expect(fit(long, 98, 10)).toHaveLength(87);
    expect(fit(long, 88, 1)).toHaveLength(87);
  });

  test('is refused when the last turn alone is too long', () => {
    expect(() => fit(chat(turns), 11)).toThrow(/the prompt has 11 tokens, the context is 11/);
    expect(fit(chat(turns), 12)).toHaveLength(11);
  });

  test('is refused when the client wants it whole, or goes on from tokens', () => {
    for (const more of [{ forgets: undefined }, { history: [1] }])
      expect(() => fit(chat(turns, more), 32)).toThrow(Refusal);
  });

  test('is never longer than the context, whatever it is made of, and ends with its last turn', () => {
    const roles = fc.constantFrom<ChatMessage['role']>('user', 'assistant', 'tool', 'system');
    const messages = fc.array(fc.record({ role: roles, content: fc.string({ maxLength: 30 }) }), { minLength: 1 });
    const property = fc.property(messages, fc.integer({ min: 8, max: 200 }), (said, contextTokens) => {
      try {
        const tokens = fit(chat(said), contextTokens);
        expect(tokens.length).toBeLessThan(contextTokens);
        const last = said.slice(said.findLastIndex(({ role }) => role === 'user'));
        const tail = read(chat(last));
        if (said.some(({ role }) => role === 'user')) expect(tokens.slice(-tail.length)).toEqual(tail);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
      }
    });
    fc.assert(property, { numRuns: 300 });
  });
});
