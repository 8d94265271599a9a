// The processes of a soak: gateways and workers that are started again whenever they end, behind a proxy to one Redis.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connectRedis } from '@berth/shared/redis.ts';
import { createRedisLedger } from '@berth/shared/ledger/redis.ts';
import type { Survey } from '@berth/shared/ledger/ledger.ts';
import { startTcpProxy } from '../doubles/tcp-proxy.ts';
import type { TcpProxy } from '../doubles/tcp-proxy.ts';
import { aFolder, echoModels, startGateway, startWorker } from '../e2e/berth.ts';
import type { Berth } from '../e2e/berth.ts';
import { startRedis } from '../tools/redis.ts';
import type { RedisServer } from '../tools/redis.ts';

/** A gateway or a worker over all its lives. */
export interface Member {
  readonly name: string;
  /** The process that runs now; `null` = between two lives. */
  readonly berth: Berth | null;
  /** `kill -9`; settles when it runs again, `pauseMs` later at least. */
  kill(pauseMs: number): Promise<void>;
  /** SIGSTOP and, after so long, SIGCONT. */
  freeze(forMs: number): Promise<void>;
}

export interface Pool extends AsyncDisposable {
  gateways: Member[];
  workers: Member[];
  proxy: TcpProxy;
  redisUrl: string;
  /** Away for so long, then empty at the same address. */
  restartRedis(awayMs: number): Promise<void>;
  /** By the ledger itself, without the proxy. */
  survey(): Promise<Survey>;
  /** The witness's file. */
  witness: string;
  /** Processes that ended although nobody killed them, and how. */
  fallen: string[];
}

export interface PoolSize {
  gateways: number;
  workers: number;
  slots: number;
}

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

const redisArgs = ['--enable-debug-command', 'yes'];

export async function startPool(size: PoolSize): Promise<Pool> {
  await using scope = new AsyncDisposableStack();
  const folder = scope.use(await aFolder());
  const models = scope.use(await echoModels('m'));
  let redis = await startRedis({ args: redisArgs });
  const port = Number(new URL(redis.url).port);
  scope.defer(() => redis.stop());
  const proxy = scope.use(await startTcpProxy(port));
  const pool = `soak-${randomUUID()}`;
  const common = {
    REDIS_URL: `redis://127.0.0.1:${proxy.port}`,
    POOL: pool,
    CLUSTER_SECRET: randomUUID(),
    LOG_LEVEL: 'warn',
  };
  const witness = join(folder.path, 'witness');
  const echo = {
    ...common,
    ENGINE: 'echo',
    MODELS_DIR: models.path,
    NUM_PARALLEL: String(size.slots),
    SOAK_WITNESS: witness,
    NODE_OPTIONS: `--import=${pathToFileURL(join(import.meta.dirname, 'witness-hook.mjs')).href}`,
  };
  const fallen: string[] = [];
  const crew = crewOf(fallen);
  scope.defer(() => crew.stop());
  const names = (kind: string, count: number) => Array.from({ length: count }, (_, at) => `${kind}${at + 1}`);
  const gateways = names('g', size.gateways).map((name) => crew.add(name, () => startGateway(common)));
  const workers = names('w', size.workers).map((name) =>
    crew.add(name, () => startWorker({ ...echo, WORKER_ID: name })),
  );
  await crew.allUp();
  const parts = scope.move();
  return {
    gateways,
    workers,
    proxy,
    redisUrl: redis.url,
    async restartRedis(awayMs) {
      await redis.stop();
      await pause(awayMs);
      redis = await startAt(port);
    },
    survey: () => surveyOf(redis.url, pool),
    witness,
    fallen,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** The port is ours as long as nobody else took it in between. */
async function startAt(port: number): Promise<RedisServer> {
  for (let tries = 1; ; tries++) {
    try {
      return await startRedis({ args: redisArgs, port });
    } catch (error) {
      if (tries >= 10) throw error;
      await pause(100);
    }
  }
}

async function surveyOf(url: string, pool: string): Promise<Survey> {
  await using redis = await connectRedis({ url });
  await using ledger = await createRedisLedger({ redis, pool });
  return await ledger.survey();
}

interface Crew {
  add(name: string, start: () => Promise<Berth>): Member;
  allUp(): Promise<void>;
  stop(): Promise<void>;
}

/** The supervisor: an operator's init would do the same. */
function crewOf(fallen: string[]): Crew {
  const all: { up(): Promise<void>; stop(): Promise<void> }[] = [];
  const state = { stopping: false };

  function add(name: string, start: () => Promise<Berth>): Member {
    let berth: Berth | null = null;
    let expected = false;

    /** Tries until it runs: with Redis away a process refuses to start, and says why. */
    async function up(): Promise<void> {
      while (berth === null && !state.stopping) {
        const started = await start().catch(() => null);
        if (started === null) await pause(200);
        else watch(started);
      }
    }
    function watch(started: Berth): void {
      berth = started;
      expected = false;
      void follow(started);
    }
    /** One that ends by itself is written down, and started again. */
    async function follow(started: Berth): Promise<void> {
      const how = await started.ended;
      if (expected || state.stopping) return;
      fallen.push(`${name} ended by itself (${how}): ${started.output.slice(-2_000)}`);
      berth = null;
      await up();
    }
    all.push({ up, stop: async () => berth?.stop() });
    return {
      name,
      get berth() {
        return berth;
      },
      async kill(pauseMs) {
        await up();
        const victim = berth;
        expected = true;
        victim?.kill('SIGKILL');
        await victim?.ended;
        await pause(pauseMs);
        berth = null;
        await up();
      },
      async freeze(forMs) {
        await up();
        const victim = berth;
        victim?.kill('SIGSTOP');
        await pause(forMs);
        if (victim?.alive) victim.kill('SIGCONT');
      },
    };
  }

  return {
    add,
    allUp: async () => void (await Promise.all(all.map((each) => each.up()))),
    async stop() {
      state.stopping = true;
      await Promise.all(all.map((each) => each.stop()));
    },
  };
}
