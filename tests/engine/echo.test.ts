// The echo engine does what its script says, and keeps the port's promises.
import { expect, test } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { echoEngines } from '../../worker/engine/echo.ts';
import type { EchoScript } from '../../worker/engine/echo.ts';
import { EngineDied } from '../../worker/engine/engine.ts';
import { aRequest, collect, someOptions, unaborted } from './requests.ts';

const opened = async (script: Partial<EchoScript> = {}, slots = 4) => {
  const engines = echoEngines(systemClock, script);
  return { engines, engine: await engines.open({ ...someOptions, slots }, unaborted()) };
};

test('echoes the last user message token by token', async () => {
  const { engine } = await opened();
  const answer = await collect(engine, aRequest('one two  three'));
  expect(answer.text).toBe('one two  three');
  expect(answer.pieces).toEqual(['one ', 'two  ', 'three']);
  expect(answer.end).toMatchObject({ finish: 'stop', usage: { outputTokens: 3 } });
});

test('stops before a stop string and at the bound on tokens', async () => {
  const { engine } = await opened();
  expect((await collect(engine, { ...aRequest('a b END c'), stop: ['END'] })).text).toBe('a b ');
  expect((await collect(engine, { ...aRequest('a b c'), maxTokens: 2 })).end.finish).toBe('length');
});

test('dies in mid-answer for everybody when the text says so', async () => {
  const { engine } = await opened();
  const other = collect(engine, aRequest('[[tokenDelayMs=50]] a b c d e f g h'));
  await expect(collect(engine, aRequest('[[dieAfterTokens=1]] a b'))).rejects.toBeInstanceOf(EngineDied);
  await expect(other).rejects.toBeInstanceOf(EngineDied);
  expect(await engine.died).toBeInstanceOf(EngineDied);
});

test('hangs without a step until it is aborted, and the slot is free again', async () => {
  const { engine } = await opened({}, 1);
  const abort = new AbortController();
  const hanging = collect(engine, aRequest('[[hangAfterTokens=1]] a b'), abort.signal);
  const next = collect(engine, aRequest('next'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(engine.steps()).toBe(2);
  abort.abort(new Error('client gone'));
  await expect(hanging).rejects.toThrow('client gone');
  expect((await next).text).toBe('next');
});

test('runs no more requests at once than it has slots', async () => {
  const { engines, engine } = await opened({ tokenDelayMs: 2 }, 2);
  await Promise.all(Array.from({ length: 6 }, () => collect(engine, aRequest('a b c'))));
  expect(engines.runningMax).toBe(2);
});

test('refuses to load when told so', async () => {
  await expect(opened({ loadFails: 'the file is no GGUF' })).rejects.toMatchObject({ outcome: 'load_failed' });
});

test('refuses a prompt that is longer than the context', async () => {
  const { engine } = await opened();
  await expect(collect(engine, aRequest('x '.repeat(5000)))).rejects.toMatchObject({ outcome: 'context_exceeded' });
});
