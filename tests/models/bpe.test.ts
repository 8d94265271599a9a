// The byte-level BPE: what it learns, how it cuts, and that nothing is lost on the way to tokens and back.
import { describe, expect, test } from 'vitest';
import { cut, encoderOf, learn } from './bpe.ts';
import { controlTokens } from './dialogues/chat.ts';

const texts = [
  'the slot of the worker',
  'the gateway gives the slot',
  'the worker has four slots',
  'there is the ledger',
];
const vocabulary = learn(texts, 300, controlTokens);
const { encode, decode } = encoderOf(vocabulary);

describe('cut', () => {
  test('keeps the space with the word that follows', () =>
    expect(cut('the slot, please')).toEqual(['the', ' slot', ',', ' please']));
  test('puts every digit alone, without its space', () =>
    expect(cut('port 8080')).toEqual(['port', ' ', '8', '0', '8', '0']));
  test('leaves the last blank of several to the next word', () =>
    expect(cut('a  b\n\n')).toEqual(['a', ' ', ' b', '\n\n']));
  test('never looks beyond a digit', () => expect(cut('a  5')).toEqual(['a', '  ', '5']));
});

describe('learn', () => {
  test('joins first what is seen most', () => expect(vocabulary.merges.slice(0, 2)).toEqual(['h e', 't he']));
  test('has the control tokens, all bytes, then one token for each merge', () => {
    expect(vocabulary.tokens.length).toBe(controlTokens.length + 256 + vocabulary.merges.length);
    expect(new Set(vocabulary.tokens).size).toBe(vocabulary.tokens.length);
  });
  test('stops when there is nothing more to join', () => expect(learn(['ab'], 1000, []).merges).toEqual(['a b']));
});

describe('an encoder', () => {
  test.each(['the slot', 'Ünïcödé 🚢 世界', 'tabs\tand\nlines\n\n', '  leading', 'a\0b', ''])(
    'gives back %j',
    (text) => {
      expect(decode(encode(text))).toBe(text);
    },
  );
  test('uses what was learnt', () => expect(encode('the').length).toBe(1));
  test('knows control tokens amid text', () =>
    expect(encode('<|im_start|>the<|im_end|>')).toEqual([1, ...encode('the'), 2]));
});
