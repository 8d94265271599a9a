// Keys over real gateways and a real Redis: they outlive FLUSHALL and restarts, and no secret is ever written down.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectRedis } from '@berth/shared/redis.ts';
import { ownRedis } from '../tools/redis.ts';
import type { RedisServer } from '../tools/redis.ts';
import { aFolder, echoModels, startGateway, startWorker, workersReady } from './berth.ts';
import type { Berth, Env, Folder } from './berth.ts';
import { eventually } from './eventually.ts';
import { ask, begin, chat } from './requests.ts';

const root = 'canary-of-the-settings-0001';
const folders: Folder[] = [];
let redis: RedisServer;
let gateways: Berth[] = [];
let worker: Berth;
let envs: Env[] = [];

beforeAll(async () => {
  redis = await ownRedis((why) => {
    throw new Error(why);
  });
  folders.push(await echoModels('m'), await aFolder(), await aFolder());
  const [models, ...states] = folders.map(({ path }) => path);
  const common = { REDIS_URL: redis.url, POOL: 'keys', LOG_LEVEL: 'debug' };
  envs = states.map((state) => ({ ...common, API_KEY: root, AUTH: 'on', STATE_DIR: state }));
  gateways = await Promise.all(envs.map(startGateway));
  worker = await startWorker({ ...common, ENGINE: 'echo', MODELS_DIR: models ?? '', NUM_PARALLEL: '4' });
  await Promise.all(gateways.map((gateway) => workersReady(gateway, 1)));
});
afterAll(async () => {
  await Promise.all([...gateways, worker].map((each) => each.stop()));
  await redis[Symbol.asyncDispose]();
  await Promise.all(folders.map((folder) => folder[Symbol.asyncDispose]()));
});

const urlOf = (gateway: number) => gateways[gateway]?.url ?? '';
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function admin(gateway: number, method: string, path: string, body?: object) {
  const headers = { ...bearer(root), 'content-type': 'application/json' };
  const reply = await fetch(`${urlOf(gateway)}${path}`, {
    method,
    headers,
    ...(body && { body: JSON.stringify(body) }),
  });
  return (await reply.json()) as Record<string, unknown>;
}

async function make(gateway: number, wish: object): Promise<{ id: string; secret: string }> {
  const { id, secret } = await admin(gateway, 'POST', '/admin/keys', wish);
  return { id: String(id), secret: String(secret) };
}

const statusWith = async (gateway: number, key: string) =>
  (await ask({ url: urlOf(gateway), headers: bearer(key), body: chat('hello') })).status;

async function requestsOf(gateway: number, key: string): Promise<number> {
  const { usage } = (await admin(gateway, 'GET', '/admin/usage')) as { usage: { key: string; requests: number }[] };
  return usage.filter((row) => row.key === key).reduce((sum, row) => sum + row.requests, 0);
}

const leaksIn = (texts: readonly string[]): string[] =>
  texts.flatMap((text) => text.match(/.{0,60}canary-[a-z-]+-(7f3a|0001).{0,20}/g) ?? []);

test('a key holds on all gateways within 2 s, over FLUSHALL and restarts; so does its end, and what it used', async () => {
  const { id, secret } = await make(0, { team: 'research' });
  await eventually('the other gateway knows it', async () => (await statusWith(1, secret)) === 200, {
    withinMs: 2_000,
  });

  await using client = await connectRedis({ url: redis.url });
  await client.command('FLUSHALL');
  const seen = new Set<string>();
  const endMs = performance.now() + 2_500;
  while (performance.now() < endMs) {
    for (const gateway of [0, 1]) {
      seen.add(`key ${await statusWith(gateway, secret)}`);
      seen.add(`none ${await statusWith(gateway, '')}`);
    }
  }
  // Neither is the team locked out nor the door open; the ledger itself is away for a moment.
  expect([...seen].filter((one) => !['key 200', 'key 503', 'none 401'].includes(one))).toEqual([]);
  expect(await client.command('HLEN', 'b:{keys}:policy:keys')).toBe(1);

  const before = await requestsOf(0, id);
  await gateways[0]?.stop();
  await client.command('FLUSHALL');
  gateways[0] = await startGateway(envs[0] ?? {});
  await workersReady(gateways[0], 1);
  expect(await statusWith(0, secret)).toBe(200);
  await eventually('usage is whole again', async () => (await requestsOf(0, id)) > before, { withinMs: 7_000 });

  await admin(1, 'DELETE', `/admin/keys/${id}`);
  expect(await statusWith(1, secret)).toBe(401);
  await eventually('both refuse it', async () => (await statusWith(0, secret)) === 401, { withinMs: 2_000 });
  await client.command('FLUSHALL');
  expect([await statusWith(0, secret), await statusWith(1, secret)]).toEqual([401, 401]);
});

test('no prompt, answer, key or user is in a log, a metric, an error or what an administrator sees', async () => {
  const { secret } = await make(0, { team: 'canaries', endUserHeader: 'x-user', scopes: ['infer', 'models:read'] });
  await eventually('both know it', async () => (await statusWith(1, secret)) === 200);
  const canary = (what: string) => `canary-${what}-7f3a`;
  const headers = { ...bearer(secret), 'x-user': canary('user') };
  const told: string[] = [];
  for (const url of [urlOf(0), urlOf(1)]) {
    const asks = ['/v1/chat/completions', '/api/chat'].flatMap((path) => [
      { path, body: chat(canary('prompt'), { stream: true }) },
      { path, body: chat(canary('prompt'), { stream: false }) },
    ]);
    for (const one of asks) {
      const { text, status } = await ask({ url, headers, ...one });
      expect([status, text.includes(canary('prompt'))]).toEqual([200, true]); // the echo engine answers with it
    }
    const leaving = begin({ url, headers, body: chat(`${canary('prompt')} `.repeat(2_000), { stream: true }) });
    await leaving.until('canary').catch(() => undefined);
    leaving.abort();
    const wrong = [
      { headers, body: chat(canary('prompt'), { temperature: canary('value') }) },
      { headers, body: { model: 'm', messages: [{ role: canary('role'), content: canary('prompt') }] } },
      { headers, body: [canary('prompt')] },
      { headers: bearer(canary('wrong-key')), body: chat(canary('prompt')) },
      { headers: { 'x-api-key': canary('wrong-key') }, body: chat(canary('prompt')) },
      { headers: { ...headers, cookie: canary('cookie') }, path: `/nothing?q=${canary('query')}`, body: chat('x') },
      { headers, path: '/admin/keys', body: { name: canary('prompt') } },
    ];
    for (const one of wrong) {
      const { status, text } = await ask({ url, ...one });
      expect(status).toBeGreaterThanOrEqual(400);
      told.push(text);
    }
    for (const path of ['/metrics', '/health', '/api/queue', '/admin/keys', '/admin/export', '/admin/usage'])
      told.push(await (await fetch(`${url}${path}`, { headers: bearer(root) })).text());
  }
  told.push(await (await fetch(`${worker.url}/metrics`)).text());
  // What was logged last is written within a moment.
  await eventually('the logs have come', () => gateways.every(({ output }) => /client_gone/.test(output)));
  told.push(...gateways.map(({ output }) => output), worker.output);
  expect(told.join('\n').length).toBeGreaterThan(10_000);
  expect(leaksIn([`it says ${canary('prompt')}`, root])).toHaveLength(2); // the net has no hole
  expect(leaksIn(told)).toEqual([]);
  for (const text of told) expect([text.includes(secret), text.includes(secret.slice(-24))]).toEqual([false, false]);
});
