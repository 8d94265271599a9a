// Files that are not good models, of every kind that a folder of models may hold, and a breaker of good ones by chance.
import { chanceFrom } from './chance.ts';
import { ggufBytes, text, u32, type Gguf, type Metadata, type Value } from './gguf.ts';
import { randomModel } from './random.ts';

export interface Broken {
  /** What is wrong, in words that can name a file. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Where it shows: in the head of the file, or only when the engine loads it. */
  readonly shows: 'header' | 'load';
}

/** A small good model, to be broken. */
export const goodModel = (): Gguf =>
  randomModel({ parameters: 3e5, type: 'q8_0', vocabulary: 512, context: 256, ends: true, seed: 1, name: 'good' });

/** Every kind of break, each time the same. */
export function brokenFiles(): Broken[] {
  const good = goodModel();
  const bytes = ggufBytes(good);
  return [...strangers(), ...heads(bytes), ...cuts(bytes), ...metadata(good), ...tensors(good)];
}

const utf8 = (words: string): Uint8Array => new TextEncoder().encode(words);
const header = (name: string, bytes: Uint8Array): Broken => ({ name, bytes, shows: 'header' });
const load = (name: string, gguf: Gguf): Broken => ({ name, bytes: ggufBytes(gguf), shows: 'load' });

/** Files that never were a model. */
function strangers(): Broken[] {
  return [
    header('empty', new Uint8Array()),
    header('one-byte', utf8('G')),
    header('magic-only', utf8('GGUF')),
    header('text', utf8('This is not a model.\n'.repeat(100))),
    header('html-error-page', utf8('<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>')),
    header(
      'git-lfs-pointer',
      utf8(`version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 905408\n`),
    ),
    header('zeros', new Uint8Array(4096)),
    header('json', utf8('{"model": "gguf"}')),
  ];
}

/** Byte positions in the head: magic 0, version 4, tensor count 8, metadata count 16, length of the first key 24. */
const at = { magic: 0, version: 4, tensors: 8, metadata: 16, firstKey: 24 } as const;
const absurd = { huge: 0xffff_ffff_ffff_ffffn, signed: 0x7fff_ffff_ffff_ffffn, million: 1_000_000_000_000n } as const;

function heads(good: Uint8Array): Broken[] {
  const counts = (['tensors', 'metadata', 'firstKey'] as const).flatMap((field) =>
    Object.entries(absurd).map(([size, value]) =>
      header(
        `absurd-${field}-${size}`,
        changed(good, (view) => view.setBigUint64(at[field], value, true)),
      ),
    ),
  );
  return [
    header(
      'wrong-magic',
      changed(good, (view) => view.setUint32(at.magic, 0x46554747 ^ 1, true)),
    ),
    header(
      'big-endian-magic',
      changed(good, (view) => view.setUint32(at.magic, 0x47475546, true)),
    ),
    header(
      'version-0',
      changed(good, (view) => view.setUint32(at.version, 0, true)),
    ),
    header(
      'version-1',
      changed(good, (view) => view.setUint32(at.version, 1, true)),
    ),
    header(
      'version-99',
      changed(good, (view) => view.setUint32(at.version, 99, true)),
    ),
    header(
      'version-big-endian',
      changed(good, (view) => view.setUint32(at.version, 3, false)),
    ),
    header(
      'no-tensors-counted',
      changed(good, (view) => view.setBigUint64(at.tensors, 0n, true)),
    ),
    ...counts,
  ];
}

function changed(bytes: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const copy = bytes.slice();
  change(new DataView(copy.buffer));
  return copy;
}

/** Cut short in the head, in the tensor list and in the data: what an interrupted download leaves. */
function cuts(good: Uint8Array): Broken[] {
  const inHead = [8, 16, 24, 30, 60, 200, 1000, 4000].map((length) =>
    header(`cut-after-${length}-bytes`, good.slice(0, length)),
  );
  const inData = [0.5, 0.9].map((share): Broken => ({
    name: `cut-at-${share * 100}-percent`,
    bytes: good.slice(0, Math.floor(good.length * share)),
    shows: 'load',
  }));
  return [...inHead, ...inData, { name: 'cut-by-one-byte', bytes: good.slice(0, -1), shows: 'load' }];
}

/** Numbers that parse but make no model. */
function metadata(good: Gguf): Broken[] {
  const having = (name: string, key: string, value: Value): Broken =>
    load(name, { ...good, metadata: { ...good.metadata, [key]: value } });
  const lacking = (name: string, gone: (key: string) => boolean): Broken =>
    load(name, {
      ...good,
      metadata: Object.fromEntries(Object.entries(good.metadata).filter(([key]) => !gone(key))) satisfies Metadata,
    });
  return [
    having('zero-heads', 'llama.attention.head_count', u32(0)),
    having('more-kv-heads-than-heads', 'llama.attention.head_count_kv', u32(1000)),
    having('zero-layers', 'llama.block_count', u32(0)),
    having('huge-layers', 'llama.block_count', u32(0xffff_ffff)),
    having('many-layers', 'llama.block_count', u32(500)),
    having('zero-width', 'llama.embedding_length', u32(0)),
    having('huge-width', 'llama.embedding_length', u32(0x7fff_ffff)),
    having('zero-feed-forward', 'llama.feed_forward_length', u32(0)),
    having('odd-rope', 'llama.rope.dimension_count', u32(7)),
    having('width-as-text', 'llama.embedding_length', text('wide')),
    having('unknown-architecture', 'general.architecture', text('berth-of-tomorrow')),
    having('unknown-tokenizer', 'tokenizer.ggml.model', text('runes')),
    lacking('no-architecture', (key) => key === 'general.architecture'),
    lacking('no-tokenizer', (key) => key.startsWith('tokenizer.')),
    lacking('no-tokens', (key) => key === 'tokenizer.ggml.tokens'),
    lacking('no-merges', (key) => key === 'tokenizer.ggml.merges'),
    lacking('no-sizes', (key) => key.startsWith('llama.')),
  ];
}

/** A list of tensors that does not fit the numbers, or points beyond the file. */
function tensors(good: Gguf): Broken[] {
  const without = (name: string, gone: string): Broken =>
    load(name, { ...good, tensors: good.tensors.filter((tensor) => tensor.name !== gone) });
  const bytes = ggufBytes(good);
  return [
    without('no-embedding-tensor', 'token_embd.weight'),
    without('no-norm-tensor', 'output_norm.weight'),
    without('no-attention-tensor', 'blk.0.attn_q.weight'),
    load('no-tensors', { ...good, tensors: [] }),
    load('twice-the-same-tensor', { ...good, tensors: [...good.tensors, ...good.tensors.slice(0, 1)] }),
    header(
      'tensor-offset-beyond-the-file',
      changed(bytes, (view) => view.setBigUint64(offsetField(bytes, good), absurd.million, true)),
    ),
    header(
      'tensor-type-unknown',
      changed(bytes, (view) => view.setUint32(offsetField(bytes, good) - 4, 250, true)),
    ),
    header(
      'tensor-shape-absurd',
      changed(bytes, (view) => view.setBigUint64(offsetField(bytes, good) - 20, absurd.signed, true)),
    ),
  ];
}

/** Where the offset of the first tensor (of two dimensions) stands. */
function offsetField(bytes: Uint8Array, good: Gguf): number {
  const name = good.tensors[0]?.name ?? '';
  const start = Buffer.from(bytes).indexOf(Buffer.concat([length8(name), Buffer.from(name)]));
  return start + 8 + name.length + 4 + 2 * 8 + 4;
}

function length8(name: string): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(name.length));
  return buffer;
}

/** Changes, cuts or inserts a few bytes by chance, mostly in the head, where they do most harm. The same seed breaks the same way. */
export function mutate(bytes: Uint8Array, seed: number): Uint8Array {
  const chance = chanceFrom(seed);
  let broken = new Uint8Array(bytes); // `slice` of a Buffer would break the original
  for (let times = chance.between(1, 8); times > 0; times -= 1) {
    const place = chance.between(0, Math.min(broken.length - 1, chance.happens(0.8) ? 2000 : broken.length - 1));
    const dice = chance.unit();
    if (dice < 0.7) broken[place] = chance.pick([0, 0xff, 0x7f, 0x80, chance.between(0, 255)]);
    else if (dice < 0.8) broken = broken.slice(0, Math.max(place, 1));
    else if (dice < 0.9)
      broken = new Uint8Array(
        Buffer.concat([broken.subarray(0, place), broken.subarray(place + chance.between(1, 16))]),
      );
    else
      broken = new Uint8Array(
        Buffer.concat([broken.subarray(0, place), Buffer.from([chance.between(0, 255)]), broken.subarray(place)]),
      );
    if (broken.length === 0) return broken;
  }
  return broken;
}
