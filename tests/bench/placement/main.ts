// `npm run bench:placement`: two workers, three models, room for one each, users who alternate: Berth's placement on real
// processes, beside a router that sends requests to two boxes in turn, each of which is a Berth alone.
import { link, mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startGateway, startWorker } from '../../e2e/berth.ts';
import type { Berth, Env } from '../../e2e/berth.ts';
import { writeGguf } from '../../models/gguf.ts';
import { randomModel } from '../../models/random.ts';
import { percentile } from '../../simulation/fair.ts';

const models = ['one', 'two', 'three'];
/** Of each model. */
const usersEach = 2;
const thinkMs = 1_500;
const runMs = 45_000;
const outputTokens = 24;

interface Result {
  name: string;
  requests: number;
  failed: number;
  loads: number;
  waitsMs: number[];
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-placement-'));
  try {
    const file = join(folder, `${models[0]}.gguf`);
    const shape = { parameters: 15e6, vocabulary: 12_800, type: 'q8_0', context: 4_096 } as const;
    writeGguf(file, randomModel({ ...shape, ends: false, seed: 1, name: 'bench' }));
    for (const name of models.slice(1)) await link(file, join(folder, `${name}.gguf`));
    console.log(
      `load average ${loadavg()[0]?.toFixed(1)}; ${models.length * usersEach} users, ${runMs / 1_000} s each`,
    );
    console.log(
      '| way | requests | failed | loads | wait p50, s | p95, s | longest, s |\n| --- | --- | --- | --- | --- | --- | --- |',
    );
    for (const result of [await berth(folder), await naive(folder)]) {
      const at = (share: number) => (percentile(result.waitsMs, share) / 1_000).toFixed(2);
      const { name, requests, failed, loads } = result;
      console.log(`| ${name} | ${requests} | ${failed} | ${loads} | ${at(0.5)} | ${at(0.95)} | ${at(1)} |`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const common = (folder: string): Env => ({
  MODELS_DIR: folder,
  MAX_LOADED_MODELS: '1',
  NUM_PARALLEL: '4',
  CLUSTER_SECRET: 'the secret of a bench',
  PROMPT_CACHE_BYTES: '0',
});

async function pool(folder: string, workers: number): Promise<{ gateway: Berth; workers: Berth[] }> {
  const gateway = await startGateway(common(folder));
  const env = { ...common(folder), GATEWAY_URL: gateway.url };
  const started = await Promise.all(
    Array.from({ length: workers }, (_, at) => startWorker({ ...env, WORKER_ID: `w${at + 1}` })),
  );
  return { gateway, workers: started };
}

async function berth(folder: string): Promise<Result> {
  const { gateway, workers } = await pool(folder, 2);
  return measured('Berth: one pool', [gateway], workers);
}

async function naive(folder: string): Promise<Result> {
  const boxes = [await pool(folder, 1), await pool(folder, 1)];
  return measured(
    'round robin over two boxes',
    boxes.map(({ gateway }) => gateway),
    boxes.flatMap(({ workers }) => workers),
  );
}

async function measured(name: string, gateways: readonly Berth[], workers: readonly Berth[]): Promise<Result> {
  const result: Result = { name, requests: 0, failed: 0, loads: 0, waitsMs: [] };
  try {
    for (const { url } of gateways) await ready(url);
    const untilMs = performance.now() + runMs;
    let turn = 0;
    const user = async (at: number): Promise<void> => {
      await sleep((at * thinkMs) / (models.length * usersEach));
      while (performance.now() < untilMs) {
        const gateway = gateways[turn++ % gateways.length];
        const body = {
          model: models[at % models.length],
          max_tokens: outputTokens,
          messages: [{ role: 'user', content: `user ${at} asks ${turn}` }],
        };
        const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
        const reply = await fetch(`${gateway?.url}/v1/chat/completions`, init);
        await reply.text();
        result.requests += 1;
        if (reply.ok) result.waitsMs.push(Number(reply.headers.get('berth-wait-ms')));
        else result.failed += 1;
        await sleep(thinkMs);
      }
    };
    await Promise.all(Array.from({ length: models.length * usersEach }, (_, at) => user(at)));
    result.loads = workers.reduce((sum, { output }) => sum + output.split('"loaded a model"').length - 1, 0);
    return result;
  } finally {
    await Promise.all([...workers, ...gateways].map((each) => each.stop()));
  }
}

/** Every model is known there. */
async function ready(url: string): Promise<void> {
  for (;;) {
    const text = await (await fetch(`${url}/v1/models`)).text();
    if (models.every((model) => text.includes(`"${model}:latest"`))) return;
    await sleep(100);
  }
}

await main();
