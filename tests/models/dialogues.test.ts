// The demo model's dialogues: drawn by seed, honest in what they hold out, and rendered as the template renders them.
import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { chanceFrom } from './chance.ts';
import {
  callText,
  chatTemplate,
  endOfText,
  piecesOf,
  promptOf,
  turnEnd,
  type Message,
  type Tool,
} from './dialogues/chat.ts';
import { abilities, dialogueOf, needle, trainingDialogue, type Dialogue } from './dialogues/dialogue.ts';
import { exchangeAbout, factExchange, type Draw } from './dialogues/exchanges.ts';
import { facts, talk } from './dialogues/facts.ts';
import { noSoup } from './dialogues/words.ts';
import { probes } from './probes.ts';

const draw = (seed: number, heldOut = false): Draw => ({ chance: chanceFrom(seed), soup: noSoup, heldOut });
const textOf = ({ messages, tools }: Dialogue): string =>
  piecesOf(messages, tools)
    .map((piece) => piece.text)
    .join('');
const seeds = (count: number): number[] => Array.from({ length: count }, (_, seed) => seed);

describe('a dialogue', () => {
  test('is the same for the same seed, and another for another', () => {
    expect(trainingDialogue(7)).toEqual(trainingDialogue(7));
    expect(new Set(seeds(200).map((seed) => textOf(trainingDialogue(seed)))).size).toBeGreaterThan(190);
  });

  test.each(abilities)('on %s ends with an answer and leaves no blank unfilled', (ability) => {
    for (const seed of seeds(60)) {
      const dialogue = dialogueOf(ability, draw(seed, seed % 2 === 0));
      expect(dialogue.messages.at(-1)?.role).toBe('assistant');
      expect(
        dialogue.messages.filter(({ role, content, calls }) => role === 'assistant' && content === '' && !calls),
      ).toEqual([]);
      expect(textOf(dialogue)).not.toMatch(/\{(x|k|n|a|b|v|c|name|word|thing|city)\}|@@|undefined|\[object/i);
    }
  });

  test('hides a needle in as many sentences as asked, and the answer names it', () => {
    const { user, assistant } = needle(draw(3), 40);
    const secret = /is (\S+)\.$/.exec(assistant)?.[1] ?? '';
    expect(user).toContain(secret);
    expect(user.split(/\s+/).length).toBeGreaterThan(100);
  });
});

describe('the ways of asking that are held out', () => {
  const asksOf = (heldOut: boolean, count: number): Set<string> =>
    new Set(
      seeds(count).map((seed) =>
        factExchange(draw(seed + (heldOut ? 1e6 : 0), heldOut))
          .user.toLowerCase()
          .replace(/[^a-z0-9 ]/g, ''),
      ),
    );

  test('are next to never met in training', () => {
    const trained = asksOf(false, 20_000);
    const heldOut = [...asksOf(true, 1000)];
    expect(heldOut.filter((ask) => trained.has(ask))).toEqual([]);
  });
});

test('every fact is asked for by hand, too, and every probe has its fact', () => {
  const asked = probes.map(({ id }) => id).filter((id) => id !== 'unknown');
  expect(asked.toSorted()).toEqual([...facts, ...talk].map(({ id }) => id).toSorted());
  expect(asked.map((id) => exchangeAbout(id, draw(1)).assistant)).not.toContain('');
});

describe('the chat template', () => {
  interface Values {
    readonly messages: readonly object[];
    readonly tools: readonly Tool[] | null;
    readonly add_generation_prompt: boolean;
  }
  const require = createRequire(import.meta.resolve('node-llama-cpp'));
  const {
    Template,
  }: { Template: new (text: string) => { render(values: Values): string } } = require('@huggingface/jinja');
  const compiled = new Template(chatTemplate);
  const asOpenAi = ({ role, content, calls }: Message): object => ({
    role,
    content,
    ...(calls && { tool_calls: calls.map((call) => ({ type: 'function', function: call })) }),
  });
  const rendered = (messages: readonly Message[], tools: readonly Tool[], prompt: boolean): string =>
    compiled.render({
      messages: messages.map(asOpenAi),
      tools: tools.length > 0 ? tools : null,
      add_generation_prompt: prompt,
    });

  test.each(abilities)('renders dialogues on %s as they were trained', (ability) => {
    for (const seed of seeds(20)) {
      const dialogue = dialogueOf(ability, draw(seed));
      expect(rendered(dialogue.messages, dialogue.tools, false)).toBe(textOf(dialogue));
    }
  });

  test("opens the assistant's turn when asked to", () => {
    const { messages, tools } = dialogueOf('tools', draw(5));
    expect(rendered(messages.slice(0, -1), tools, true)).toBe(promptOf(messages.slice(0, -1), tools));
  });

  test('takes arguments that come as JSON text', () => {
    const call = { name: 'get_weather', arguments: '{"city": "Paris"}' };
    const text = compiled.render({
      messages: [{ role: 'assistant', content: '', tool_calls: [{ function: call }] }],
      tools: null,
      add_generation_prompt: false,
    });
    expect(text).toContain(callText([{ name: 'get_weather', arguments: { city: 'Paris' } }]));
    expect(text).toContain(turnEnd);
    expect(text).not.toContain(endOfText);
  });
});
