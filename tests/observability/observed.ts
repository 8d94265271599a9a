// A pool of real processes with a Prometheus that watches it as shipped, and requests that keep it busy.
import { randomUUID } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { startTcpProxy } from '../doubles/tcp-proxy.ts';
import type { TcpProxy } from '../doubles/tcp-proxy.ts';
import { aFolder, demoPath, echoModels, startGateway, startWorker } from '../e2e/berth.ts';
import type { Berth, Env } from '../e2e/berth.ts';
import { eventually } from '../e2e/eventually.ts';
import { startPrometheus } from '../tools/prometheus.ts';
import type { Prometheus } from '../tools/prometheus.ts';
import { prometheusFiles } from './shipped.ts';

const key = 'a-key-of-the-observed-pool';
const authorization = `Bearer ${key}`;

export interface Observed extends AsyncDisposable {
  gateway: Berth;
  workers: Berth[];
  prometheus: Prometheus;
  /** What a path of the gateway's tells a scraper. */
  metrics(path: string): Promise<string>;
  /** Between all of them and Redis. */
  redis: TcpProxy;
  /** Asks a model for an answer and reads it whole. @throws Error when there is none */
  ask(model: string, content: string, more?: Record<string, unknown>): Promise<void>;
  /** Orders a load. @returns whether the model is there */
  preload(model: string, worker: string): Promise<boolean>;
}

/** @param workers the settings of each; `REDIS_URL` and the like are added */
export async function observed(redisUrl: string, workers: readonly Env[]): Promise<Observed> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startTcpProxy(Number(new URL(redisUrl).port)));
  const common = { REDIS_URL: `redis://127.0.0.1:${redis.port}`, POOL: `observed-${randomUUID()}`, LOG_LEVEL: 'warn' };
  const gateway = stack.use(await startGateway({ ...common, API_KEY: key }));
  // It looks at what it has discovered only every 5 s, so it starts before the workers have.
  const [prometheus, started] = await Promise.all([
    startPrometheus(prometheusFiles(new URL(gateway.url).host, key)).then((it) => stack.use(it)),
    Promise.all(workers.map(async (env) => stack.use(await startWorker({ ...common, ...env })))),
  ]);
  const scraped = async () => (await prometheus.query('up == 1')).length > workers.length;
  await eventually('all are scraped', scraped, { withinMs: 45_000, lookEveryMs: 200 }).catch(async (error: Error) => {
    const targets = JSON.stringify(await prometheus.get('/api/v1/targets'));
    throw new Error(`${error.message}: ${targets}`, { cause: error });
  });
  const rest = stack.move();
  const post = (path: string, body: object) => {
    const headers = { authorization, 'content-type': 'application/json' };
    return fetch(`${gateway.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  };
  return {
    gateway,
    workers: started,
    prometheus,
    redis,
    metrics: async (path) => (await fetch(`${gateway.url}${path}`, { headers: { authorization } })).text(),
    async ask(model, content, more = {}) {
      const reply = await post('/v1/chat/completions', { model, messages: [{ role: 'user', content }], ...more });
      const text = await reply.text();
      if (!reply.ok) throw new Error(`${reply.status}: ${text}`);
    },
    preload: async (model, worker) => (await post('/admin/preload', { model, worker })).status === 200,
    [Symbol.asyncDispose]: () => rest.disposeAsync(),
  };
}

/** A worker with the echo engine, models of these names, and a GPU that only a program of ours knows. */
export async function echoWorker(names: readonly string[]): Promise<AsyncDisposable & { env: Env }> {
  const models = await echoModels(...names);
  const programs = await aFolder();
  const smi = join(programs.path, 'nvidia-smi');
  await writeFile(smi, '#!/bin/sh\necho "0, GPU-1234-5678, 20480, 81559, 97, 412.51, 700.00, 61"\n');
  await chmod(smi, 0o755);
  const path = `${programs.path}${delimiter}${process.env['PATH']}`;
  return {
    env: { ENGINE: 'echo', MODELS_DIR: models.path, GPU: '0', PATH: path },
    async [Symbol.asyncDispose]() {
      await Promise.all([models[Symbol.asyncDispose](), programs[Symbol.asyncDispose]()]);
    },
  };
}

export const demoWorker: Env = { ENGINE: 'llama', MODELS_DIR: demoPath };

/** So many at a time ask again and again, until the scope is left. */
export function busy(count: number, ask: (turn: number) => Promise<unknown>): AsyncDisposable {
  const over = new AbortController();
  let turns = 0;
  const loops = Array.from({ length: count }, async () => {
    while (!over.signal.aborted) await ask((turns += 1));
  });
  return {
    async [Symbol.asyncDispose]() {
      over.abort();
      await Promise.all(loops);
    },
  };
}

/** Waits until this cause stands first in the shipped ranking, with at least a second place behind it. */
export async function ranksFirst(prometheus: Prometheus, cause: string): Promise<void> {
  let seen = '';
  const first = async () => {
    const ranking = await prometheus.query('sort_desc(berth:cause_seconds:rate5m)');
    seen = ranking.map(({ metric, value }) => `${metric['cause']} ${value.toFixed(2)}`).join(', ');
    return ranking.length > 1 && ranking[0]?.metric['cause'] === cause && ranking[0].value > 0.2;
  };
  await eventually(`${cause} ranks first`, first, { withinMs: 40_000, lookEveryMs: 200 }).catch((error: Error) => {
    throw new Error(`${error.message}; the ranking was: ${seen}`, { cause: error });
  });
}
