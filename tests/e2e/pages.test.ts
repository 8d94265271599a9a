// A page that computes holds a slot over real processes: the death of the gateway that holds it frees it for the others.
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { startMounted } from '../gateway/passthrough/server.ts';
import type { MountedServer } from '../gateway/passthrough/server.ts';
import { eventually } from './eventually.ts';
import { aPool, heldSlots, queued, usedSlots } from './pool.ts';
import type { Pool } from './pool.ts';

let server: MountedServer;
let pool: Pool;
beforeAll(async () => {
  server = await startMounted();
  const env = { MOUNTS: `/page=${server.url};inference=box` };
  pool = await aPool({ redisUrl: inject('redisUrl'), gateways: 2, workers: ['box'], slots: 1, env });
});
afterAll(async () => {
  await pool[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

it('a gateway that is killed leaves its slot to who waits at another', async () => {
  const [first, second] = pool.gateways;
  const worker = pool.workers.get('box');
  const cut = fetch(`${first?.url}/page/slow`).then((reply) =>
    reply.text().then(
      () => 'whole',
      () => 'cut',
    ),
  );
  await eventually('the page has it', () => server.seen.length === 1);
  expect([await heldSlots(second), await usedSlots(worker)]).toEqual([1, 1]);
  const body = JSON.stringify({ model: 'm', prompt: 'hello', stream: false });
  const other = fetch(`${second?.url}/api/generate`, { method: 'POST', body });
  await eventually('another request waits', async () => (await queued(second)) === 1);
  first?.kill('SIGKILL');
  expect((await other).status).toBe(200);
  expect(await cut).toBe('cut');
  await eventually('no slot is taken', async () => (await heldSlots(second)) + (await usedSlots(worker)) === 0);
});

it('a worker that is killed ends the page, and its next life has all its slots', async () => {
  const [, second] = pool.gateways;
  const cut = fetch(`${second?.url}/page/slow`).then((reply) =>
    reply.text().then(
      () => 'whole',
      () => 'cut',
    ),
  );
  await eventually('the page has it', () => server.seen.length === 2);
  pool.workers.get('box')?.kill('SIGKILL');
  expect(await cut).toBe('cut');
  await pool.addWorker('box');
  await eventually('it is served again', async () => (await fetch(`${second?.url}/page/x`)).status === 200);
  await eventually('no slot is taken', async () => (await heldSlots(second)) === 0);
});
