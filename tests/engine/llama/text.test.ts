// Tokens become text of whole characters, without stop strings, however they were cut.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { stopSearch, wholePieces } from '../../../worker/engine/llama/text.ts';

const bytesToText = (tokens: readonly number[]): string => new TextDecoder().decode(Uint8Array.from(tokens));

/** Every cut of a list into runs of at least one. */
const cutOf = (length: number) => fc.array(fc.integer({ min: 1, max: 4 }), { minLength: length, maxLength: length });

function cut(text: string, sizes: readonly number[]): string[] {
  const pieces: string[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at >= text.length) break;
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return [...pieces, text.slice(at)].filter((piece) => piece !== '');
}

function searched(pieces: readonly string[], stops: readonly string[]): { text: string; found: boolean } {
  const search = stopSearch(stops);
  let text = '';
  for (const piece of pieces) {
    const { text: ready, found } = search.push(piece);
    text += ready;
    if (found) return { text, found };
  }
  return { text: text + search.flush(), found: false };
}

test('pieces of single bytes are whole characters and join to the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      fc.pre(!text.includes('\uFFFD') && !text.startsWith('\uFEFF'));
      const pieces = wholePieces(bytesToText, []);
      const said = [...new TextEncoder().encode(text)].map((byte) => pieces.push(byte));
      expect(said.join('') + pieces.flush()).toBe(text);
      expect(said.join('')).not.toContain('\uFFFD');
    }),
  );
});

test('broken bytes are said after five tokens at the latest, and at the end', () => {
  const pieces = wholePieces(bytesToText, []);
  const said = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff].map((byte) => pieces.push(byte));
  expect(said.slice(0, 5).join('')).toBe('\uFFFD'.repeat(5));
  expect(pieces.flush()).toBe('\uFFFD');
});

test('tokens before the first decide about its leading space', () => {
  const spaced = (tokens: readonly number[]): string => tokens.map((token) => `t${token}`).join(' ');
  expect(wholePieces(spaced, [1]).push(2)).toBe(' t2');
  expect(wholePieces(spaced, []).push(2)).toBe('t2');
});

test('the text ends before the stop string that is complete first, however the text was cut', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 24 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 }), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(letters, stops, cutOf(24), (text, stops, sizes) => {
      expect(searched(cut(text, sizes), stops)).toEqual(searched(text.split(''), stops));
    }),
  );
});

test('nothing of a stop string is ever said, and nothing else is lost', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 30 });
  const stop = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(letters, stop, cutOf(30), (text, stop, sizes) => {
      const at = text.indexOf(stop);
      const expected = at < 0 ? { text, found: false } : { text: text.slice(0, at), found: true };
      expect(searched(cut(text, sizes), [stop])).toEqual(expected);
    }),
  );
});

test('text is held back no longer than a stop string is possible', () => {
  const search = stopSearch(['END']);
  expect(search.push('one E').text).toBe('one ');
  expect(search.push('N').text).toBe('');
  expect(search.push('ough').text).toBe('ENough');
});
