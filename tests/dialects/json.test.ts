// JSON on the wire: what is read, what is refused and where, and lines that no client splits.
import { lineJson, parseJson } from '@berth/shared/dialects/json.ts';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { refused } from './refused.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('reading a body', () => {
  test('every JSON value is read as it was written', () => {
    fc.assert(
      fc.property(fc.json({ depthSize: 'small' }), (text) => {
        expect(parseJson(bytes(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  test('more objects and arrays than any honest body has are refused before one is built', () => {
    const body = (count: number) => bytes(`{"a":[${'[],'.repeat(count)}0],"text":"${'['.repeat(60_000)}"}`);
    expect(refused(() => parseJson(body(50_000))).message).toContain('more than 50000 objects');
    expect(parseJson(body(49_000))).toHaveProperty('text');
  });

  test('a byte order mark is skipped', () => {
    expect(parseJson(new Uint8Array([0xef, 0xbb, 0xbf, ...bytes('{"a":1}')]))).toEqual({ a: 1 });
  });

  test.each([
    ['', 'the body is empty: send a JSON object'],
    ['{"model":', 'the body is not valid JSON: it ends too early'],
    ['{"model":"m",}', 'the body is not valid JSON: line 1, column 14'],
    ['{"model":"m",\n "messages":[tru]}', 'the body is not valid JSON: line 2, column 14'],
    ["{'model':1}", 'the body is not valid JSON: line 1, column 2'],
    ['{"a":01}', 'the body is not valid JSON: line 1, column 6'],
    ['{"a":"line\nbreak"}', 'the body is not valid JSON: line 1, column 11'],
    ['{"a":"\\x"}', 'the body is not valid JSON: line 1, column 7'],
    ['{} {}', 'the body is not valid JSON: line 1, column 4'],
    ['model=m', 'the body is not valid JSON: line 1, column 1'],
    ['[1 2]', 'the body is not valid JSON: line 1, column 4'],
    ['{"a" 1}', 'the body is not valid JSON: line 1, column 6'],
  ])('%j is refused with the place of its fault', (text, message) => {
    const refusal = refused(() => parseJson(bytes(text)));
    expect(refusal.outcome).toBe('bad_request');
    expect(refusal.message).toBe(message);
  });

  test('text that JSON.parse refuses always has a place, and its content is never repeated', () => {
    fc.assert(
      fc.property(
        fc.json(),
        fc.nat(),
        fc.constantFrom('secret', '}', ',', '"', '\\', '\u0001'),
        (text, seed, noise) => {
          const at = seed % (text.length + 1);
          const broken = text.slice(0, at) + noise + text.slice(at);
          fc.pre(!isJson(broken));
          const { message } = refused(() => parseJson(bytes(broken)));
          expect(message).toMatch(/^the body is not valid JSON: (line \d+, column \d+|it ends too early)$/);
        },
      ),
    );
  });

  test('bytes that are not UTF-8 are refused', () => {
    expect(refused(() => parseJson(new Uint8Array([0x22, 0xff, 0x22]))).message).toBe('the body is not valid UTF-8');
  });

  test('64 levels are read, 65 are refused, and brackets inside strings do not count', () => {
    const nested = (levels: number) => bytes('['.repeat(levels) + ']'.repeat(levels));
    expect(() => parseJson(nested(64))).not.toThrow();
    expect(refused(() => parseJson(nested(65))).message).toBe('the body is nested deeper than 64 levels');
    const text = '\\"['.repeat(1000);
    expect(parseJson(bytes(JSON.stringify({ text })))).toEqual({ text });
  });

  test('a million opening brackets are refused without being built', () => {
    expect(refused(() => parseJson(bytes('['.repeat(1_000_000)))).outcome).toBe('bad_request');
  });

  test('names are counted over all objects, and what is quoted is none', () => {
    const names = (count: number) => bytes(`{${Array.from({ length: count }, (_, at) => `"n${at}":"a:b"`).join()}}`);
    expect(Object.keys(parseJson(names(100_000)) as object)).toHaveLength(100_000);
    expect(refused(() => parseJson(names(100_001))).message).toBe('the body has more than 100000 names');
  });

  test('a long string without an end is refused like a short one', () => {
    const refusal = refused(() => parseJson(bytes(`{"a":"${'x'.repeat(5_000_000)}`)));
    expect(refusal.message).toBe('the body is not valid JSON: it ends too early');
  });
});

describe('writing a line', () => {
  test('any text comes back, and no line separator of any client is bare in it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const line = lineJson({ text });
        expect(JSON.parse(line)).toEqual({ text });
        const splits = (character: string) => character < ' ' || '\u0085\u2028\u2029'.includes(character);
        expect(line.split('').filter(splits)).toEqual([]);
      }),
    );
    expect(lineJson('a\u2028b\u2029c\u0085d')).toBe('"a\\u2028b\\u2029c\\u0085d"');
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
