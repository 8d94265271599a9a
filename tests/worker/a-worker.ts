// A worker in this process, on a real socket, with the echo engine and a ledger that only remembers; and its caller.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { workerOfSeat } from '@berth/shared/announcement.ts';
import type { Announcement } from '@berth/shared/announcement.ts';
import { signCall } from '@berth/shared/auth.ts';
import type { Call } from '@berth/shared/auth.ts';
import { systemClock } from '@berth/shared/clock.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { refusalHeader } from '@berth/shared/headers.ts';
import type { Beat, Leave, Order, WorkerLedger } from '@berth/shared/ledger/ledger.ts';
import { silentLog } from '@berth/shared/log.ts';
import { decodeRefusal } from '@berth/shared/outcome.ts';
import type { Refusal } from '@berth/shared/outcome.ts';
import { systemRandom } from '@berth/shared/random.ts';
import { decodeSettlement, settlementTrailer } from '@berth/shared/settlement.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { expect } from 'vitest';
import { createAnnouncementReader } from '../../gateway/workers/announcement.ts';
import { echoEngines } from '../../worker/engine/echo.ts';
import type { EchoEngines, EchoScript } from '../../worker/engine/echo.ts';
import type { OpenEngine } from '../../worker/engine/engine.ts';
import { realDisk } from '../../worker/pull/layer.ts';
import { startWorker } from '../../worker/worker.ts';
import type { Worker, WorkerOptions } from '../../worker/worker.ts';
import { gguf, text, u32 } from './gguf-file.ts';
import { readGguf, readWholeFacts } from '../../worker/models/gguf.ts';

export const secret = 'the secret of the tests';

export interface TestWorker extends AsyncDisposable {
  worker: Worker;
  echo: EchoEngines;
  beats: Beat[];
  leaves: Leave[];
  /** By worker, what each of its beats is answered until the model is served. */
  orders: Map<string, Order>;
  modelsDir: string;
  call: (options?: Partial<TestCall>) => Promise<Answer>;
  /** The call as it goes on: for what happens in its middle. */
  begin: (options?: Partial<TestCall>) => Running;
  announcement: () => Announcement;
}

export interface TestCall {
  path: string;
  body: unknown;
  lease: string;
  epoch: string;
  model: string;
  headers: Record<string, string>;
  /** Nobody else may use the model meanwhile. */
  alone: boolean;
  outputMax: number | undefined;
  contextMax: number | undefined;
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
  /** False when the connection broke before the end. */
  complete: boolean;
  settlement: Settlement | null;
  /** Why the worker cut the stream, from the trailer. */
  refusal: Refusal | null;
}

export interface Running {
  answer: Promise<Answer>;
  /** Settles with what has come so far, when it holds this text. */
  until(text: string): Promise<string>;
  /** The gateway closes the connection. */
  abort(): void;
}

type Options = Partial<WorkerOptions> & {
  models?: string[];
  /** Embedding models. */
  embedders?: string[];
  echo?: Partial<EchoScript>;
  opens?: (open: OpenEngine) => OpenEngine;
};

const encoderKeys = {
  'general.architecture': text('bert'),
  'bert.context_length': u32(512),
  'bert.pooling_type': u32(1),
};

export async function aWorker({
  models = ['m'],
  embedders = [],
  echo: script = {},
  opens,
  ...options
}: Options = {}): Promise<TestWorker> {
  const modelsDir = await mkdtemp(join(tmpdir(), 'berth-worker-'));
  for (const name of models) await writeFile(join(modelsDir, `${name}.gguf`), gguf());
  for (const name of embedders) await writeFile(join(modelsDir, `${name}.gguf`), gguf({ keys: encoderKeys }));
  const clock: Clock = options.clock ?? systemClock;
  const echo = echoEngines(clock, script);
  const { ledger, beats, leaves, orders } = rememberingLedger();
  const worker = await startWorker({
    id: 'w1',
    ...ofAnyWorker(ledger, clock),
    device: 'cpu',
    gpus: async () => [],
    engine: { contextTokens: 4096, slots: 4, threads: 1, gpu: false },
    embedParallel: 1,
    loadedMax: 3,
    keepAliveMs: 300_000,
    modelsDir,
    modelsFile: null,
    pull: { hosts: [], hubUrl: 'https://huggingface.co', disk: realDisk },
    demoPath: join(modelsDir, 'demo', 'none.gguf'),
    check: readGguf,
    wholeFacts: readWholeFacts,
    open: opens?.(echo.open) ?? echo.open,
    ...options,
  });
  const begin = (call: Partial<TestCall> = {}): Running => beginCall(worker, clock, call);
  return {
    worker,
    echo,
    beats,
    leaves,
    orders,
    modelsDir,
    begin,
    call: (call) => begin(call).answer,
    announcement: () => announced(beats.at(-1)),
    async [Symbol.asyncDispose]() {
      await worker.drain(0);
      await rm(modelsDir, { recursive: true, force: true });
    },
  };
}

/** What a worker of either kind is given, and no test looks at. */
export function ofAnyWorker(ledger: WorkerLedger, clock: Clock) {
  return {
    host: '127.0.0.1',
    port: 0,
    url: (port: number) => `http://127.0.0.1:${port}`,
    secret,
    version: '0.0.0',
    ledger,
    clock,
    random: systemRandom,
    log: silentLog,
    onStale: () => undefined,
  };
}

export function rememberingLedger(): { ledger: WorkerLedger } & Pick<TestWorker, 'beats' | 'leaves' | 'orders'> {
  const beats: Beat[] = [];
  const leaves: Leave[] = [];
  const orders = new Map<string, Order>();
  return {
    beats,
    leaves,
    orders,
    ledger: {
      async beat(beat) {
        // Every worker serves its seat: left out here, so that what is looked at are models.
        beats.push({ ...beat, serves: beat.serves.filter((name) => workerOfSeat(name) === null) });
        const order = orders.get(beat.worker) ?? null;
        if (order !== null && beat.serves.includes(order.model)) orders.delete(beat.worker);
        return { kind: 'ok', added: 0, dropped: 0, order: orders.get(beat.worker) ?? null };
      },
      leave: async (leave) => (leaves.push(leave), 'held'),
    },
  };
}

export function announced(beat: Beat | undefined): Announcement {
  const { read } = createAnnouncementReader();
  const announcement = read(beat?.worker ?? '', beat?.announcement ?? '');
  return typeof announcement === 'string' ? expect.fail(announcement) : announcement;
}

/** A chat body; the text may carry the echo engine's directives. */
export function chat(text: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { model: 'm', messages: [{ role: 'user', content: text }], ...more };
}

let calls = 0;

export function beginCall(worker: Worker, clock: Clock, call: Partial<TestCall>): Running {
  calls += 1;
  const { path, body, lease, epoch, model, headers, alone, outputMax, contextMax } = {
    path: '/v1/chat/completions',
    body: chat('hello world'),
    lease: `lease${calls}`,
    epoch: worker.epoch,
    model: 'm:latest',
    headers: {},
    alone: false,
    outputMax: undefined,
    contextMax: undefined,
    ...call,
  };
  const signed: Call = {
    lease,
    epoch,
    model,
    owner: { team: 'red', key: 'k1', gateway: 'g1' },
    ...(alone && { alone }),
    ...(outputMax && { outputMax }),
    ...(contextMax && { contextMax }),
  };
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const so = { ...signCall(secret, 'POST', path, signed, clock.now()), 'content-length': bytes.length, ...headers };
  const outgoing = request(`${worker.url}${path}`, { method: 'POST', headers: so, agent: false });
  const got = { text: '', waiting: new Set<() => void>() };
  const answer = new Promise<Answer>((resolve, reject) => {
    outgoing.on('error', (error) => (got.text === '' ? reject(error) : undefined));
    outgoing.on('response', (response) => {
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        got.text += chunk;
        for (const look of got.waiting) look();
      });
      response.on('error', () => undefined);
      response.on('close', () => {
        const { statusCode: status = 0, headers, trailers, complete } = response;
        const settlement = decodeSettlement(trailers[settlementTrailer]);
        const refusal = decodeRefusal(trailers[refusalHeader]);
        resolve({ status, headers, body: got.text, complete, settlement, refusal });
      });
    });
  });
  answer.catch(() => undefined); // a test that aborts does not look at the answer
  outgoing.end(bytes);
  return { answer, until: (text) => untilText(got, text), abort: () => outgoing.destroy() };
}

/** A call on a bare socket that takes no bytes by itself. @param bodyBytes what it promises to send */
export function rawCall(worker: Worker, clock: Clock, lease: string, body: string, bodyBytes = body.length): Socket {
  const path = '/v1/chat/completions';
  const call: Call = { lease, epoch: worker.epoch, model: 'm:latest', owner: { team: 't', key: 'k', gateway: 'g' } };
  const headers = Object.entries(signCall(secret, 'POST', path, call, clock.now()));
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const socket = connect(Number(new URL(worker.url).port), '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`POST ${path} HTTP/1.1\r\nhost: w\r\ncontent-length: ${bodyBytes}\r\n${lines}\r\n${body}`);
  return socket;
}

function untilText(got: { text: string; waiting: Set<() => void> }, text: string): Promise<string> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!got.text.includes(text)) return;
      got.waiting.delete(look);
      resolve(got.text);
    };
    got.waiting.add(look);
    look();
  });
}

/** Waits until something holds; the test's own time limit is the bound. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2));
}
