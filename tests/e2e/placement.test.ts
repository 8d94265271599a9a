// Placement on real processes: two gateways, two workers with the real engine, one Redis.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { aFolder, startGateway, startWorker, workersReady } from './berth.ts';
import type { Berth, Env, Folder } from './berth.ts';
import { ask } from './requests.ts';

const model = 'berth-demo';
let states: Folder[];
let pool: Env;
let gateways: Berth[];
let workers: Berth[];

const gatewayAt = (at: number) => startGateway({ ...pool, STATE_DIR: states[at]?.path ?? '' });
const admin = async (at: number, path: string, body?: object) => {
  const init = body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const reply = await fetch(`${gateways[at]?.url}/admin/${path}`, init);
  return { status: reply.status, json: (await reply.json()) as Record<string, unknown> };
};
const eventually = (look: () => Promise<void>) => vi.waitFor(look, { timeout: 40_000, interval: 100 });

beforeAll(async () => {
  states = await Promise.all([aFolder(), aFolder()]);
  pool = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}`, NUM_PARALLEL: '2' };
  const starting = ['w1', 'w2'].map((id) => startWorker({ ...pool, WORKER_ID: id }));
  gateways = await Promise.all([gatewayAt(0), gatewayAt(1)]);
  workers = await Promise.all(starting);
  await Promise.all(gateways.map((gateway) => workersReady(gateway, 2)));
  for (const worker of ['w1', 'w2']) {
    await eventually(async () => expect((await admin(0, 'preload', { model, worker })).status).toBe(200));
  }
}, 120_000);
afterAll(async () => {
  await Promise.all([...gateways, ...workers].map((each) => each.stop()));
  await Promise.all(states.map((state) => state[Symbol.asyncDispose]()));
});

test('turns return to the worker that has the conversation, and most of the prompt is not read again; the other gateway can say why', async () => {
  const long = 'Tell me of the harbour, the lighthouse and the sea. '.repeat(12);
  let id = '';
  for (const [talk, { url }] of gateways.entries()) {
    const messages = [{ role: 'user', content: `${talk}: ${long}` }];
    const homes: unknown[] = [];
    for (const turn of [0, 1, 2]) {
      const { headers, text } = await ask({ url, body: { model, messages, max_tokens: 8 } });
      homes.push(headers['berth-worker']);
      id = String(headers['x-request-id']);
      const [reused, tokens] = ['berth-reused-tokens', 'berth-prompt-tokens'].map((name) => Number(headers[name]));
      if (turn > 0) expect([headers['berth-reason'], (reused ?? 0) > (tokens ?? 0) / 2]).toEqual(['prefix', true]);
      const { choices } = JSON.parse(text) as { choices: { message: { content: string } }[] };
      messages.push(
        { role: 'assistant', content: choices[0]?.message.content ?? '' },
        { role: 'user', content: 'More.' },
      );
    }
    expect(new Set(homes).size).toBe(1);
  }
  const { json } = await admin(0, `explain/${id}`);
  expect(json).toMatchObject({ request: id, reason: 'prefix', outcome: 'ok', model: 'berth-demo:latest' });
  expect(JSON.stringify(json)).not.toContain('harbour');
}, 90_000);

test('a pin said at one gateway holds at the other, and after all of them have been restarted', async () => {
  expect((await admin(0, 'pin', { model, worker: 'w2' })).status).toBe(200);
  const pins = [{ model: 'berth-demo:latest', worker: 'w2' }];
  await eventually(async () => expect((await admin(1, 'placement')).json['pins']).toEqual(pins));
  await Promise.all([...gateways, ...workers.slice(1)].map((each) => each.stop()));
  gateways = [await gatewayAt(1)];
  workers[1] = await startWorker({ ...pool, WORKER_ID: 'w2' });
  await eventually(async () => {
    const ps = await (await fetch(`${gateways[0]?.url}/metrics`)).text();
    expect(ps).toContain('berth_model_copies{model="berth-demo:latest"} 2');
  });
  expect((await admin(0, 'placement')).json['pins']).toEqual(pins);
}, 90_000);
