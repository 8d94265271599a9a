// A worker on a real socket that does to each request what a test says: answers, stalls, or dies at a chosen byte.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { seatOn } from '@berth/shared/announcement.ts';
import { activityPath } from '@berth/shared/activity.ts';
import type { Activity } from '@berth/shared/activity.ts';
import type { Announcement, ModelCard } from '@berth/shared/announcement.ts';
import { checkCall } from '@berth/shared/auth.ts';
import type { Checked } from '@berth/shared/auth.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { notStartedHeader, refusalHeader } from '@berth/shared/headers.ts';
import type { NotStarted } from '@berth/shared/headers.ts';
import type { Beat, WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import { encodeRefusal } from '@berth/shared/outcome.ts';
import type { Refusal } from '@berth/shared/outcome.ts';
import { encodeSettlement, settlementTrailer } from '@berth/shared/settlement.ts';
import type { Settlement } from '@berth/shared/settlement.ts';

/** What becomes of one request, whose body has been read. */
export type Act = (exchange: { request: IncomingMessage; response: ServerResponse }) => void | Promise<void>;

/** One request that reached the worker. */
interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
  checked: Checked;
  /** True once the gateway has closed the connection before the reply was complete. */
  aborted: boolean;
  /** True while it runs. */
  running: boolean;
}

export interface FakeWorker extends AsyncDisposable {
  readonly id: string;
  readonly epoch: string;
  readonly url: string;
  /** Every request that reached it, in order. */
  readonly seen: Seen[];
  /** What becomes of the next requests, one act each; the last one of all stays. */
  act(...acts: Act[]): void;
  beat(change?: Partial<Beat>): Promise<void>;
  /** Changes what it announces, from the next beat on. */
  announce(change: Partial<Announcement>): void;
  /** A new life: a new epoch, and its first beat. */
  restart(epoch: string): Promise<void>;
  /** Beats no more by itself. */
  silence(): void;
  /** Takes no connections any more and cuts those that are open, but says nothing of it to the ledger. */
  vanish(): Promise<void>;
  /** Listens again, on the same port unless another one is given. */
  comeBack(port?: number): Promise<void>;
}

export interface FakeWorkerOptions {
  ledger: WorkerLedger;
  clock: Clock;
  secret: string;
  id?: string;
  epoch?: string;
  slots?: number;
  models?: ModelCard[];
  /** What it tells of its slots; left out = it does not know the question. */
  activity?: () => Activity;
}

export function aCard(change: Partial<ModelCard> = {}): ModelCard {
  return {
    name: 'tiny:latest',
    loaded: true,
    evictable: true,
    failed: null,
    contextTokens: 4_096,
    trainedTokens: 8_192,
    sizeBytes: 1_000_000,
    vramBytes: 0,
    digest: 'a'.repeat(64),
    architecture: 'llama',
    parameterSize: '1M',
    quantization: 'F16',
    modifiedAt: '2026-11-01T00:00:00.000Z',
    capabilities: ['completion', 'tools'],
    expiresAt: null,
    ...change,
  };
}

export const aSettlement: Settlement = {
  finish: 'stop',
  promptTokens: 7,
  cachedTokens: 2,
  outputTokens: 3,
  ttftMs: 5,
  prefillMs: 4,
  decodeMs: 6,
  loadMs: 0,
};

/** A worker that listens and has announced itself once. It beats each second, until `silence`. */
export async function startFakeWorker(options: FakeWorkerOptions): Promise<FakeWorker> {
  const { ledger, clock, secret, id = 'w1', slots = 2 } = options;
  const seen: Seen[] = [];
  const running = new Map<Seen, string>();
  let epoch = options.epoch ?? `${id}-life1`;
  let acts: Act[] = [whole('{"answer":"hello"}')];
  let changed: Partial<Announcement> = {};

  const server = createServer((request, response) => void serve(request, response));
  // A request that a test has cut may fail in any way; the worker's death is not what is tested.
  server.on('clientError', (_error, socket) => socket.destroy());
  const listen = async (port: number) => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  let url = `http://127.0.0.1:${port}`;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request;
    const checked = checkCall(secret, method, path, headers, clock.now());
    if (path === activityPath && checked.kind === 'ok') {
      response.writeHead(options.activity ? 200 : 404, json).end(JSON.stringify(options.activity?.() ?? {}));
      return;
    }
    const entry: Seen = { method, path, headers, body: '', checked, aborted: false, running: true };
    seen.push(entry);
    running.set(entry, checked.kind === 'ok' ? checked.call.lease : '');
    response.on('error', () => {});
    response.on('close', () => {
      entry.aborted = !response.writableFinished;
      entry.running = false;
      running.delete(entry);
    });
    const act = (acts.length > 1 ? acts.shift() : acts[0]) ?? hang();
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) entry.body += chunk.toString('utf8');
      await act({ request, response });
    } catch {
      response.destroy();
    }
  }

  const announcement = (): string =>
    JSON.stringify({
      protocol: 1,
      worker: id,
      epoch,
      url,
      slots,
      loadedMax: 1,
      state: 'ready',
      device: 'cpu',
      models: options.models ?? [aCard()],
      ...changed,
    } satisfies Announcement);

  const beat = async (change: Partial<Beat> = {}) => {
    const models = options.models ?? [aCard()];
    await ledger.beat({
      worker: id,
      epoch,
      boot: false,
      last: false,
      capacity: slots,
      weight: 1,
      serves: [...models.filter(({ loaded }) => loaded).map(({ name }) => name), seatOn(id)],
      running: [...running.values()].map((lease) => ({ id: lease, model: '', team: '', key: '', gateway: '' })),
      announcement: announcement(),
      ...change,
    });
  };
  await beat({ boot: true });
  let silent = false;
  const beatOn = () => {
    if (silent) return;
    beat().catch(() => {});
    clock.after(1_000, beatOn);
  };
  clock.after(1_000, beatOn);

  const vanish = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };

  return {
    id,
    get epoch() {
      return epoch;
    },
    get url() {
      return url;
    },
    seen,
    act(...next) {
      acts = next;
    },
    beat,
    announce: (change) => void (changed = { ...changed, ...change }),
    async restart(next) {
      epoch = next;
      await beat({ boot: true, running: [] });
    },
    silence: () => void (silent = true),
    vanish,
    async comeBack(at = port) {
      await listen(at);
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    async [Symbol.asyncDispose]() {
      silent = true;
      if (server.listening) await vanish();
    },
  };
}

const trailers = { trailer: settlementTrailer };
const json = { 'content-type': 'application/json' };
const events = { 'content-type': 'text/event-stream; charset=utf-8' };

/** A whole answer with its settlement. */
export function whole(text: string, settlement = aSettlement): Act {
  return ({ response }) => {
    response.writeHead(200, { ...json, ...trailers });
    response.write(text);
    response.addTrailers({ [settlementTrailer]: encodeSettlement(settlement) });
    response.end();
  };
}

/** Chunks, each in a write of its own, and the settlement. */
export function stream(chunks: readonly (string | Buffer)[], settlement = aSettlement): Act {
  return async ({ response }) => {
    response.writeHead(200, { ...events, ...trailers });
    for (const chunk of chunks) {
      response.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.addTrailers({ [settlementTrailer]: encodeSettlement(settlement) });
    response.end();
  };
}

/** A stream whose end looks clean, but says nothing of how it went. */
export function streamWithoutTrailer(chunks: readonly string[], trailer?: string): Act {
  return ({ response }) => {
    response.writeHead(200, { ...events, ...trailers });
    for (const chunk of chunks) response.write(chunk);
    if (trailer !== undefined) response.addTrailers({ [settlementTrailer]: trailer });
    response.end();
  };
}

/** How a connection ends: in order, or by a reset. */
export type Death = 'fin' | 'rst';

/** Sends `text` as it is, then ends the connection. */
export function die(death: Death, text = ''): Act {
  return async ({ request: { socket } }) => {
    if (text !== '') await new Promise((resolve) => socket.write(text, resolve));
    // The bytes before the death shall arrive: a reset drops what was not read yet.
    if (death === 'rst') await new Promise((resolve) => setTimeout(resolve, 50));
    if (death === 'rst') socket.resetAndDestroy();
    else socket.end(() => socket.destroy());
  };
}

export const head = `HTTP/1.1 200 OK\r\ncontent-type: ${events['content-type']}\r\ntransfer-encoding: chunked\r\ntrailer: ${settlementTrailer}\r\n\r\n`;

/** A chunk on the wire; `cut` leaves out its last bytes. */
export function chunkOf(text: string, cut = 0): string {
  const chunk = `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  return chunk.slice(0, chunk.length - cut);
}

/** "Not started." */
export function notStarted(why: NotStarted): Act {
  return ({ response }) => void response.writeHead(409, { ...json, [notStartedHeader]: why }).end('{}');
}

/** An error whose reason travels in a header. */
export function refuse(status: number, refusal: Refusal): Act {
  return ({ response }) =>
    void response
      .writeHead(status, { ...json, [refusalHeader]: encodeRefusal(refusal) })
      .end('{"error":"of a worker"}');
}

/** An error without a reason. */
export function fail(status = 500): Act {
  return ({ response }) => void response.writeHead(status, json).end('{"error":"of a worker"}');
}

/** Never answers. */
export function hang(): Act {
  return () => {};
}

/** Sends a head and these chunks, then nothing more. */
export function stall(...chunks: string[]): Act {
  return ({ response }) => {
    response.writeHead(200, { ...events, ...trailers });
    response.flushHeaders();
    for (const chunk of chunks) response.write(chunk);
  };
}

/** One act per request, over all the workers that share it; the last one stays. */
export function inTurn(...acts: Act[]): Act {
  let turn = 0;
  return (exchange) => acts[Math.min(turn++, acts.length - 1)]?.(exchange);
}

/** An act that goes on when the test says so. */
export function held(act: Act): { act: Act; go: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    act: async (exchange) => {
      await promise;
      await act(exchange);
    },
    go: resolve,
  };
}

/** As fast as the gateway takes them: `count` chunks of `bytes` each. `written` tells how many were taken. */
export function flood(count: number, bytes: number): { act: Act; written: () => number } {
  let written = 0;
  const chunk = Buffer.alloc(bytes, 'x');
  return {
    written: () => written,
    act: async ({ response }) => {
      let goOn = () => {};
      response.on('drain', () => goOn()).on('close', () => goOn());
      response.writeHead(200, { ...events, ...trailers });
      while (written < count && !response.destroyed) {
        written += 1;
        if (!response.write(chunk)) await new Promise<void>((resolve) => (goOn = resolve));
      }
      response.addTrailers({ [settlementTrailer]: encodeSettlement(aSettlement) });
      response.end();
    },
  };
}
