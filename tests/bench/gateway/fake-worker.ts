// A worker without a model, as fast as Node can be: announces itself to the ledger and answers on raw sockets.
// Started as a process of its own: `node fake-worker.ts` with FAKE_WORKERS, FAKE_SLOTS, REDIS_URL and POOL.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { protocolVersion } from '../../../shared/announcement.ts';
import type { Announcement } from '../../../shared/announcement.ts';
import { decodeOwner } from '../../../shared/auth.ts';
import { leaseHeader, ownerHeader } from '../../../shared/headers.ts';
import type { Ledger, RunningLease } from '../../../shared/ledger/ledger.ts';
import { createRedisLedger } from '../../../shared/ledger/redis.ts';
import { connectRedis } from '../../../shared/redis.ts';
import { encodeSettlement, settlementTrailer } from '../../../shared/settlement.ts';
import { chunkMark, modelName, stampDigits, stampUs } from './load.ts';

const beatEveryMs = 1_000;
/** Chunks that came due while this process could not run are sent late, but at most those of this time. */
const lateMsMax = 50;
/** A stream whose reader is this far behind is passed over. */
const unsentBytesMax = 65_536;

const settlement = encodeSettlement({
  finish: 'stop',
  promptTokens: 480,
  cachedTokens: 0,
  outputTokens: 90,
  ttftMs: 12,
  prefillMs: 10,
  decodeMs: 300,
  loadMs: 0,
});

function head(contentType: string, more: readonly string[] = []): string {
  return [
    'HTTP/1.1 200 OK',
    `content-type: ${contentType}`,
    ...more,
    `trailer: ${settlementTrailer}`,
    'date: Sun, 22 Nov 2026 10:00:00 GMT',
    'connection: keep-alive',
    'transfer-encoding: chunked',
    '\r\n',
  ].join('\r\n');
}

function framed(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

/** About 530 bytes of JSON, chunked, ended by the settlement. */
const whole = Buffer.from(
  `${head('application/json; charset=utf-8')}${framed(completion())}0\r\n${settlementTrailer}: ${settlement}\r\n\r\n`,
);

function completion(): string {
  const content = 'A reverse proxy stands before servers and hands each request to one of them. '.repeat(3).trim();
  return JSON.stringify({
    id: 'chatcmpl-0123456789abcdef',
    object: 'chat.completion',
    created: 1_795_341_600,
    model: modelName,
    choices: [
      { index: 0, message: { role: 'assistant', content, refusal: null }, logprobs: null, finish_reason: 'stop' },
    ],
    usage: {
      prompt_tokens: 480,
      completion_tokens: 90,
      total_tokens: 570,
      prompt_tokens_details: { cached_tokens: 0 },
    },
  });
}

const streamHead = Buffer.from(
  head('text/event-stream; charset=utf-8', ['cache-control: no-cache', 'x-accel-buffering: no']),
);

/** One chunk of about 190 bytes as OpenAI's dialect has it, with room for the time it was written. */
const template = Buffer.from(
  framed(
    `data: {"id":"chatcmpl-0123456789abcdef","created":1795341600,"model":"${modelName}","object":"chat.completion.chunk",` +
      `"choices":[{"index":0,"delta":{"content":"${String.fromCharCode(chunkMark)}${'0'.repeat(stampDigits)}"},"logprobs":null,"finish_reason":null}]}\n\n`,
  ),
);
const stampAt = template.indexOf(chunkMark) + 1;

function chunk(): Buffer {
  const bytes = Buffer.from(template);
  bytes.write(String(stampUs()).padStart(stampDigits, '0'), stampAt, 'latin1');
  return bytes;
}

/** Worker ids by the port that a request came in on, and their running streams, which the beats list. */
interface Announced {
  worker: string;
  url: string;
  running: Map<Socket, RunningLease>;
}

interface Streams {
  add(socket: Socket): void;
  remove(socket: Socket): void;
  /** Chunks a second over all streams from now on; 0 = silence. */
  pace(chunksPerS: number): void;
}

/** Sends chunks one stream after the other, so that each is a write of its own. */
function createStreams(): Streams {
  const sockets: Socket[] = [];
  let perMs = 0;
  let next = 0;
  let owed = 0;
  let lastMs = 0;
  let timer: NodeJS.Timeout | undefined;

  const turn = () => {
    const nowMs = performance.now();
    owed = Math.min(owed + (nowMs - lastMs) * perMs, lateMsMax * perMs);
    lastMs = nowMs;
    for (; owed >= 1 && sockets.length > 0; owed -= 1) {
      next = (next + 1) % sockets.length;
      const socket = sockets[next];
      if (socket && socket.writableLength < unsentBytesMax) socket.write(chunk());
    }
    timer = setTimeout(turn, 1);
  };
  return {
    add: (socket) => void sockets.push(socket),
    remove(socket) {
      const at = sockets.indexOf(socket);
      if (at >= 0) sockets.splice(at, 1);
    },
    pace(chunksPerS) {
      clearTimeout(timer);
      perMs = chunksPerS / 1_000;
      owed = 0;
      lastMs = performance.now();
      if (perMs > 0) turn();
    },
  };
}

/** Reads requests of one connection: a head, a body of a declared length, one after the other. */
function serve(socket: Socket, announced: Announced, streams: Streams, leave: (lease: string) => void): void {
  let pending: Buffer | null = null;
  socket.on('data', (data: Buffer) => {
    let bytes = pending === null ? data : Buffer.concat([pending, data]);
    for (let end = endOfRequest(bytes); end > 0 && end <= bytes.length; end = endOfRequest(bytes)) {
      answer(bytes.subarray(0, end));
      bytes = bytes.subarray(end);
    }
    pending = bytes.length === 0 ? null : bytes;
  });
  const answer = (request: Buffer) => {
    if (request.includes('"stream":true')) stream(request);
    else socket.write(whole);
  };
  const stream = (request: Buffer) => {
    const lease = leaseOf(request);
    if (lease) announced.running.set(socket, lease);
    socket.write(streamHead);
    socket.write(chunk());
    streams.add(socket);
  };
  socket.on('error', () => {});
  socket.on('close', () => {
    streams.remove(socket);
    const lease = announced.running.get(socket);
    if (announced.running.delete(socket) && lease) leave(lease.id);
  });
}

/** Length of the first request in `bytes`; 0 while its head is incomplete. */
function endOfRequest(bytes: Buffer): number {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return 0;
  const [, length = '0'] = /\r\ncontent-length: *(\d+)/i.exec(bytes.toString('latin1', 0, end)) ?? [];
  return end + 4 + Number(length);
}

/** The lease in a request of Berth's; other gateways send none. */
function leaseOf(request: Buffer): RunningLease | null {
  const head = request.toString('latin1', 0, request.indexOf('\r\n\r\n'));
  const header = (name: string) => new RegExp(`\r\n${name}: *([^\r]*)`, 'i').exec(head)?.[1];
  const id = header(leaseHeader);
  return id === undefined ? null : { id, model: modelName, ...decodeOwner(header(ownerHeader) ?? '') };
}

async function listen(worker: string, streams: Streams, leave: (lease: string) => void): Promise<Announced> {
  const announced: Announced = { worker, url: '', running: new Map() };
  const server = createServer({ noDelay: true }, (socket) => serve(socket, announced, streams, leave));
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, resolve));
  announced.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return announced;
}

function announcementOf({ worker, url }: Announced, epoch: string, slots: number): string {
  const announcement: Announcement = {
    protocol: protocolVersion,
    worker,
    epoch,
    url,
    slots,
    loadedMax: 1,
    state: 'ready',
    device: 'none',
    models: [
      {
        name: modelName,
        loaded: true,
        evictable: true,
        failed: null,
        contextTokens: 8_192,
        trainedTokens: 8_192,
        sizeBytes: 1,
        vramBytes: 0,
        digest: '0'.repeat(64),
        architecture: 'none',
        parameterSize: '0B',
        quantization: 'none',
        modifiedAt: '2026-11-22T10:00:00Z',
        capabilities: ['completion'],
        expiresAt: null,
      },
    ],
  };
  return JSON.stringify(announcement);
}

/** Beats of all announced workers, each second. */
async function beat(ledger: Ledger, all: readonly Announced[], epoch: string, slots: number, boot: boolean) {
  for (const announced of all) {
    await ledger.beat({
      worker: announced.worker,
      epoch,
      boot,
      last: false,
      capacity: slots,
      weight: 1,
      serves: [modelName],
      running: [...announced.running.values()],
      announcement: announcementOf(announced, epoch, slots),
    });
  }
}

async function main(): Promise<void> {
  const { FAKE_WORKERS, FAKE_SLOTS, REDIS_URL = '', POOL = '' } = process.env;
  const slots = Number(FAKE_SLOTS);
  const epoch = randomBytes(8).toString('hex');
  const redis = await connectRedis({ url: REDIS_URL, commandMs: 5_000 });
  const ledger = await createRedisLedger({ redis, pool: POOL });
  const leave = (id: string) => void ledger.leave({ id, actual: null, refused: false }).catch(() => {});
  const streams = createStreams();
  const all = await Promise.all(
    Array.from({ length: Number(FAKE_WORKERS) }, (_, index) => listen(`fake-${index + 1}`, streams, leave)),
  );
  await beat(ledger, all, epoch, slots, true);
  const again = () => {
    beat(ledger, all, epoch, slots, false)
      .catch((error: unknown) => console.error(`the fake worker's beat failed: ${String(error)}`))
      .finally(() => setTimeout(again, beatEveryMs));
  };
  again();
  process.on('message', ({ chunksPerS }: { chunksPerS: number }) => streams.pace(chunksPerS));
  process.on('disconnect', () => process.exit(0));
  process.send?.({ ready: true, ports: all.map(({ url }) => Number(new URL(url).port)) });
}

await main();
