// Keys over real gateways and a real Redis: they outlive FLUSHALL and restarts, and no secret is ever written down.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectRedis } from '@berth/shared/redis.ts';
import { startMounted } from '../gateway/passthrough/server.ts';
import type { MountedServer } from '../gateway/passthrough/server.ts';
import { ownRedis } from '../tools/redis.ts';
import type { RedisServer } from '../tools/redis.ts';
import { aFolder, cleanEnv, echoModels, root as repository, startGateway, startWorker, workersReady } from './berth.ts';
import type { Berth, Env, Folder } from './berth.ts';
import { eventually } from './eventually.ts';
import { ask, begin, chat } from './requests.ts';

const root = 'canary-of-the-settings-0001';
const run = promisify(execFile);
const folders: Folder[] = [];
let redis: RedisServer;
let gateways: Berth[] = [];
let worker: Berth;
let envs: Env[] = [];
let mounted: MountedServer;

beforeAll(async () => {
  redis = await ownRedis((why) => {
    throw new Error(why);
  });
  folders.push(await echoModels('m'), await aFolder(), await aFolder());
  const [models, ...states] = folders.map(({ path }) => path);
  mounted = await startMounted();
  const common = { REDIS_URL: redis.url, POOL: 'keys', LOG_LEVEL: 'debug' };
  envs = states.map((state) => ({
    ...common,
    API_KEY: root,
    AUTH: 'on',
    STATE_DIR: state,
    MOUNTS: `/page=${mounted.url};infer`,
  }));
  gateways = await Promise.all(envs.map(startGateway));
  worker = await startWorker({ ...common, ENGINE: 'echo', MODELS_DIR: models ?? '', NUM_PARALLEL: '4' });
  await Promise.all(gateways.map((gateway) => workersReady(gateway, 1)));
});
afterAll(async () => {
  await Promise.all([...gateways, worker].map((each) => each.stop()));
  await redis[Symbol.asyncDispose]();
  await mounted[Symbol.asyncDispose]();
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

/** Whatever an administrator can look at. */
const shown = [
  '/admin/pool',
  '/admin/placement',
  '/metrics',
  '/health',
  '/api/queue',
  '/admin/keys',
  '/admin/export',
  '/admin/usage',
  '/admin/usage.csv',
  '/admin/session',
  '/admin/placement',
];
type Targets = { labels: Record<string, string> }[];

/** What the command line says. */
function spoken(commands: string[]): Promise<string[]> {
  const env = { ...cleanEnv(), BERTH_URL: urlOf(0), BERTH_KEY: root };
  return Promise.all(
    commands.map(async (command) => {
      const said = run(process.execPath, ['cli/start.mjs', ...command.split(' ')], { env, cwd: repository });
      const { stdout, stderr } = await said.catch((error: { stdout: string; stderr: string }) => error);
      return `${command}: ${stdout}${stderr}`;
    }),
  );
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
  const cookies: string[] = [];
  const ids: string[] = [];
  for (const url of [urlOf(0), urlOf(1)]) {
    const asks = ['/v1/chat/completions', '/api/chat'].flatMap((path) => [
      { path, body: chat(canary('prompt'), { stream: true }) },
      { path, body: chat(canary('prompt'), { stream: false }) },
    ]);
    for (const one of asks) {
      const { text, status, headers: own } = await ask({ url, headers, ...one });
      expect([status, text.includes(canary('prompt'))]).toEqual([200, true]); // the echo engine answers with it
      ids.push(String(own['x-request-id']));
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
      { headers: { ...headers, cookie: `berth_session=${canary('session')}` }, path: '/admin/session', body: {} },
      { headers, path: '/api/embed', body: { model: 'm', input: [canary('prompt')] } },
      { headers, path: `/upstream/${canary('worker')}/x`, body: {} },
      { headers: bearer(root), path: '/admin/pin', body: { worker: canary('worker'), [canary('name')]: 1 } },
      {
        headers: bearer(root),
        path: '/admin/import',
        body: { keys: [{ id: canary('id'), secret: canary('secret') }] },
      },
      { headers, path: '/page/%2e%2e/x', body: { text: canary('prompt') } },
    ];
    // What passes through to another server, what is computed, and what kills an engine.
    const page = `/page/sub/${canary('path')}?q=${canary('query')}`;
    const passed = await ask({
      url,
      headers: { ...headers, cookie: `a=${canary('cookie')}` },
      path: page,
      body: { text: canary('prompt') },
    });
    expect([passed.status, passed.text.includes('page')]).toEqual([200, true]);
    expect(
      (await ask({ url, headers, path: '/tokenize', body: { model: 'm', content: canary('prompt') } })).status,
    ).toBe(200);
    const session = await fetch(`${url}/admin/session`, { method: 'POST', headers: bearer(root), body: '{}' });
    const cookie = (session.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
    told.push(await session.text(), await (await fetch(`${url}/admin/keys`, { headers: { cookie } })).text());
    cookies.push(cookie.slice('berth_session='.length));
    for (const one of wrong) {
      const { status, text } = await ask({ url, ...one });
      expect(status).toBeGreaterThanOrEqual(400);
      told.push(text);
    }
    const workers = (await (await fetch(`${url}/metrics/workers`, { headers: bearer(root) })).json()) as Targets;
    const ofWorker = workers.flatMap(({ labels }) => labels['__metrics_path__'] ?? []);
    expect(ofWorker).toHaveLength(1);
    const explained = ids.splice(0).map((id) => `/admin/explain/${id}`);
    for (const path of [...shown, ...ofWorker, ...explained]) {
      const reply = await fetch(`${url}${path}`, { headers: bearer(root) });
      expect([path, reply.status]).toEqual([path, 200]);
      told.push(await reply.text());
    }
  }
  // Once, for a model whose engine died again and again rests for a while.
  const poison = { url: urlOf(0), headers, body: chat(`[[dieAfterTokens=0]] ${canary('poison')}`) };
  expect((await ask(poison)).status).toBe(422);
  for (const gateway of [0, 1]) {
    const list = async () => JSON.stringify(await admin(gateway, 'GET', '/admin/quarantine'));
    await eventually('both know it', async () => (await list()).includes('"what":"request"'));
    told.push(await list());
  }
  told.push((await ask({ ...poison, url: urlOf(1) })).text);
  told.push(...(await spoken(['status', 'usage', 'keys list', 'quarantine list', 'queue'])));
  told.push(await (await fetch(`${worker.url}/metrics`)).text());
  // What was logged last is written within a moment.
  await eventually('the logs have come', () => gateways.every(({ output }) => /client_gone/.test(output)));
  told.push(...gateways.map(({ output }) => output), worker.output);
  expect(told.join('\n').length).toBeGreaterThan(10_000);
  expect(leaksIn([`it says ${canary('prompt')}`, root])).toHaveLength(2); // the net has no hole
  expect(leaksIn(told)).toEqual([]);
  expect(cookies.every((cookie) => cookie.length > 60)).toBe(true);
  for (const hidden of [secret, secret.slice(-24), ...cookies]) {
    expect(told.filter((text) => text.includes(hidden))).toEqual([]);
  }
});
