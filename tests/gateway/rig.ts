// A gateway with fake workers around a memory ledger: real sockets, a clock that goes when a test says so.
import { connect } from 'node:net';
import { request as httpRequest } from 'node:http';
import type { Agent, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { expect } from 'vitest';
import type { Ledger } from '@berth/shared/ledger/ledger.ts';
import { LedgerUnavailable } from '@berth/shared/ledger/ledger.ts';
import type { Leave, Take } from '@berth/shared/ledger/ledger.ts';
import type { Clock } from '@berth/shared/clock.ts';
import { createLog } from '@berth/shared/log.ts';
import { startGateway } from '../../gateway/gateway.ts';
import type { Gateway, GatewayOptions } from '../../gateway/gateway.ts';
import { checkQuestion } from '../../gateway/explain.ts';
import { createAuthenticate, createHolder, openDoor } from '../../gateway/keys.ts';
import { createKeyBook } from '../../gateway/policy/book.ts';
import type { KeyBook } from '../../gateway/policy/book.ts';
import { readKey } from '../../gateway/policy/key.ts';
import { openRegisters } from '../../gateway/policy/registers.ts';
import { checkEnded } from '../../gateway/policy/sessions.ts';
import { checkRow, createUsage } from '../../gateway/policy/usage.ts';
import { checkStanding } from '../../gateway/standing.ts';
import { checkMark, isMarkKept } from '../../gateway/poison.ts';
import { createMemoryLedger } from '../../gateway/ledger/memory.ts';
import { emptyPool } from '../../gateway/ledger/pool.ts';
import type { Pool } from '../../gateway/ledger/pool.ts';
import { virtualClock } from '../doubles/clock.ts';
import type { VirtualClock } from '../doubles/clock.ts';
import { startFakeWorker } from '../doubles/fake-worker.ts';
import type { FakeWorker, FakeWorkerOptions } from '../doubles/fake-worker.ts';

export const secret = 'the secret of a test pool';

type WorkerWish = Omit<FakeWorkerOptions, 'ledger' | 'clock' | 'secret'>;

export interface Rig extends AsyncDisposable {
  clock: VirtualClock;
  ledger: Ledger;
  /** The state of the ledger, to look at and to lose. */
  pool: Pool;
  gateway: Gateway;
  book: KeyBook;
  /** Origin of the gateway. */
  url: string;
  port: number;
  workers: FakeWorker[];
  /** The first worker. */
  worker: FakeWorker;
  /** What the ledger was asked, in order. */
  takes: Take[];
  leaves: Leave[];
  /** Leases that were left to their workers. */
  entrusted: string[];
  /** Lines of the log, parsed. */
  lines: Record<string, unknown>[];
  /** While true the ledger answers nobody but the workers. */
  outage: (down: boolean) => void;
  /** Ids of what the ledger holds: tickets that wait and leases that are held. */
  waiting(): string[];
  held(): string[];
  addWorker(wish?: WorkerWish): Promise<FakeWorker>;
}

export interface RigWish {
  workers?: WorkerWish[];
  settings?: Partial<GatewayOptions['settings']>;
  options?: Partial<GatewayOptions>;
  /** Keys of the settings; then keys are needed, and those of the book count too. */
  door?: string[];
  /** Real time, for parts that need it; then `Rig.clock` moves nothing. */
  clock?: Clock;
  /** Stands between gateway and ledger. */
  between?: (ledger: Ledger) => Ledger;
}

const settings: GatewayOptions['settings'] = {
  host: '127.0.0.1',
  allowedHosts: null,
  trustedProxies: null,
  identityHeaders: null,
  connectionsMax: 8_192,
  connectionsPerAddressMax: 1_024,
  mounts: null,
  modelsFile: null,
  port: 0,
  corsOrigins: null,
  waitingMax: 512,
  waitingPerKeyMax: 256,
  waitingBytesMax: 2 ** 28,
  queueTimeoutMs: 280_000,
  bodyBytesMax: 2 ** 22,
};

export async function startRig(wish: RigWish = {}): Promise<Rig> {
  const virtual = virtualClock();
  const clock = wish.clock ?? virtual;
  const pool = emptyPool();
  const memory = createMemoryLedger({ clock, pool });
  const watched = watch(memory);
  const ledger = wish.between?.(watched.ledger) ?? watched.ledger;
  const workers: FakeWorker[] = [];
  const addWorker = async (more: WorkerWish = {}) => {
    const worker = await startFakeWorker({ ledger: memory, clock, secret, id: `w${workers.length + 1}`, ...more });
    workers.push(worker);
    return worker;
  };
  for (const more of wish.workers ?? [{}]) await addWorker(more);

  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>);
  let id = 0;
  const random = { id: () => `id${(id += 1)}`, integer: () => 0 };
  const silent = createLog({ source: 'policy', level: 'error', clock, write });
  const common = { path: null, carrier: null, prefix: '', everyMs: 1_000, clock, random, log: silent };
  const registers = await openRegisters({ ...common, check: readKey });
  const used = await openRegisters({ ...common, check: checkRow });
  const marks = await openRegisters({
    ...common,
    check: checkMark,
    isKept: (_, mark) => isMarkKept(mark, clock.now()),
  });
  const ended = await openRegisters({
    ...common,
    check: checkEnded,
    isKept: (_, until) => Number(until) > clock.now(),
  });
  const standing = await openRegisters({ ...common, check: checkStanding });
  const questions = await openRegisters({ ...common, check: checkQuestion });
  const usage = createUsage({ registers: used, clock, node: 'here' });
  const book = createKeyBook({ registers, clock });
  const gateway = await startGateway({
    ledger,
    degraded: () => false,
    alone: true,
    secret,
    authenticate: wish.door ? createAuthenticate(wish.door, { book, now: () => clock.now() }) : openDoor,
    holder: createHolder(wish.door ?? [], { book, now: () => clock.now() }),
    ended,
    keyless: !wish.door,
    tls: null,
    book,
    usage,
    marks,
    standing,
    questions,
    settings: { ...settings, ...wish.settings },
    clock,
    random,
    log: createLog({ source: 'gateway', level: 'debug', clock, write }),
    version: '0.0.0',
    ...wish.options,
  });
  const { port } = gateway.address;
  const ids = (state: string) => [...pool.records].filter(([, r]) => r.state === state).map(([id]) => id);

  return {
    clock: virtual,
    ledger: memory,
    pool,
    gateway,
    book,
    url: `http://127.0.0.1:${port}`,
    port,
    workers,
    get worker() {
      const [first] = workers;
      if (!first) throw new Error('this rig has no worker');
      return first;
    },
    takes: watched.takes,
    leaves: watched.leaves,
    entrusted: watched.entrusted,
    lines,
    outage: watched.outage,
    waiting: () => ids('wait'),
    held: () => ids('held'),
    addWorker,
    async [Symbol.asyncDispose]() {
      await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
      await (wish.clock ? gateway.drain(0) : drained(virtual, gateway.drain(0)));
    },
  };
}

/** Lets a virtual clock go on until the promise settles. */
export async function drained<T>(clock: VirtualClock, promise: Promise<T>): Promise<T> {
  const end = watched(promise);
  for (let turns = 0; turns < 200 && !end.come; turns += 1) {
    await clock.advance(100);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return promise;
}

/** Whether a promise has settled by now. */
export function watched(promise: Promise<unknown>): { readonly come: boolean } {
  const end = { come: false };
  const settle = () => void (end.come = true);
  promise.then(settle, settle);
  return end;
}

/** Writes down what is asked, and stands for a ledger that does not answer. */
function watch(ledger: Ledger) {
  const takes: Take[] = [];
  const leaves: Leave[] = [];
  const entrusted: string[] = [];
  let down = false;
  const reach = () => {
    if (down) throw new LedgerUnavailable('nobody there');
  };
  const watched: Ledger = {
    async take(input) {
      takes.push(input);
      reach();
      return ledger.take(input);
    },
    async leave(input) {
      leaves.push(input);
      reach();
      return ledger.leave(input);
    },
    async session(input) {
      reach();
      return ledger.session(input);
    },
    async survey() {
      reach();
      return ledger.survey();
    },
    async claim(input) {
      reach();
      return ledger.claim(input);
    },
    entrust: (id) => void entrusted.push(id),
    beat: (input) => ledger.beat(input),
    listen: (gateway, onGrant) => ledger.listen(gateway, onGrant),
    [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
  };
  return { ledger: watched, takes, leaves, entrusted, outage: (is: boolean) => void (down = is) };
}

/** Waits until it is so; fails with what was seen last when that takes longer than 5 s of real time. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  const endMs = Date.now() + 5_000;
  while (!isSo()) {
    if (Date.now() > endMs) expect.fail(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** `complete`, or the reply was cut. */
  end: 'complete' | 'cut';
}

export interface Asking extends Disposable {
  /** The whole answer, however it ended. */
  answer: Promise<Answer>;
  /** The head, as soon as it is there. */
  head: Promise<IncomingMessage>;
  /** What has arrived so far. */
  sofar(): string;
  /** Closes the connection at once. */
  leave(): void;
}

export interface Ask {
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  agent?: Agent;
}

export function chat(change: object = {}): string {
  return JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'hello' }], ...change });
}

/** One request on a connection of its own, unless an agent is given. */
export function ask(
  rig: { port: number },
  { method = 'POST', path = '/v1/chat/completions', headers, body, agent }: Ask = {},
): Asking {
  const head = Promise.withResolvers<IncomingMessage>();
  const answer = Promise.withResolvers<Answer>();
  head.promise.catch(() => {});
  answer.promise.catch(() => {});
  let text = '';
  const sent = httpRequest({
    host: '127.0.0.1',
    port: rig.port,
    method,
    path,
    headers: headers ?? {},
    agent: agent ?? false,
  });
  sent.on('error', (error) => {
    head.reject(error);
    answer.reject(error);
  });
  sent.on('response', (response) => {
    head.resolve(response);
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('error', () => {});
    response.on('close', () => {
      const { statusCode = 0, headers, complete } = response;
      answer.resolve({ status: statusCode, headers, text, end: complete ? 'complete' : 'cut' });
    });
  });
  sent.end(body ?? (method === 'POST' ? chat() : undefined));
  return {
    answer: answer.promise,
    head: head.promise,
    sofar: () => text,
    leave: () => sent.destroy(),
    [Symbol.dispose]: () => sent.destroy(),
  };
}

/** Sends bytes as they are, and gives everything that came back until the other side closed. */
export function raw(rig: { port: number }, text: string): Promise<{ text: string; end: 'fin' | 'reset' }> {
  return new Promise((resolve) => {
    const socket = connect(rig.port, '127.0.0.1', () => socket.write(text));
    let received = '';
    socket.setEncoding('latin1').on('data', (data: string) => (received += data));
    socket.on('end', () => resolve({ text: received, end: 'fin' }));
    socket.on('error', () => resolve({ text: received, end: 'reset' }));
    socket.on('close', () => resolve({ text: received, end: 'fin' }));
  });
}

/** A request as text. */
export function wire(
  body: string,
  headers: Record<string, string> = {},
  line = 'POST /v1/chat/completions HTTP/1.1',
): string {
  const all = { host: 'berth', 'content-length': String(Buffer.byteLength(body)), ...headers };
  const fields = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${line}\r\n${fields.join('')}\r\n${body}`;
}
