// A pool of real processes around one Redis, with the echo engine, and what its metrics say of its slots.
import { randomUUID } from 'node:crypto';
import { echoModels, startGateway, startWorker, warmUp, workersReady } from './berth.ts';
import type { Berth, Env } from './berth.ts';

export interface Pool extends AsyncDisposable {
  gateways: Berth[];
  /** By worker id. */
  workers: Map<string, Berth>;
  addGateway(): Promise<Berth>;
  /** Starts a worker; one of the same id takes the place of the one before. */
  addWorker(id: string): Promise<Berth>;
  url(gateway: number): string;
}

export interface PoolOptions {
  redisUrl: string;
  gateways: number;
  workers: readonly string[];
  slots: number;
  /** Of gateways and workers alike. */
  env?: Env;
}

export async function aPool({ redisUrl, gateways: count, workers: ids, slots, env = {} }: PoolOptions): Promise<Pool> {
  const models = await echoModels('m');
  const common = { ...env, REDIS_URL: redisUrl, POOL: `e2e-${randomUUID()}` };
  const echo = { ...common, ENGINE: 'echo', MODELS_DIR: models.path, NUM_PARALLEL: String(slots) };
  const all: Berth[] = [];
  const keep = (berth: Berth) => (all.push(berth), berth);
  const pool: Pool = {
    gateways: [],
    workers: new Map(),
    async addGateway() {
      const gateway = keep(await startGateway(common));
      pool.gateways.push(gateway);
      return gateway;
    },
    async addWorker(id) {
      const worker = keep(await startWorker({ ...echo, WORKER_ID: id }));
      pool.workers.set(id, worker);
      return worker;
    },
    url: (gateway) => pool.gateways[gateway]?.url ?? '',
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((each) => each.stop()));
      await models[Symbol.asyncDispose]();
    },
  };
  try {
    await Promise.all([
      ...Array.from({ length: count }, () => pool.addGateway()),
      ...ids.map((id) => pool.addWorker(id)),
    ]);
    await Promise.all(pool.gateways.map((gateway) => workersReady(gateway, ids.length)));
    await warmUp(pool.url(0), ids.length, slots);
  } catch (error) {
    await pool[Symbol.asyncDispose]();
    throw error;
  }
  return pool;
}

/** Sum of a metric's samples, of those whose labels hold this text. */
export async function metric(berth: Berth | undefined, name: string, labels = ''): Promise<number> {
  const text = await (await fetch(`${berth?.url}/metrics`)).text();
  const samples = text.split('\n').filter((line) => new RegExp(`^${name}(\\{| )`).test(line) && line.includes(labels));
  return samples.map((line) => Number(line.slice(line.lastIndexOf(' ')))).reduce((sum, value) => sum + value, 0);
}

/** Slots that the ledger holds for taken. */
export const heldSlots = (gateway: Berth | undefined) => metric(gateway, 'berth_slots', 'state="held"');

/** Requests that wait for a slot, over all gateways. */
export const queued = (gateway: Berth | undefined) => metric(gateway, 'berth_queue_depth');

/** Slots that a worker itself says are in use. */
export const usedSlots = (worker: Berth | undefined) => metric(worker, 'berth_worker_slots_used');

/** Slots that all workers of a pool say are in use. */
export async function usedInAll({ workers }: Pool): Promise<number> {
  const used = await Promise.all([...workers.values()].map(usedSlots));
  return used.reduce((sum, value) => sum + value, 0);
}
