// Every known way to mark a thought: told apart from the answer however the text is cut, and from the template alone.
import { splitter } from '@berth/worker/replies/split.ts';
import type { Segment } from '@berth/worker/replies/stage.ts';
import { type Thoughts, thoughtsOf } from '@berth/worker/replies/thinking.ts';
import { channels } from '@berth/worker/replies/tools/channels.ts';
import { hermes } from '@berth/worker/replies/tools/hermes.ts';
import { kimi } from '@berth/worker/replies/tools/kimi.ts';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const tools = [{ name: 'f', description: '', parameters: {} }];

const kimiThoughts = thoughtsOf('<think> <|tool_calls_section_begin|>')!;
const kimiCall =
  '<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|><|tool_calls_section_end|>';

/** What is read of an answer: the thought, the text, and the calls' arguments. */
function read(thoughts: Thoughts, pieces: readonly string[], opened = false) {
  const syntax = thoughts.kind === 'channels' ? channels : thoughts.calls === undefined ? hermes : kimi;
  const split = splitter({ thoughts, calls: { syntax, tools, inPieces: false } });
  if (opened) split.open();
  const segments: Segment[] = [...pieces.flatMap((piece) => split.push(piece)), ...split.flush()];
  const told = (kind: 'thinking' | 'text') =>
    segments.flatMap((segment) => (segment.kind === kind ? [segment.text] : [])).join('');
  const calls = segments.flatMap((segment) => (segment.kind === 'call' ? [segment.arguments] : []));
  return { thinking: told('thinking'), text: told('text'), calls };
}

/** The same for every cut in two, and letter by letter. */
function readAnyhow(thoughts: Thoughts, text: string, opened = false) {
  const expected = read(thoughts, [text], opened);
  for (let at = 0; at <= text.length; at += 1)
    expect(read(thoughts, [text.slice(0, at), text.slice(at)], opened)).toEqual(expected);
  expect(read(thoughts, text.split(''), opened)).toEqual(expected);
  return expected;
}

describe.each([
  ['Qwen 3, DeepSeek', '{{ "<think>" }}', '<think>', '</think>'],
  ['Mistral', '[THINK]', '[THINK]', '[/THINK]'],
  ['Gemma 4', '<|channel>thought', '<|channel>thought', '<channel|>'],
  ['Seed', '<seed:think>', '<seed:think>', '</seed:think>'],
  ['Cohere', '<|START_THINKING|>', '<|START_THINKING|>', '<|END_THINKING|>'],
  ['Kimi', '<think> <|tool_calls_section_begin|>', '<think>', '</think>'],
])('%s', (_family, template, open, close) => {
  const thoughts = thoughtsOf(template)!;
  const yes = { thinking: 'hm <b>', text: 'Yes', calls: [] };

  test('a thought and the answer', () => {
    expect(readAnyhow(thoughts, `${open}\nhm <b>\n${close}\n\nYes`)).toEqual(yes);
  });

  test('a thought that the prompt has opened', () => {
    expect(readAnyhow(thoughts, `hm <b>\n${close}Yes`, true)).toEqual(yes);
  });

  test('an empty thought, none at all, and one that never ends', () => {
    expect(readAnyhow(thoughts, `${open}\n${close}Yes`)).toEqual({ ...yes, thinking: '' });
    expect(readAnyhow(thoughts, `Yes`)).toEqual({ ...yes, thinking: '' });
    expect(readAnyhow(thoughts, `${open}hm ${close.slice(0, -1)}`)).toMatchObject({ text: '', calls: [] });
  });

  test('a thought before a call', () => {
    const call = thoughts === kimiThoughts ? kimiCall : '<tool_call>{"name":"f","arguments":{"a":1}}</tool_call>';
    expect(readAnyhow(thoughts, `${open}hm <b>${close}${call}`)).toEqual({ ...yes, text: '', calls: [{ a: 1 }] });
  });

  test('a tag in the middle of an answer is text', () => {
    expect(readAnyhow(thoughts, `a ${open}b${close}`)).toEqual({ thinking: '', text: `a ${open}b${close}`, calls: [] });
  });
});

describe('Cohere', () => {
  const thoughts = thoughtsOf('<|START_RESPONSE|>')!;

  test.each([
    ['<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Yes <|b<|END_RESPONSE|>', 'hm', 'Yes <|b'],
    ['<|START_THINKING|>hm<|END_THINKING|><|START_TEXT|>Yes<|END_TEXT|>', 'hm', 'Yes'],
    ['<|START_RESPONSE|>Yes', '', 'Yes'],
    ['Yes<|END_RESPONSE|>', '', 'Yes'],
    ['Yes <|END_RESP', '', 'Yes <|END_RESP'],
  ])('of %s what stands around the answer is left out', (written, thinking, text) => {
    expect(readAnyhow(thoughts, written)).toEqual({ thinking, text, calls: [] });
  });
});

describe('Kimi', () => {
  const [thoughts, call] = [kimiThoughts, kimiCall];

  test('a call in the middle of a thought is one, and ends the thought', () => {
    const heard = { thinking: 'hm <|b', text: '', calls: [{ a: 1 }] };
    expect(readAnyhow(thoughts, `<think>hm <|b ${call}`)).toEqual(heard);
    expect(readAnyhow(thoughts, `hm <|b${call}`, true)).toEqual(heard);
  });
});

describe('gpt-oss', () => {
  const thoughts = thoughtsOf('<|channel|>analysis<|message|>')!;
  const think = '<|channel|>analysis<|message|>hm <b><|end|>';
  const final = '<|start|>assistant<|channel|>final<|message|>';

  test.each([
    ['a thought and the answer', `${think}${final}Yes`, 'hm <b>', 'Yes'],
    ['an answer that says how it is written', '<|channel|>final <|constrain|>json<|message|>5<|return|>', '', '5'],
    ['an answer alone', '<|channel|>final<|message|>Yes', '', 'Yes'],
    ['two thoughts', `${think}<|start|>assistant${think}${final}Yes`, 'hm <b>hm <b>', 'Yes'],
    ['a thought that never ends', '<|channel|>analysis<|message|>hm <|en', 'hm <|en', ''],
    ['words before the answer', `<|channel|>commentary<|message|>I look.<|end|>${final}Yes`, '', 'I look.\n\nYes'],
    ['an answer without a head, as a grammar has it', '{"a": 1}', '', '{"a": 1}'],
    ['words that begin like a head', 'to be', '', 'to be'],
    ['a head that is cut off', '<|channel|>ana', '', '<|channel|>ana'],
    ['nothing but white space', ' \n', '', ' \n'],
  ])('%s', (_what, written, thinking, text) => {
    expect(readAnyhow(thoughts, written)).toEqual({ thinking, text, calls: [] });
  });

  test.each([
    '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>',
    '<|channel|>commentary to=functions.f<|message|>{"a": 1}',
    ' to=functions.f<|channel|>commentary json<|message|>{"a": 1}<|call|>',
    '<|channel|>analysis to=functions.f code<|message|>{"a": 1}<|call|>',
  ])('a call after a thought, as %s', (call) => {
    const heads = call.startsWith(' to') ? `${think}<|start|>assistant` : think;
    expect(readAnyhow(thoughts, heads + call)).toEqual({ thinking: 'hm <b>', text: '', calls: [{ a: 1 }] });
  });

  test('any text full of its tags comes to an end, and is the same for every cut', () => {
    const fragment = fc.constantFrom(...channels.tags, 'analysis', 'final', 'to=functions.f', ' ', 'a', 'é', '{', '<|');
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 12 }), (pieces) => {
        const written = pieces.join('');
        const { thinking, text } = readAnyhow(thoughts, written);
        // Only heads and tags are left out.
        const accents = (told: string) => told.replaceAll(/[^é]/g, '');
        if (!written.includes('<|message|>')) expect(accents(thinking + text)).toBe(accents(written));
      }),
    );
  });

  test('words before two calls', () => {
    const call = '<|channel|>commentary to=functions.f<|message|>{"a": 1}<|call|>';
    const written = `${think}<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>${call}<|start|>assistant${call}`;
    expect(readAnyhow(thoughts, written)).toEqual({
      thinking: 'hm <b>',
      text: 'I look.',
      calls: [{ a: 1 }, { a: 1 }],
    });
  });
});

test('a template without any mark does not think', () => {
  expect(thoughtsOf('{{ messages }}')).toBeNull();
  expect(thoughtsOf(null)).toBeNull();
});
