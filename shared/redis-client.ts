// Makes ioredis' clients for a REDIS_URL: of one server, of the primary that sentinels name, or of the node of a cluster
// that holds the pool. Whichever it is, a client speaks to one server at a time, and asks anew when that is lost.
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { AbstractConnector, Redis as Client, type RedisOptions } from 'ioredis';
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';
import { targetOf, type Address } from './redis-url.ts';

/** What a login takes, on the node as on the way to it. */
interface Account {
  username?: string;
  password?: string;
  tls?: object;
}

export const connectMs = 1_000;
const disconnectMs = 100;
const backoffMsMax = 2_000;
export interface ClientOptions {
  url: string;
  /** Whose node is looked for in a cluster. */
  pool: string;
  clock: Clock;
  random: Random;
}

export function createClient({ url, pool, clock, random }: ClientOptions): Client {
  const target = targetOf(url);
  const pauseMs = (times: number): number => backoffMs(times, random);
  const options = safeOptions(pauseMs);
  if (target.kind === 'one') return new Client(target.url, options);
  const { username, password, seeds, name, tls, sentinelPassword } = target;
  const account: Account = {
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    ...(tls && { tls: {} }),
  };
  if (target.kind === 'cluster') {
    return new Client({ ...options, ...account, Connector: nodeOf({ seeds, account, pool, clock, pauseMs }) });
  }
  return new Client({
    ...options,
    ...account,
    sentinels: seeds,
    name,
    ...(sentinelPassword !== '' && { sentinelPassword }),
    ...(tls && { enableTLSForSentinelMode: true, sentinelTLS: {} }),
    sentinelRetryStrategy: pauseMs,
    sentinelCommandTimeout: connectMs,
  });
}

/** True when both speak to the same server: after a failover one of them may have stayed with the former primary. */
export function sameServer(one: Client, other: Client): boolean {
  const [here, there] = [one, other].map(({ stream }) => `${stream?.remoteAddress}:${stream?.remotePort}`);
  return here === there;
}

/**
 * ioredis would by default keep commands while it is away, send them again after a lost reply, and wait for ever on a
 * half-open connection: measured, a script ran twice. None of it here.
 */
function safeOptions(pauseMs: (times: number) => number) {
  return {
    lazyConnect: true,
    protocol: 2,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // Subscriptions are made anew by who knows them; INFO may be forbidden to our user.
    autoResubscribe: false,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: connectMs,
    disconnectTimeout: disconnectMs,
    keepAlive: 10_000,
    retryStrategy: pauseMs,
    // After a failover, or when the pool has moved, the address may lead to another server.
    reconnectOnError: (error) => /^(READONLY|MOVED)/.test(error.message),
  } satisfies RedisOptions;
}

/** 25–50 ms, doubled each time up to 1–2 s: gateways that lost the same server do not come back at the same moment. */
function backoffMs(times: number, random: Random): number {
  const most = Math.min(backoffMsMax, 25 * 2 ** Math.min(times, 10));
  return most / 2 + random.integer(Math.ceil(most / 2));
}

interface Node {
  seeds: readonly Address[];
  account: Account;
  pool: string;
  clock: Clock;
  pauseMs: (times: number) => number;
}

/**
 * A connector that asks the cluster each time which node has the pool, and connects to that. It asks until it knows:
 * a connector that fails ends its client for good.
 */
function nodeOf({ seeds, account, pool, clock, pauseMs }: Node) {
  return class NodeConnector extends AbstractConnector {
    constructor() {
      super(disconnectMs);
    }

    async connect(emit: (type: string, error: Error) => void) {
      this.connecting = true;
      for (let times = 1; ; times++) {
        const found = await findNode(seeds, account, pool).catch((error: Error) => error);
        if (!this.connecting) throw new Error('the connection was closed');
        if (!(found instanceof Error)) {
          this.stream = account.tls ? connectTls({ ...found, servername: found.host }) : connect(found);
          this.stream.once('error', (error) => (this.firstError = error));
          return this.stream;
        }
        emit('error', found);
        await new Promise<void>((resolve) => void clock.after(pauseMs(times), resolve));
      }
    }
  };
}

/** @throws Error when no node tells */
async function findNode(seeds: readonly Address[], account: Account, pool: string): Promise<Address> {
  let why = '';
  for (const seed of seeds) {
    const options = { ...account, ...seed, lazyConnect: true, connectTimeout: connectMs, commandTimeout: connectMs };
    const client = new Client({
      ...options,
      enableReadyCheck: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    // ioredis tells why on the event, and rejects with less.
    const told: string[] = [];
    client.on('error', (error: Error) => void told.push(error.message));
    try {
      await client.connect();
      const slot = Number(await client.call('CLUSTER', 'KEYSLOT', `b:{${pool}}:m`));
      const ranges = (await client.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
      const home = ranges.find(([from, to]) => from <= slot && slot <= to);
      if (home) return { host: home[2][0] || seed.host, port: home[2][1] };
      why = `slot ${slot} of the cluster is served by no node`;
    } catch (error) {
      why = told[0] ?? (error instanceof Error ? error.message : String(error));
    } finally {
      client.disconnect();
    }
  }
  throw new Error(why);
}
