// The console's pictures in the README: a pool of real processes whose engines echo, and whose GPUs a script plays.
import { chmod, truncate, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { Browser } from 'playwright-core';
import { aFolder, echoModels, startGateway, startWorker, workersReady } from '../e2e/berth.ts';
import type { Env } from '../e2e/berth.ts';
import { busy } from '../observability/observed.ts';
import { startRedis } from '../tools/redis.ts';

const key = 'an-admin-key-for-the-pictures';
const gib = 2 ** 30;
/** Files as large as such models are, with nothing in them. */
const models = {
  'qwen3-32b': 18.8 * gib,
  'llama3.1-8b': 4.6 * gib,
  'gemma3-4b': 3.1 * gib,
  'mistral-small-24b': 13.3 * gib,
};
const teams = ['research', 'support', 'ide', 'data'];
const names = Object.keys(models);
/** Until the plots have something to show. */
const fillMs = 75_000;

export async function takeConsole(browser: Browser, folder: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const files = stack.use(await echoModels(...names));
  for (const [name, bytes] of Object.entries(models))
    await truncate(join(files.path, `${name}.gguf`), Math.round(bytes));
  const common = { REDIS_URL: redis.url, POOL: 'pictures', LOG_LEVEL: 'warn' };
  const gateway = stack.use(await startGateway({ ...common, API_KEY: key }));
  const slots = [4, 8, 4, 6];
  for (const [at, count] of slots.entries()) {
    const gpu = stack.use(await playedGpu(36_000 + 6_000 * at, 61 + 9 * at));
    const own = { ...gpu.env, ENGINE: 'echo', MODELS_DIR: files.path, WORKER_ID: `rack-${at + 1}` };
    stack.use(await startWorker({ ...common, ...own, NUM_PARALLEL: String(count) }));
  }
  await workersReady(gateway, slots.length);
  const post = (path: string, body: object, as = key) =>
    fetch(`${gateway.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const secrets = await Promise.all(
    teams.map(async (team) => {
      const reply = await post('/admin/keys', { name: team, team, scopes: ['infer'] });
      return ((await reply.json()) as { secret: string }).secret;
    }),
  );
  await post('/admin/pin', { model: 'qwen3-32b', worker: 'rack-2' });
  const ask = async (turn: number) => {
    const body = {
      model: names[[0, 1, 2, 0, 1, 3][turn % 6] ?? 0],
      stream: true,
      max_tokens: [220, 400, 120, 600][turn % 4],
      messages: [
        {
          role: 'user',
          content: `[[prefillDelayMs=${200 + (turn % 5) * 90} tokenDelayMs=${18 + (turn % 3) * 6} repeat=600]] ${turn} `,
        },
      ],
    };
    await (await post('/v1/chat/completions', body, secrets[turn % secrets.length])).text();
  };
  {
    await using _load = busy(27, ask);
    await new Promise((resolve) => setTimeout(resolve, fillMs));
    for (const scheme of ['light', 'dark'] as const) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 1080 }, colorScheme: scheme });
      const page = await context.newPage();
      await page.goto(`${gateway.url}/console`);
      await page.getByLabel('Key', { exact: true }).fill(key);
      await page.keyboard.press('Enter');
      await page.getByRole('cell', { name: 'ok', exact: true }).first().waitFor();
      await page.evaluate('document.activeElement.blur()');
      await page.waitForFunction('document.querySelectorAll(".slot[data-phase=decode]").length > 12');
      await page.screenshot({ path: join(folder, `console-${scheme}.png`), animations: 'disabled' });
      await context.close();
    }
  }
}

/** `nvidia-smi` as a script that always says the same. */
async function playedGpu(usedMib: number, percent: number): Promise<AsyncDisposable & { env: Env }> {
  const programs = await aFolder();
  const smi = join(programs.path, 'nvidia-smi');
  await writeFile(smi, `#!/bin/sh\necho "0, GPU-1234-5678, ${usedMib}, 81559, ${percent}, 412.51, 700.00, 61"\n`);
  await chmod(smi, 0o755);
  const env = { GPU: '0', PATH: `${programs.path}${delimiter}${process.env['PATH']}` };
  return { env, [Symbol.asyncDispose]: () => programs[Symbol.asyncDispose]() };
}
