// The client of streams: many open replies on raw sockets, of which it counts the chunks and how late they come.
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { chunkMark, stampDigits, stampUs, streamRequest } from './load.ts';

/** Streams that are being opened at a time. */
const openingMax = 64;
const openMsMax = 10_000;
const latenciesMax = 1_000_000;

export interface Streams extends AsyncDisposable {
  /** Streams whose reply has begun and not ended. */
  readonly open: number;
  /** Replies that were refused or ended. */
  readonly failed: number;
  /** Chunks since the last `reset`. */
  readonly chunks: number;
  /** Opens more streams, a few at a time. @throws Error with the first refusal */
  add(count: number): Promise<void>;
  reset(): void;
  /** From the fake worker's write to our read, microseconds. */
  latencyUs(quantile: number): number;
}

export function openStreams(port: number): Streams {
  const request = streamRequest(port);
  const sockets = new Set<Socket>();
  // All sockets read into one piece of memory: what a read brought is looked at before the next one.
  const memory = Buffer.allocUnsafe(65_536);
  const latencies = new Int32Array(latenciesMax);
  let chunks = 0;
  let timed = 0;
  let failed = 0;

  const look = (length: number) => {
    const bytes = memory.subarray(0, length);
    for (let at = bytes.indexOf(chunkMark); at >= 0; at = bytes.indexOf(chunkMark, at + 1)) {
      chunks += 1;
      // A stamp that the end of the read cuts in two is left out; its chunk was counted.
      if (at + stampDigits < length && timed < latenciesMax) {
        latencies[timed++] = stampUs() - Number(bytes.toString('latin1', at + 1, at + 1 + stampDigits));
      }
    }
  };

  const openOne = () =>
    new Promise<void>((resolve, reject) => {
      let begun = false;
      const read = (length: number) => {
        if (!begun) {
          const start = memory.toString('latin1', 0, Math.min(length, 400));
          if (!start.startsWith('HTTP/1.1 200')) {
            socket.destroy(new Error(`refused: ${start}`));
            return;
          }
          begun = true;
          clearTimeout(late);
          resolve();
        }
        look(length);
      };
      const socket = connect({
        port,
        host: '127.0.0.1',
        noDelay: true,
        onread: {
          buffer: memory,
          callback(length) {
            read(length);
            return true;
          },
        },
      });
      const late = setTimeout(() => socket.destroy(new Error('no reply in time')), openMsMax);
      let why = new Error('closed before it began');
      sockets.add(socket);
      socket.on('connect', () => socket.write(request));
      socket.on('error', (error) => (why = error));
      socket.on('close', () => {
        clearTimeout(late);
        if (sockets.delete(socket)) failed += 1;
        reject(why);
      });
    });

  return {
    get open() {
      return sockets.size;
    },
    get failed() {
      return failed;
    },
    get chunks() {
      return chunks;
    },
    async add(count) {
      let left = count;
      const opener = async () => {
        while (left-- > 0) await openOne();
      };
      await Promise.all(Array.from({ length: openingMax }, opener));
    },
    reset() {
      chunks = 0;
      timed = 0;
    },
    latencyUs(quantile) {
      const sorted = latencies.slice(0, timed).sort();
      return sorted[Math.floor(quantile * Math.max(0, timed - 1))] ?? 0;
    },
    async [Symbol.asyncDispose]() {
      const leaving = [...sockets];
      sockets.clear();
      for (const socket of leaving) socket.destroy();
      await sleep(200);
    },
  };
}
