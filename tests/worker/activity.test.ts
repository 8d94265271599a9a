// What a worker tells of its slots, and how an administrator ends what runs in one.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Activity } from '@berth/shared/activity.ts';
import { nobody, signCall } from '@berth/shared/auth.ts';
import { eventually } from '../e2e/eventually.ts';
import { aWorker, chat, secret } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

let worker: TestWorker;
beforeAll(async () => {
  worker = await aWorker({ device: 'NVIDIA', gpus: async () => [gpu, gpu] });
});
afterAll(() => worker[Symbol.asyncDispose]());

const gpu = {
  gpu: '0',
  uuid: 'GPU-1',
  memoryUsedBytes: 10,
  memoryBytes: 40,
  utilization: 0.5,
  powerWatts: null,
  powerLimitWatts: null,
  temperatureCelsius: null,
};

async function ask(method: 'GET' | 'POST', path: string): Promise<unknown> {
  const headers = signCall(secret, method, path, nobody, Date.now());
  return (await fetch(`${worker.worker.url}${path}`, { method, headers })).json();
}
const look = async () => (await ask('GET', '/internal/activity')) as Activity;

const long = (id: string) =>
  worker.begin({
    headers: { 'x-request-id': id },
    body: chat('[[tokenDelayMs=10 repeat=5000]] word ', { stream: true, max_tokens: 900 }),
  });

it('tells who is how far in which slot, and what memory there is', async () => {
  const [first, second] = [long('first'), long('second')];
  await Promise.all([first.until('word'), second.until('word')]);
  const { runs, memory } = await look();
  expect(memory).toEqual({ usedBytes: 20, bytes: 80, utilization: 0.5 });
  expect(new Set(runs.map(({ slot }) => slot))).toEqual(new Set([0, 1]));
  const [run] = runs.filter(({ request }) => request === 'first');
  expect(run).toMatchObject({ model: 'm:latest', phase: 'decode', embeds: false, outputMax: 900 });
  expect(run?.outputTokens).toBeGreaterThan(0);
  await eventually('it goes on', async () => (await look()).runs.some(({ outputTokens }) => outputTokens > 5));
  first.abort();
  await eventually('it is gone', async () => (await look()).runs.length === 1);
  const third = long('third');
  await third.until('word');
  // The lowest that is free.
  expect(new Set((await look()).runs.map(({ slot }) => slot))).toEqual(new Set([0, 1]));
  for (const each of [second, third]) each.abort();
  await eventually('all are gone', async () => (await look()).runs.length === 0);
});

it('ends the request that is named, in the middle of its stream, and no other', async () => {
  const [one, other] = [long('one'), long('other')];
  await Promise.all([one.until('word'), other.until('word')]);
  expect(await ask('POST', '/internal/cancel/nobody')).toEqual({ cancelled: false });
  expect(await ask('POST', '/internal/cancel/one')).toEqual({ cancelled: true });
  const { settlement, refusal, headers } = await one.answer;
  expect([settlement, refusal?.outcome]).toEqual([null, 'cancelled']);
  expect(headers['berth-slot']).toMatch(/^[01]$/);
  expect((await look()).runs.map(({ request }) => request)).toEqual(['other']);
  other.abort();
  await eventually('its slot is free', async () => worker.beats.at(-1)?.running.length === 0);
});
