// One file of a model on its way into the store: resumed where it broke off, held to size and digest, renamed when whole.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { Clock } from '@berth/shared/clock.ts';
import { Refusal } from '@berth/shared/outcome.ts';
import { get } from './get.ts';
import type { GetOptions } from './get.ts';
import { locked, pause } from './lock.ts';
import type { Layer } from './manifest.ts';

/** What a pull needs of a disk: for tests of one that is full. */
export interface Disk {
  freeBytes(folder: string): Promise<number>;
  append(file: FileHandle, chunk: Uint8Array): Promise<void>;
}

export const realDisk: Disk = {
  freeBytes: async (folder) => {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  },
  append: async (file, chunk) => {
    await file.appendFile(chunk);
  },
};

/** Left free for everybody else who writes to that disk. */
export const reserveBytes = 256 * 1_024 ** 2;
/** Tries in a row that bring nothing. */
const triesMax = 6;
const firstPauseMs = 500;
const pauseMsMax = 30_000;

export interface LayerOptions extends GetOptions {
  /** The store's folder of files. */
  blobs: string;
  clock: Clock;
  disk: Disk;
}

function blobPath(blobs: string, digest: string): string {
  return join(blobs, digest.replace(':', '-'));
}

/** Bytes of a layer that are not on the disk yet. */
export async function missingBytes({ blobs }: Pick<LayerOptions, 'blobs'>, layer: Layer): Promise<number> {
  const path = blobPath(blobs, layer.digest);
  if ((await sizeOf(path)) === layer.sizeBytes) return 0;
  return Math.max(0, layer.sizeBytes - (await sizeOf(`${path}.partial`)));
}

/**
 * Settles when the file lies in the store. Several who want it share one download, other workers of this folder too.
 * @param onBytes how many bytes are there
 * @throws Refusal `pull_failed`, `forbidden`; the signal's reason. What has come stays, but for what is wrong or fills a disk
 */
export async function fetchLayer(
  layer: Layer,
  options: LayerOptions,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const path = blobPath(options.blobs, layer.digest);
  const isDone = async () => {
    const there = await sizeOf(path);
    onBytes(there === layer.sizeBytes ? there : await sizeOf(`${path}.partial`));
    return there === layer.sizeBytes;
  };
  await using lock = await locked(`${path}.lock`, options.clock, isDone, signal);
  if (lock === null) return;
  const partial = `${path}.partial`;
  try {
    if (typeof layer.from === 'string') await writeFile(partial, layer.from);
    else await download(layer, layer.from, partial, options, onBytes, signal);
    await checkDigest(partial, layer.digest, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') {
      await rm(partial, { force: true });
      throw new Refusal('pull_failed', `the disk of ${options.blobs} is full: make room there, and pull again`);
    }
    throw error;
  }
  await rename(partial, path);
}

async function download(
  { sizeBytes, digest }: Layer,
  url: URL,
  partial: string,
  options: LayerOptions,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let vain = 0; (await sizeOf(partial)) !== sizeBytes; vain += 1) {
    const before = await sizeOf(partial);
    try {
      await resume(url, partial, sizeBytes, options, onBytes, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refusal || (error as NodeJS.ErrnoException).code === 'ENOSPC') throw error;
      if ((await sizeOf(partial)) > before) vain = 0;
      if (vain >= triesMax - 1) {
        const why = (error as Error).message;
        throw new Refusal('pull_failed', `${url.host} broke off ${triesMax} times at ${digest.slice(7, 19)}: ${why}`);
      }
      await pause(options.clock, Math.min(firstPauseMs * 2 ** vain, pauseMsMax), signal);
    }
  }
}

/** One try. @throws Error when it broke off, and is worth another one */
async function resume(
  url: URL,
  partial: string,
  sizeBytes: number,
  options: LayerOptions,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  await using file = await open(partial, 'a');
  const { size } = await file.stat();
  const range: Record<string, string> = size > 0 ? { range: `bytes=${size}-` } : {};
  const answer = await get(url, range, options, signal);
  try {
    let bytes = (await startOf(answer, file, url, size)) ? size : 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      bytes += chunk.length;
      if (bytes > sizeBytes) {
        await file.truncate(0);
        throw new Refusal('pull_failed', `${url.host} sends more than the ${sizeBytes} bytes that its manifest says`);
      }
      await options.disk.append(file, chunk);
      onBytes(bytes);
    }
    await file.sync();
    if (bytes < sizeBytes) throw new Error(`it ended after ${bytes} of ${sizeBytes} bytes`);
  } finally {
    answer.destroy();
  }
}

/** Whether the answer goes on where the file ends; one that begins anew empties it. @throws Refusal; Error to try again */
async function startOf(answer: IncomingMessage, file: FileHandle, url: URL, size: number): Promise<boolean> {
  const { statusCode = 0, headers } = answer;
  const [, start = ''] = /^bytes (\d+)-/.exec(headers['content-range'] ?? '') ?? [];
  if (statusCode === 206 && Number(start) === size && start !== '') return true;
  if (statusCode === 200 || statusCode === 206 || statusCode === 416) {
    await file.truncate(0);
    if (statusCode === 200) return false;
    throw new Error('it does not go on where it broke off');
  }
  if (statusCode === 429 || statusCode >= 500) throw new Error(`status ${statusCode}`);
  throw new Refusal('pull_failed', `${url.host} does not give a file of the model: status ${statusCode}`);
}

async function checkDigest(path: string, digest: string, signal: AbortSignal): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1_024 ** 2 }) as AsyncIterable<Buffer>)
    hash.update(chunk);
  const found = `sha256:${hash.digest('hex')}`;
  if (found === digest) return;
  await rm(path, { force: true });
  throw new Refusal(
    'pull_failed',
    `the registry sent other bytes than it promised: ${found}, not ${digest}. Pull again`,
  );
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}
