// Bytes of a GGUF file in their order, with a bound on everything that the file claims.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

/** The file cannot be a model. The message says what is wrong and what to do. */
export class BadGguf extends Error {
  override readonly name = 'BadGguf';
}

/** Real headers stay far below: the largest known vocabulary, 262,144 tokens, takes 6 MB. */
const headerBytesMax = 256 * 1024 * 1024;
/** Small, so that other work of the process gets its turn in between. */
const chunkBytes = 128 * 1024;

export interface GgufInput {
  take(bytes: number): Promise<Buffer>;
  skip(bytes: number): Promise<void>;
  position(): number;
  /** SHA-256 over the file's size and all that was passed, 64 hex characters. */
  digest(): string;
}

/** A reader that never reads beyond the file or the bound. */
export function boundedInput(file: FileHandle, size: number): GgufInput {
  const hash = createHash('sha256').update(`${size}:`);
  let chunk: Buffer = Buffer.alloc(0);
  let chunkAt = 0;
  let at = 0;

  const refill = async (bytes: number): Promise<void> => {
    if (at + bytes > size) throw new BadGguf(`the file ends inside its header, at ${size} bytes: copy it again`);
    if (at + bytes > headerBytesMax) throw new BadGguf(`its header has more than ${headerBytesMax} bytes`);
    hash.update(chunk.subarray(0, at - chunkAt));
    const buffer = Buffer.alloc(Math.min(Math.max(chunkBytes, bytes), size - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead < bytes) throw new BadGguf('the file became shorter while it was read: copy it again');
    chunk = buffer.subarray(0, bytesRead);
    chunkAt = at;
  };
  const take = async (bytes: number): Promise<Buffer> => {
    if (at + bytes > chunkAt + chunk.length) await refill(bytes);
    at += bytes;
    return chunk.subarray(at - bytes - chunkAt, at - chunkAt);
  };
  return {
    take,
    async skip(bytes) {
      for (let left = bytes; left > 0; left -= chunkBytes) await take(Math.min(left, chunkBytes));
    },
    position: () => at,
    digest: () => hash.update(chunk.subarray(0, at - chunkAt)).digest('hex'),
  };
}

/** A 64-bit number; `Infinity` beyond what JavaScript holds exactly. */
export async function unsigned64(input: GgufInput): Promise<number> {
  const value = (await input.take(8)).readBigUInt64LE();
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(value);
}

/** A number of things that the file claims to have. @throws BadGguf above `most` */
export async function count(input: GgufInput, what: string, most: number): Promise<number> {
  const value = await unsigned64(input);
  if (value > most) throw new BadGguf(`it claims more than ${most} ${what}: the file is damaged`);
  return value;
}

export async function string(input: GgufInput, bytesMax: number): Promise<string> {
  return (await input.take(await count(input, 'bytes in a text', bytesMax))).toString('utf8');
}

/** A name out of the file, fit for a log line. */
export function shown(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
