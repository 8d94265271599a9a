// The bytes that a token stands for, read from the model's vocabulary: a detokenizer shows only whole characters.

export interface VocabularyText {
  /** `tokenizer.ggml.model`: `gpt2` writes bytes as printable characters, the others write text. */
  kind: string | null;
  tokens: readonly string[];
  /** `tokenizer.ggml.token_type`: llama.cpp's `llama_token_type`. */
  types: readonly number[];
}

const [controlType, userDefinedType, byteType] = [3, 4, 6];
/** Begins a word in vocabularies that write a space as a letter. */
const spaceMark = /\u2581/g;

/** @returns for a token its bytes; none for control tokens, which are no text, and for ids outside the vocabulary */
export function tokenBytes({ kind, tokens, types }: VocabularyText): (token: number) => Uint8Array {
  const byteOf = kind === 'gpt2' ? gpt2Bytes() : null;
  return (token) => {
    const text = tokens[token] ?? '';
    const type = Number(types[token]);
    if (type === controlType) return new Uint8Array(0);
    if (type === userDefinedType) return Buffer.from(text);
    const hex = type === byteType ? /^<0x([0-9A-F]{2})>$/i.exec(text)?.[1] : undefined;
    if (hex !== undefined) return Uint8Array.of(Number.parseInt(hex, 16));
    if (byteOf === null) return Buffer.from(text.replace(spaceMark, ' '));
    const bytes = Array.from(text, (character) => byteOf.get(character));
    return bytes.includes(undefined) ? Buffer.from(text) : Uint8Array.from(bytes as number[]);
  };
}

/** GPT-2's table: printable bytes stand for themselves, the others for the characters from U+0100 on, in order. */
function gpt2Bytes(): Map<string, number> {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let others = 0;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(printable(byte) ? byte : 0x100 + others++), byte]),
  );
}
