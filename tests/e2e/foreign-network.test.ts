// A pool on a network that is not its own: TLS to Redis and to the workers, and a user of Redis with a password and no
// more rights than a pool needs, as SECURITY.md says.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../tools/port.ts';
import { ownRedis } from '../tools/redis.ts';
import type { RedisServer } from '../tools/redis.ts';
import { echoModels, root, startGateway, startWorker, workersReady } from './berth.ts';
import type { Folder } from './berth.ts';
import { eventually } from './eventually.ts';
import { ask, begin, chat } from './requests.ts';

const password = 'canary-of-redis-0001';
const certificate = join(root, 'tests/gateway/tls/first.crt');
let redis: RedisServer;
let models: Folder;
let others: Folder;
let port = 0;
const key = 'the-key-of-the-settings';

/** The rights that SECURITY.md tells to give, for the pool `berth`. */
async function rights(): Promise<string[]> {
  const text = await readFile(join(root, 'SECURITY.md'), 'utf8');
  const [, line = ''] = /^ACL SETUSER berth on >PASSWORD (.*)$/m.exec(text) ?? [];
  expect(line).toContain('~b:{berth}:*');
  return line.split(' ');
}

beforeAll(async () => {
  port = await freePort();
  const files = ['--tls-cert-file', certificate, '--tls-key-file', certificate.replace('.crt', '.key')];
  const tls = ['--port', '0', '--tls-port', String(port), ...files, '--tls-auth-clients', 'no'];
  const user = ['--user', 'berth', 'on', `>${password}`, ...(await rights()), '--user', 'default', 'off'];
  const skip = (why: string) => {
    throw new Error(why);
  };
  redis = await ownRedis(skip, { port, args: [...tls, ...user] });
  [models, others] = [await echoModels('m'), await echoModels('other')];
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
  for (const folder of [models, others]) await folder[Symbol.asyncDispose]();
});

const env = (url: string) => ({ REDIS_URL: url, API_KEY: key, AUTH: 'on', LOG_LEVEL: 'debug' });
const url = (secret = password, scheme = 'rediss') => `${scheme}://berth:${secret}@127.0.0.1:${port}`;
const trusts = { NODE_EXTRA_CA_CERTS: certificate };

const shows = (file: string) => ({ WORKER_TLS_CERT: file, WORKER_TLS_KEY: file.replace('.crt', '.key') });

test(
  'a pool works over it: slots, keys, usage, the pool’s secret; a worker that nobody can trust is sent nothing',
  { timeout: 90_000 },
  async () => {
    await using gateway = await startGateway({ ...env(url()), ...trusts });
    const part = { ...env(url()), ...trusts, ENGINE: 'echo' };
    await using worker = await startWorker({ ...part, ...shows(certificate), MODELS_DIR: models.path });
    const strange = shows(certificate.replace('first', 'second'));
    await using stranger = await startWorker({ ...part, ...strange, MODELS_DIR: others.path });
    await workersReady(gateway, 2);
    expect([worker.url, stranger.url].map((each) => new URL(each).protocol)).toEqual(['https:', 'https:']);
    await expect(fetch(worker.url.replace('https', 'http'))).rejects.toThrow();
    const headers = { authorization: `Bearer ${key}` };
    const made = await fetch(`${gateway.url}/admin/keys`, { method: 'POST', headers, body: '{"team":"red"}' });
    const { secret } = (await made.json()) as { secret: string };
    for (const bearer of [key, secret]) {
      const answer = await ask({
        url: gateway.url,
        headers: { authorization: `Bearer ${bearer}` },
        body: chat('hello'),
      });
      expect([answer.status, answer.text.includes('hello')]).toEqual([200, true]);
    }
    const ofStranger = begin({ url: gateway.url, headers, body: { ...chat('canary-for-nobody'), model: 'other' } });
    await eventually('it is not believed', () => /a worker failed.*certificate/.test(gateway.output), {
      withinMs: 40_000,
    });
    ofStranger.abort();
    expect(stranger.output).not.toContain('canary');
    await gateway.stop(); // tells Redis what it still has to tell
    const said = gateway.output + worker.output;
    expect([said.includes(password), /NOPERM|is away|not kept/.exec(said)]).toEqual([false, null]);
  },
);

test.each<[string, () => Record<string, string>, RegExp]>([
  ['an authority that nobody trusts', () => env(url()), /certificate that is not trusted.*NODE_EXTRA_CA_CERTS/],
  ['a wrong password', () => ({ ...env(url('wrong-0001')), ...trusts }), /refuses the user or the password/],
  ['a client without TLS', () => env(url(password, 'redis')), /cannot be reached/],
])('%s: no start, and why, without the password', async (_what, settings, words) => {
  const start = startGateway(settings());
  const said = await start.then(
    async (gateway) => (await gateway.stop(), 'it started'),
    (error: Error) => error.message,
  );
  expect(said).toMatch(words);
  expect(said).not.toMatch(/canary-of-redis|wrong-0001/);
});
