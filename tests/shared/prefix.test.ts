// By which milestones gateway and worker know that two prompts begin alike.
import { array, assert, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { milestonesOf, openingOf, packHashes, unpackHashes } from '@berth/shared/prefix.ts';

const user = (content: string) => ({ role: 'user', content });
const chat = (messages: object[], more: object = {}) => parseOpenaiChat({ model: 'm', messages, ...more });
const hashes = (messages: object[], team = 'red', model = 'm:latest', more = {}) =>
  milestonesOf(team, model, chat(messages, more)).map(({ hash }) => hash);

describe('milestones', () => {
  it('of a conversation are those of its next turn, up to there', () => {
    assert(
      property(array(string(), { minLength: 1, maxLength: 20 }), string(), string(), (texts, answer, next) => {
        const turns = texts.map(user);
        const later = hashes([...turns, { role: 'assistant', content: answer }, user(next)]);
        expect(later.slice(0, texts.length)).toEqual(hashes(turns));
        expect(new Set(later).size).toBe(later.length);
      }),
    );
  });

  it('are others for another team, model, role, tool or text, from there on', () => {
    const base = [{ role: 'system', content: 's' }, user('q')];
    const tools = [{ type: 'function', function: { name: 'look' } }];
    const others = [
      hashes(base, 'blue'),
      hashes(base, 'red', 'n:latest'),
      hashes(base, 'red', 'm:latest', { tools }),
      hashes([user('s'), user('q')]),
      hashes([{ role: 'system', content: 't' }, user('q')]),
    ];
    for (const other of others) expect(other.filter((hash) => hashes(base).includes(hash))).toEqual([]);
    const [system] = hashes(base);
    expect(hashes([{ role: 'system', content: 's' }, user('r')])[0]).toBe(system);
  });

  it('are small numbers that travel as text, few however long the conversation, and those of its beginning stay', () => {
    const long = hashes(Array.from({ length: 4_000 }, (_, at) => user(`${at}`)));
    expect(long.length).toBeLessThan(48);
    expect(long.every((hash) => Number.isSafeInteger(hash) && hash >= 0 && hash < 2 ** 40)).toBe(true);
    expect(unpackHashes(packHashes(long))).toEqual(long);
    expect(unpackHashes(7)).toEqual([]);
    const half = hashes(Array.from({ length: 2_000 }, (_, at) => user(`${at}`)));
    expect(half.filter((hash) => long.includes(hash)).length).toBeGreaterThan(20);
  });

  it('of one text lie at every 1,024 characters and at its end', () => {
    const text = 'x'.repeat(2_500);
    const of = (prompt: string) =>
      milestonesOf('red', 'm:latest', parseOllamaGenerate({ model: 'm', prompt, raw: true }));
    expect(of(text).map(({ chars }) => chars)).toEqual([1_024, 2_048, 2_500]);
    expect(of(`${text.slice(0, 2_048)}other`).slice(0, 2)).toEqual(of(text).slice(0, 2));
    expect(of('')).toEqual([]);
  });

  it('of tokens count about four characters each', () => {
    const prompt = Array.from({ length: 300 }, (_, at) => at);
    expect(milestonesOf('red', 'm', { prompt: { kind: 'tokens', tokens: prompt } })).toMatchObject([
      { chars: 1_024 },
      { chars: 1_200 },
    ]);
  });

  it('open a conversation at its first user message', () => {
    const open = (messages: object[]) => {
      const generation = chat(messages);
      return openingOf(milestonesOf('red', 'm', generation), generation)?.hash;
    };
    const first = [{ role: 'system', content: 's' }, user('q')];
    expect(open([...first, { role: 'assistant', content: 'a' }, user('more')])).toBe(open(first));
    expect(open([user('q'), { role: 'assistant', content: 'a' }, user('more')])).toBe(open([user('q')]));
    expect(openingOf([], parseOllamaGenerate({ model: 'm' }))).toBeUndefined();
  });
});
