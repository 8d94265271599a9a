// Byte-level BPE as llama.cpp reads it (`tokenizer.ggml.model` gpt2, `tokenizer.ggml.pre` smollm): learning, encoding, decoding.

/** GPT-2's reversible map from bytes to printable characters (openai/gpt-2 encoder.py, `bytes_to_unicode`). */
export const byteCharacters: readonly string[] = (() => {
  const printable = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let spare = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : spare++));
})();

/** smollm puts each digit alone, then cuts like GPT-2; a cut never looks beyond its own chunk. */
export function cut(text: string): string[] {
  return text
    .split(/(\p{N})/u)
    .filter((chunk) => chunk !== '')
    .flatMap(
      (chunk) => chunk.match(/'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu) ?? [],
    );
}

const symbolsOf = (word: string): string[] =>
  Array.from(new TextEncoder().encode(word), (byte) => byteCharacters[byte] ?? '');

export interface Vocabulary {
  /** Token texts in byte characters, in the order of their ids; control tokens first. */
  readonly tokens: readonly string[];
  readonly controls: number;
  /** Pairs "left right", best first. */
  readonly merges: readonly string[];
}

/** Learns merges until the vocabulary has `size` tokens: always the pair that is seen most, ties by the earlier text. */
export function learn(texts: Iterable<string>, size: number, controls: readonly string[]): Vocabulary {
  const counted = new Map<string, number>();
  for (const text of texts) for (const word of cut(text)) counted.set(word, (counted.get(word) ?? 0) + 1);
  const words = Array.from(counted, ([word, count]) => ({ symbols: symbolsOf(word), count }));
  const merges: string[] = [];
  while (controls.length + 256 + merges.length < size) {
    const best = mostSeenPair(words);
    if (best === undefined) break;
    merges.push(best);
    const [left = '', right = ''] = best.split(' ');
    for (const word of words) if (word.symbols.includes(left)) word.symbols = joinPair(word.symbols, left, right);
  }
  return {
    tokens: [...controls, ...byteCharacters, ...merges.map((pair) => pair.replace(' ', ''))],
    controls: controls.length,
    merges,
  };
}

function mostSeenPair(words: readonly { symbols: string[]; count: number }[]): string | undefined {
  const seen = new Map<string, number>();
  for (const { symbols, count } of words) {
    for (let i = 1; i < symbols.length; i += 1) {
      const pair = `${symbols[i - 1]} ${symbols[i]}`;
      seen.set(pair, (seen.get(pair) ?? 0) + count);
    }
  }
  let best: string | undefined;
  for (const [pair, count] of seen)
    if (best === undefined || count > (seen.get(best) ?? 0) || (count === seen.get(best) && pair < best)) best = pair;
  return best;
}

function joinPair(symbols: readonly string[], left: string, right: string): string[] {
  const joined: string[] = [];
  for (let i = 0; i < symbols.length; i += 1) {
    if (symbols[i] === left && symbols[i + 1] === right) joined.push(`${left}${right}`, ...symbols.slice(++i, i));
    else joined.push(symbols[i] ?? '');
  }
  return joined;
}

export interface Encoder {
  readonly encode: (text: string) => number[];
  readonly decode: (tokens: readonly number[]) => string;
}

/** Encodes text with the control tokens in it recognised. */
export function encoderOf(vocabulary: Vocabulary): Encoder {
  const ids = new Map(vocabulary.tokens.map((token, id) => [token, id]));
  const ranks = new Map(vocabulary.merges.map((pair, rank) => [pair, rank]));
  const known = new Map<string, readonly number[]>();
  const controls = vocabulary.tokens.slice(0, vocabulary.controls);
  const controlPattern = new RegExp(`(${controls.map((control) => control.replace(/[|<>]/g, '\\$&')).join('|')})`);
  const encodeWord = (word: string): readonly number[] => {
    let tokens = known.get(word);
    if (!tokens) {
      tokens = merged(symbolsOf(word), ranks).map((symbol) => ids.get(symbol) ?? 0);
      if (known.size < 200_000) known.set(word, tokens);
    }
    return tokens;
  };
  const encodePart = (part: string): number[] =>
    controls.includes(part) ? [ids.get(part) ?? 0] : cut(part).flatMap(encodeWord);
  return { encode: (text) => text.split(controlPattern).flatMap(encodePart), decode: decoderOf(vocabulary) };
}

function merged(start: string[], ranks: ReadonlyMap<string, number>): string[] {
  let symbols = start;
  for (;;) {
    let best = Infinity;
    let at = -1;
    for (let i = 1; i < symbols.length; i += 1) {
      const rank = ranks.get(`${symbols[i - 1]} ${symbols[i]}`) ?? Infinity;
      if (rank < best) [best, at] = [rank, i - 1];
    }
    if (at < 0) return symbols;
    symbols = joinPair(symbols, symbols[at] ?? '', symbols[at + 1] ?? '');
  }
}

function decoderOf(vocabulary: Vocabulary): Encoder['decode'] {
  const bytes = new Map(byteCharacters.map((character, byte) => [character, byte]));
  return (tokens) => {
    const text = tokens.flatMap((id) =>
      id < vocabulary.controls ? [] : Array.from(vocabulary.tokens[id] ?? '', (character) => bytes.get(character) ?? 0),
    );
    return new TextDecoder().decode(Uint8Array.from(text));
  };
}
