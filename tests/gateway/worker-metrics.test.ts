// The workers' metrics through the gateway: who is there, what each tells, and nothing without a key.
import { expect, it } from 'vitest';
import { aCard, whole } from '../doubles/fake-worker.ts';
import { ask, startRig } from './rig.ts';

const key = 'a-key-of-the-settings-0123';
const authorization = `Bearer ${key}`;

it('lists each worker process once, as a target behind this gateway', async () => {
  await using rig = await startRig({ workers: [{}, { id: 'w2', models: [aCard({ name: 'other:latest' })] }] });
  const { status, text } = await ask(rig, { method: 'GET', path: '/metrics/workers' }).answer;
  const target = (worker: string) => ({
    targets: [`127.0.0.1:${rig.port}`],
    labels: { __metrics_path__: `/metrics/workers/${worker}`, worker, instance: worker },
  });
  expect([status, JSON.parse(text)]).toEqual([200, [target('w1'), target('w2')]]);
});

it('passes on what the worker tells, in the format that the scraper asked for, by a signed call', async () => {
  await using rig = await startRig();
  rig.worker.act(whole('berth_worker_slots 4\n'));
  const headers = { accept: 'application/openmetrics-text' };
  const { status, text } = await ask(rig, { method: 'GET', path: '/metrics/workers/w1', headers }).answer;
  expect([status, text]).toEqual([200, 'berth_worker_slots 4\n']);
  const [seen] = rig.worker.seen;
  expect([seen?.method, seen?.path, seen?.checked.kind, seen?.headers.accept]).toEqual([
    'GET',
    '/metrics',
    'ok',
    'application/openmetrics-text',
  ]);
});

it('says 404 of a worker that is not there, and 502 of one that does not answer', async () => {
  await using rig = await startRig();
  for (const name of ['w9', '..%2Fadmin%2Fkeys', '%E0%A4%A', '']) {
    expect((await ask(rig, { method: 'GET', path: `/metrics/workers/${name}` }).answer).status).toBe(404);
  }
  await rig.worker.vanish();
  expect((await ask(rig, { method: 'GET', path: '/metrics/workers/w1' }).answer).status).toBe(502);
});

it('is told to holders of a key only', async () => {
  await using rig = await startRig({ door: [key] });
  for (const path of ['/metrics/workers', '/metrics/workers/w1']) {
    expect((await ask(rig, { method: 'GET', path }).answer).status).toBe(401);
    expect((await ask(rig, { method: 'GET', path, headers: { authorization } }).answer).status).toBe(200);
  }
});
