// A connection to Redis on which no command runs twice and every promise settles.
import type { Redis as Client } from 'ioredis';
import { systemClock, type Clock } from './clock.ts';
import { createCrowd } from './crowd.ts';
import { silentLog, type Log } from './log.ts';
import { systemRandom, type Random } from './random.ts';
import { whatIsUnfit, whyUnreachable } from './redis-checks.ts';
import { connectMs, createClient, sameServer } from './redis-client.ts';
import { fromIoredis, RedisReplyError, RedisUnavailable, RedisUnfit } from './redis-errors.ts';
import { redactUrl } from './redis-url.ts';

export interface Redis extends AsyncDisposable {
  /** False from the first sign that the server is gone until it answers again. */
  readonly up: boolean;
  /** Calls on each change of `up`. */
  onState(listener: (up: boolean) => void): Disposable;
  /**
   * Sends one command, at most once, over one connection.
   * @throws RedisUnavailable within the time limit: whether the command ran is unknown
   * @throws RedisReplyError when the server refused it
   */
  command(name: string, ...args: (string | number)[]): Promise<unknown>;
  get(name: string): Promise<string | null>;
  setIfAbsent(name: string, value: string): Promise<void>;
  /** Resolves when the server has confirmed; the subscription outlives reconnections. @throws RedisUnavailable */
  subscribe(channel: string, onMessage: (message: string) => void): Promise<AsyncDisposable>;
}

export interface RedisConnectOptions {
  /** `redis://user:password@host:port/db`, `rediss://` for TLS; sentinels or a cluster as the setting tells. */
  url: string;
  /** Whose node is looked for where the URL names a cluster. */
  pool?: string;
  clock?: Clock;
  random?: Random;
  log?: Log;
  /** Time limit of one command. */
  commandMs?: number;
}

const commandMsDefault = 500;
/** So many commands in a row without an answer mean that the connection is dead, though nobody closed it. */
const silentMax = 2;
const inFlightMax = 10_000;
const openMs = 5_000;
/** Subscriptions are repeated this often: that repairs one that was lost, and finds a dead connection. */
const resubscribeMs = 5_000;

/**
 * Connects and checks that the server can carry a ledger.
 * @throws RedisUnfit whose message says what is wrong and what to do
 */
export async function connectRedis(options: RedisConnectOptions): Promise<Redis> {
  const {
    url,
    pool = 'berth',
    clock = systemClock,
    random = systemRandom,
    log = silentLog,
    commandMs = commandMsDefault,
  } = options;
  const commands = createClient({ url, pool, clock, random });
  const subscriber = createClient({ url, pool, clock, random });
  const redis = createRedis({ commands, subscriber, clock, log, commandMs, url: redactUrl(url) });
  try {
    await open(commands, url, clock);
    await open(subscriber, url, clock);
    const problem = await whatIsUnfit((name, ...args) => redis.command(name, ...args));
    if (problem !== null) throw new RedisUnfit(`Redis at ${redactUrl(url)} ${problem}`);
    return redis;
  } catch (error) {
    await redis[Symbol.asyncDispose]();
    throw error;
  }
}

/** Waits for the first connection. */
async function open(client: Client, url: string, clock: Clock): Promise<void> {
  let last = '';
  const note = (error: Error) => (last = error.message || ('code' in error ? String(error.code) : ''));
  client.on('error', note);
  try {
    // Whoever looks for a server behind sentinels or in a cluster would look for ever.
    await within(clock, openMs, 'nobody tells where it is', client.connect());
  } catch (error) {
    // Only the text: ioredis's errors carry the command, and with AUTH the password.
    const why = last || (error instanceof Error ? error.message : String(error));
    throw new RedisUnfit(`Redis at ${redactUrl(url)} ${whyUnreachable(why)}`);
  } finally {
    client.off('error', note);
  }
}

interface Parts extends Required<Pick<RedisConnectOptions, 'url' | 'clock' | 'log' | 'commandMs'>> {
  commands: Client;
  subscriber: Client;
}

function createRedis({ commands, subscriber, clock, log, commandMs, url }: Parts): Redis {
  const listeners = new Set<(up: boolean) => void>();
  const line = createLine(commands, clock, commandMs);
  const channels = createChannels(subscriber, clock, commandMs);
  let up = false;
  let closed = false;

  function change(next: boolean, why: string): void {
    if (up === next || closed) return;
    if (next) log.info('redis answers', { url });
    else log.warn('redis is away', { url, why });
    up = next;
    for (const listener of listeners) listener(next);
  }
  let lastError = 'the connection was closed';
  commands.on('error', (error: Error) => (lastError = error.message));
  commands.on('ready', () => {
    if (subscriber.status === 'ready' && !sameServer(commands, subscriber)) subscriber.disconnect(true);
    // A server that hangs still accepts connections: it is there when it has answered, with whatever.
    line.send('PING').then(
      () => change(true, ''),
      (error: unknown) => (error instanceof RedisReplyError ? change(true, '') : commands.disconnect(true)),
    );
  });
  commands.on('close', () => change(false, lastError));
  line.onSilence(() => {
    change(false, `no answer to ${silentMax} commands`);
    commands.disconnect(true);
  });

  return {
    get up() {
      return up;
    },
    onState(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    command: line.send,
    async get(name) {
      const value = await line.send('GET', name);
      return typeof value === 'string' ? value : null;
    },
    async setIfAbsent(name, value) {
      await line.send('SET', name, value, 'NX');
    },
    subscribe: channels.subscribe,
    async [Symbol.asyncDispose]() {
      closed = true;
      up = false;
      listeners.clear();
      channels.close();
      subscriber.disconnect();
      commands.disconnect();
      line.fail('the connection was closed by its owner');
    },
  };
}

/** Commands in flight, each with a deadline of our own: ioredis forgets those that a lost connection leaves behind. */
function createLine(client: Client, clock: Clock, commandMs: number) {
  const inFlight = createCrowd<(error: RedisUnavailable) => void>();
  let silent = 0;
  let onSilence = (): void => {};

  function fail(why: string): void {
    for (const reject of inFlight) reject(new RedisUnavailable(why));
    inFlight.clear();
  }
  client.on('close', () => {
    silent = 0;
    fail('the connection to Redis was lost');
  });

  function send(name: string, ...args: (string | number)[]): Promise<unknown> {
    if (client.status !== 'ready') return Promise.reject(new RedisUnavailable('not connected to Redis'));
    if (inFlight.size >= inFlightMax) return Promise.reject(new RedisUnavailable('too many commands wait for Redis'));
    return new Promise((resolve, reject) => {
      const deadline = clock.after(commandMs, () => {
        settle(() => reject(new RedisUnavailable(`no answer to ${name} within ${commandMs} ms`)));
        if (++silent === silentMax) onSilence();
      });
      const settle = (how: () => void): void => {
        place[Symbol.dispose]();
        deadline[Symbol.dispose]();
        how();
      };
      const lost = (error: RedisUnavailable): void => settle(() => reject(error));
      const place = inFlight.add(lost);
      const answered = (how: () => void): void => {
        silent = 0;
        settle(how);
      };
      client.call(name, args).then(
        (reply) => answered(() => resolve(reply)),
        (error: unknown) => answered(() => reject(fromIoredis(error))),
      );
    });
  }

  return { send, fail, onSilence: (action: () => void) => void (onSilence = action) };
}

/** Subscriptions that outlive reconnections. */
function createChannels(client: Client, clock: Clock, commandMs: number) {
  const handlers = new Map<string, Set<(message: string) => void>>();
  let closed = false;
  let timer: Disposable | undefined;
  client.on('error', () => {}); // the command connection tells
  client.on('message', (channel: string, message: string) => {
    for (const onMessage of handlers.get(channel) ?? []) onMessage(message);
  });
  client.on('ready', () => void renew());

  /** Subscribes to everything again, now and then every few seconds. */
  async function renew(): Promise<void> {
    timer?.[Symbol.dispose]();
    if (closed) return;
    timer = clock.after(resubscribeMs, () => void renew());
    if (handlers.size === 0 || client.status !== 'ready') return;
    await confirm([...handlers.keys()]).catch(() => client.disconnect(true));
  }

  const confirm = (names: string[]): Promise<unknown> =>
    within(clock, commandMs, `no answer to SUBSCRIBE within ${commandMs} ms`, client.subscribe(...names));

  async function subscribe(channel: string, onMessage: (message: string) => void): Promise<AsyncDisposable> {
    const own = handlers.get(channel) ?? new Set();
    handlers.set(channel, own.add(onMessage));
    const leave = async (): Promise<void> => {
      own.delete(onMessage);
      if (own.size > 0 || handlers.get(channel) !== own) return;
      handlers.delete(channel);
      if (client.status === 'ready') await client.unsubscribe(channel).catch(() => undefined);
    };
    try {
      await untilReady();
      await confirm([channel]);
      return { [Symbol.asyncDispose]: leave };
    } catch (error) {
      await leave();
      throw fromIoredis(error);
    }
  }

  /** A connection that is just being made is worth a wait. */
  async function untilReady(): Promise<void> {
    if (client.status === 'ready') return;
    const { promise, resolve } = Promise.withResolvers<void>();
    client.once('ready', resolve);
    await within(clock, connectMs, 'not connected to Redis', promise).finally(() => client.off('ready', resolve));
  }

  return {
    subscribe,
    close(): void {
      closed = true;
      timer?.[Symbol.dispose]();
      handlers.clear();
    },
  };
}

/** @throws RedisUnavailable when the promise takes too long */
async function within<T>(clock: Clock, limitMs: number, why: string, promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const deadline = clock.after(limitMs, () => late.reject(new RedisUnavailable(why)));
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    deadline[Symbol.dispose]();
  }
}
