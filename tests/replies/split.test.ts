// Thinking, tool calls and the answer are told apart, however the text is cut, and nothing is lost.
import { type Splitting, splitter } from '@berth/worker/replies/split.ts';
import type { Segment } from '@berth/worker/replies/stage.ts';
import { thinkTags } from '@berth/worker/replies/thinking.ts';
import { hermes } from '@berth/worker/replies/tools/hermes.ts';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const both = { thoughts: thinkTags, calls: { syntax: hermes, tools: [], inPieces: false } };
const text = (text: string): Segment => ({ kind: 'text', text });
const thinking = (text: string): Segment => ({ kind: 'thinking', text });
const call = (name: string, args = {}): Segment => ({
  kind: 'call',
  name,
  arguments: args,
  written: JSON.stringify(args),
  begun: false,
});

/** Segments of the pieces, with neighbours of one kind put together as a client does. */
function split(pieces: readonly string[], options: Splitting = both): Segment[] {
  const splitting = splitter(options);
  const joined: Segment[] = [];
  for (const segment of [...pieces.flatMap((piece) => splitting.push(piece)), ...splitting.flush()]) {
    const last = joined.at(-1);
    if (last?.kind === 'text' && segment.kind === 'text') last.text += segment.text;
    else if (last?.kind === 'thinking' && segment.kind === 'thinking') last.text += segment.text;
    else joined.push({ ...segment });
  }
  return joined;
}

const samples: [string, string, Segment[]][] = [
  ['plain text', 'Hello  ', [text('Hello  ')]],
  ['white space only', ' \n', [text(' \n')]],
  ['thinking first', '\n<think>\nhm <b>\n</think>\n\nYes', [thinking('hm <b>'), text('Yes')]],
  ['thinking that is empty', '<think>\n\n</think>\n\nYes', [text('Yes')]],
  ['thinking that never ends', '<think>hm </thin', [thinking('hm </thin')]],
  ['a tag in the middle', 'a <think>b</think>', [text('a <think>b</think>')]],
  ['a second thought', '<think>a</think>b<think>c</think>', [thinking('a'), text('b<think>c</think>')]],
  ['half a tag', '<thi', [text('<thi')]],
  ['a call', '<tool_call>\n{"name":"f","arguments":{"a":1}}\n</tool_call>', [call('f', { a: 1 })]],
  ['a call after text', 'Look:\n\n<tool_call>{"name":"f"}</tool_call>\n', [text('Look:'), call('f')]],
  ['two calls', '<tool_call>{"name":"f"}</tool_call>\n<tool_call>{"name":"g"}</tool_call>', [call('f'), call('g')]],
  ['a call, then text', '<tool_call>{"name":"f"}</tool_call>done', [call('f'), text('done')]],
  ['thinking, then a call', '<think>a</think>\n<tool_call>{"name":"f"}</tool_call>', [thinking('a'), call('f')]],
  [
    'a call named while thinking',
    '<think><tool_call>x</tool_call></think>b',
    [thinking('<tool_call>x</tool_call>'), text('b')],
  ],
  ['arguments as text', '<tool_call>{"name":"f","arguments":"{\\"a\\":1}"}</tool_call>', [call('f', { a: 1 })]],
  ['parameters for arguments', '<tool_call>{"name":"f","parameters":{"a":1}}</tool_call>', [call('f', { a: 1 })]],
  ['no closing tag', '<tool_call>{"name":"f"}', [call('f')]],
  ['a cut call', 'a <tool_call>{"name":"f', [text('a <tool_call>{"name":"f')]],
  ['no JSON', 'a\n<tool_call>f(1)</tool_call>', [text('a\n<tool_call>f(1)</tool_call>')]],
  ['no name', '<tool_call>{"arguments":{}}</tool_call>', [text('<tool_call>{"arguments":{}}</tool_call>')]],
  [
    'arguments of a wrong kind',
    '<tool_call>{"name":"f","arguments":[1]}</tool_call>',
    [text('<tool_call>{"name":"f","arguments":[1]}</tool_call>')],
  ],
  [
    'a closing tag inside an argument',
    '<tool_call>{"name":"f","arguments":{"a":"\\"</tool_call>"}}</tool_call>',
    [call('f', { a: '"</tool_call>' })],
  ],
  [
    'a broken call before a good one',
    '<tool_call>{"name":}</tool_call><tool_call>{"name":"g"}</tool_call>',
    [text('<tool_call>{"name":}</tool_call>'), call('g')],
  ],
];

const joinedSamples = samples.map(([name, written, expected]) => [name, written, join(expected)] as const);

describe('splitting', () => {
  test.each(joinedSamples)('%s', (_name, written, expected) => {
    expect(split([written])).toEqual(expected);
  });

  test('is the same for every cut of the text', () => {
    fc.assert(
      fc.property(fc.constantFrom(...joinedSamples), fc.array(fc.nat(100)), ([, written, expected], cuts) => {
        const places = [0, ...cuts.map((cut) => cut % (written.length + 1)), written.length].toSorted((a, b) => a - b);
        const pieces = places.slice(1).map((place, index) => written.slice(places[index], place));
        expect(split(pieces)).toEqual(expected);
        expect(split(written.split(''))).toEqual(expected);
      }),
    );
  });

  test('loses nothing of a text that is full of tags and has no call', () => {
    const fragment = fc.constantFrom(
      '<tool_call>',
      '</tool_call>',
      '<tool',
      '</',
      ' ',
      '\n',
      '"',
      '{}',
      '\\',
      'a',
      'é',
    );
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 20 }), (pieces) => {
        const written = pieces.join('');
        const expected = written === '' ? [] : [text(written)];
        expect(split(pieces, { ...both, thoughts: null })).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });

  test('leaves every tag alone when neither was asked for', () => {
    for (const [, written] of samples) {
      expect(split(written.split(''), { thoughts: null, calls: null })).toEqual([text(written)]);
    }
  });

  test('is thinking from the start where the prompt opened it', () => {
    const splitting = splitter(both);
    splitting.open();
    const segments = [...splitting.push('hm'), ...splitting.push('\n</think>\n\nYes'), ...splitting.flush()];
    expect(segments).toEqual([thinking('hm'), text('Yes')]);
  });

  test('holds back only what may be the beginning of a tag', () => {
    const splitting = splitter(both);
    expect(splitting.push('Hello')).toEqual([text('Hello')]);
    expect(splitting.push(' wor')).toEqual([text(' wor')]);
    expect(splitting.push('ld <')).toEqual([text('ld')]);
    expect(splitting.push('b>')).toEqual([text(' <b>')]);
  });
});

function join(segments: readonly Segment[]): Segment[] {
  return segments.reduce<Segment[]>((joined, segment) => {
    const last = joined.at(-1);
    if (last?.kind === 'text' && segment.kind === 'text')
      return [...joined.slice(0, -1), text(last.text + segment.text)];
    return [...joined, segment];
  }, []);
}
