// What is done to the pool while clients use it: drawn from a seed, each kind once before any comes again.
import { Redis } from 'ioredis';
import type { Chance } from '../models/chance.ts';
import { pause } from './pool.ts';
import type { Member, Pool } from './pool.ts';

export interface Fault {
  kind: string;
  target: string;
  fromMs: number;
  toMs: number;
}

export interface Faults {
  /** Those that were done, in order of their end. */
  readonly done: Fault[];
  /** How often each kind was done; every kind is there. */
  counts(): Map<string, number>;
  /** True when each kind was done at least once. */
  readonly complete: boolean;
  /** No new ones from now on; settles when everything runs again. */
  stop(): Promise<void>;
}

interface Deed {
  /** Deeds of one lane come one after another. */
  lane: string;
  run: () => Promise<unknown>;
}

type Draw = (pool: Pool, chance: Chance) => Deed;

export interface Harshness {
  /** Milliseconds between the beginnings of two faults. */
  gapMs: readonly [number, number];
  /** Longest freeze of a process. */
  freezeMsMax: number;
}

export function startFaults(pool: Pool, chance: Chance, { gapMs, freezeMsMax }: Harshness): Faults {
  const kinds = kindsOf(freezeMsMax);
  const done: Fault[] = [];
  const lanes = new Map<string, Promise<unknown>>();
  const problems: unknown[] = [];
  const state = { over: false };

  function begin(kind: string, draw: Draw): void {
    const { lane, run } = draw(pool, chance);
    const act = async () => {
      const fault = { kind, target: lane, fromMs: Date.now(), toMs: Infinity };
      await run();
      done.push({ ...fault, toMs: Date.now() });
    };
    const before = lanes.get(lane) ?? Promise.resolve();
    lanes.set(
      lane,
      before.then(act).catch((error: unknown) => problems.push(error)),
    );
  }

  async function go(): Promise<void> {
    while (!state.over) {
      for (const [kind, draw] of chance.some(Object.entries(kinds), Object.keys(kinds).length)) {
        await pause(chance.between(...gapMs));
        if (state.over) return;
        begin(kind, draw);
      }
    }
  }
  const going = go();

  const counts = () =>
    new Map(Object.keys(kinds).map((kind) => [kind, done.filter((fault) => fault.kind === kind).length]));
  return {
    done,
    counts,
    get complete() {
      return [...counts().values()].every((count) => count > 0);
    },
    async stop() {
      state.over = true;
      await going;
      await Promise.all(lanes.values());
      if (problems.length > 0) throw new AggregateError(problems, 'faults that could not be done');
    },
  };
}

function kindsOf(freezeMsMax: number): Record<string, Draw> {
  return {
    'gateway killed': ({ gateways }, chance) => killed(gateways, chance),
    'worker killed': ({ workers }, chance) => killed(workers, chance),
    'gateway frozen': ({ gateways }, chance) => frozen(gateways, chance, freezeMsMax),
    'worker frozen': ({ workers }, chance) => frozen(workers, chance, freezeMsMax),
    'Redis restarted': (pool, chance) => {
      const awayMs = chance.between(0, 2_500);
      return { lane: 'redis', run: () => pool.restartRedis(awayMs) };
    },
    FLUSHALL: (pool) => onRedis(pool, ['FLUSHALL']),
    'CLIENT KILL': (pool, chance) => onRedis(pool, ['CLIENT', 'KILL', 'TYPE', chance.pick(['normal', 'pubsub'])]),
    'DEBUG SLEEP': (pool, chance) => onRedis(pool, ['DEBUG', 'SLEEP', String(chance.between(2, 25) / 10)]),
    'replies lost': ({ proxy }, chance) => {
      const forMs = chance.between(20, 1_000);
      const run = async () => {
        proxy.loseReplies(true);
        await pause(forMs);
        proxy.cut(); // a connection that lost bytes never goes on
        proxy.loseReplies(false);
      };
      return { lane: 'network', run };
    },
    'replies late': ({ proxy }, chance) => {
      const forMs = chance.between(50, 1_500);
      const run = async () => {
        proxy.holdReplies(true);
        await pause(forMs);
        proxy.holdReplies(false);
      };
      return { lane: 'network', run };
    },
    'half-open': ({ proxy }, chance) => {
      const forMs = chance.between(100, 3_000);
      const run = async () => {
        proxy.freeze(true);
        await pause(forMs);
        proxy.cut();
        proxy.freeze(false);
      };
      return { lane: 'network', run };
    },
    'connections cut': ({ proxy }) => ({ lane: 'network', run: async () => proxy.cut() }),
  };
}

function killed(members: Member[], chance: Chance): Deed {
  const member = chance.pick(members);
  const pauseMs = chance.between(0, 1_500);
  return { lane: member.name, run: () => member.kill(pauseMs) };
}

function frozen(members: Member[], chance: Chance, freezeMsMax: number): Deed {
  const member = chance.pick(members);
  const forMs = chance.between(100, freezeMsMax);
  return { lane: member.name, run: () => member.freeze(forMs) };
}

function onRedis({ redisUrl }: Pool, [name = '', ...args]: string[]): Deed {
  const run = async () => {
    const redis = new Redis(redisUrl, { lazyConnect: true, retryStrategy: () => null });
    redis.on('error', () => undefined); // told by the command
    try {
      await redis.connect();
      await redis.call(name, ...args);
    } finally {
      redis.disconnect();
    }
  };
  return { lane: 'redis', run };
}
