// Alone with a model: nobody dies with a suspect, and nobody is cut off to make it so.
import { afterEach, expect, test } from 'vitest';
import { createSolitude } from '../../worker/models/solitude.ts';
import { virtualClock } from '../doubles/clock.ts';
import { aWorker, chat, until } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

const workers: TestWorker[] = [];
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker[Symbol.asyncDispose]()));
});

async function started(options: Parameters<typeof aWorker>[0] = {}): Promise<TestWorker> {
  const worker = await aWorker(options);
  workers.push(worker);
  return worker;
}

const slow = (text: string) => chat(`[[tokenDelayMs=20 repeat=5]] ${text} `, { stream: true });

test('a suspect waits for those who run, and meanwhile nobody else is taken, here or by the ledger', async () => {
  const { begin, call, beats, echo } = await started();
  const running = begin({ body: slow('first') });
  await running.until('first');
  const suspect = begin({ body: slow('suspect'), alone: true });
  await until(() => beats.at(-1)?.serves.length === 0);
  expect((await call()).headers['berth-not-started']).toBe('busy');
  expect((await call({ alone: true })).headers['berth-not-started']).toBe('busy');
  expect((await running.answer).settlement).not.toBeNull();
  await suspect.until('suspect');
  expect((await call()).headers['berth-not-started']).toBe('busy');
  expect((await suspect.answer).settlement).not.toBeNull();
  expect(echo.runningMax).toBe(1);
  await until(() => beats.at(-1)?.serves.length === 1);
  expect((await call()).status).toBe(200);
});

test('other models go on beside it', async () => {
  const { begin, call, beats } = await started({ models: ['m', 'n'] });
  const other = () => call({ model: 'n:latest', body: { ...chat('hello'), model: 'n' } });
  expect((await other()).status).toBe(200);
  const suspect = begin({ body: slow('suspect'), alone: true });
  await suspect.until('suspect');
  await until(() => beats.at(-1)?.serves.join() === 'n:latest');
  expect((await other()).status).toBe(200);
  await suspect.answer;
});

test('one that leaves before its turn gives the model back', async () => {
  const { begin, call, beats } = await started();
  const running = begin({ body: slow('first') });
  await running.until('first');
  const leaving = begin({ body: chat('leaving'), alone: true });
  await until(() => beats.at(-1)?.serves.length === 0);
  leaving.abort();
  await until(() => beats.at(-1)?.serves.length === 1);
  expect((await call()).status).toBe(200);
});

test('one whose engine dies gives the model back', async () => {
  const { call } = await started();
  expect((await call({ body: chat('[[dieAfterTokens=0]] death'), alone: true })).status).toBe(502);
  expect((await call()).status).toBe(200);
});

test('one that waits for 30 s in vain goes back to the queue', async () => {
  const clock = virtualClock();
  const solitude = createSolitude({ clock, onChange: () => undefined });
  const { signal } = new AbortController();
  using _other = await solitude.enter('m', false, signal);
  const suspect = solitude.enter('m', true, signal).catch((error: Error) => error.message);
  await clock.advance(29_000);
  expect([...solitude.taken()]).toEqual(['m']);
  await clock.advance(2_000);
  expect([await suspect, ...solitude.taken()]).toEqual(['not started: busy']);
});
