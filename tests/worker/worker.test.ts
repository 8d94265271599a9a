// A whole worker over real sockets: what it announces, several models, draining, hanging engines, slow gateways.
import { rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { silentLog } from '@berth/shared/log.ts';
import type { OpenEngine } from '../../worker/engine/engine.ts';
import { virtualClock } from '../doubles/clock.ts';
import { aWorker, chat, rawCall, until } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';
import { gguf } from './gguf-file.ts';

let open: TestWorker | undefined;
const started = async (...options: Parameters<typeof aWorker>): Promise<TestWorker> =>
  (open = await aWorker(...options));
afterEach(async () => {
  await open?.[Symbol.asyncDispose]();
  open = undefined;
});

const slow = (text: string): Record<string, unknown> =>
  chat(`[[tokenDelayMs=20 repeat=1000]] ${text} `, { stream: true });
const short = (text: string): Record<string, unknown> =>
  chat(`[[tokenDelayMs=30 repeat=10]] ${text} `, { stream: true });

describe('a worker announces', () => {
  it('itself and its models, before it is ready', async () => {
    const { beats, announcement, worker } = await started({ models: ['m', 'other'] });
    expect(beats[0]).toMatchObject({ worker: 'w1', boot: true, last: false, capacity: 4, running: [] });
    expect(beats[0]?.serves).toEqual([]);
    expect(announcement()).toMatchObject({
      protocol: 1,
      epoch: worker.epoch,
      url: worker.url,
      slots: 4,
      state: 'ready',
    });
    expect(announcement().models[0]).toMatchObject({
      name: 'm:latest',
      loaded: false,
      contextTokens: 512,
      expiresAt: null,
    });
  });

  it('a load and what runs, and the hour of the unload when nothing does', async () => {
    const { call, begin, announcement } = await started({ keepAliveMs: 60_000 });
    const running = begin({ body: slow('word') });
    await running.until('word');
    await until(() => announcement().models[0]?.loaded === true);
    expect(announcement().models[0]?.expiresAt).toBeNull();
    running.abort();
    await call();
    await until(() => announcement().models[0]?.expiresAt !== null);
    expect(announcement().models[0]?.expiresAt).toBeGreaterThan(Date.now() + 50_000);
  });

  it('as many slots as its models can use, where memory was short', async () => {
    const two =
      (open: OpenEngine): OpenEngine =>
      async (...args) => {
        const engine = await open(...args);
        return {
          ...engine,
          info: { ...engine.info, slots: 2 },
          [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
        };
      };
    const { call, beats, announcement } = await started({ opens: two, models: ['m'] });
    expect(beats[0]?.capacity).toBe(4);
    await call();
    await until(() => beats.at(-1)?.capacity === 2);
    expect(announcement().slots).toBe(2);
    await open?.[Symbol.asyncDispose]();
    const several = await started({ opens: two, models: ['m', 'other', 'third'] });
    for (const model of ['m', 'other'])
      await several.call({ model: `${model}:latest`, body: { ...chat('hi'), model } });
    await until(() => several.announcement().models.filter(({ loaded }) => loaded).length === 2);
    expect(several.beats.at(-1)?.capacity).toBe(4);
  });

  it('that it serves only what is loaded, and that a load has begun', async () => {
    const { call, beats } = await started({ models: ['m', 'other'], echo: { loadDelayMs: 200 } });
    expect(beats[0]?.serves).toEqual([]);
    const answer = call();
    await until(() => beats.at(-1)?.loading?.model === 'm:latest');
    expect(beats.at(-1)?.serves).toEqual([]);
    const { announcement } = beats.at(-1) ?? {};
    expect(announcement).toContain('"loaded":false');
    expect(announcement).not.toContain('"loaded":true');
    await answer;
  });

  it('a model that comes while it runs, when it is asked for', async () => {
    const { call, beats, modelsDir } = await started();
    await new Promise((resolve) => setTimeout(resolve, 1_050)); // a model that is not known is looked for once a second
    await writeFile(join(modelsDir, 'new.gguf'), gguf());
    expect((await call({ model: 'new:latest' })).status).toBe(200);
    await until(() => beats.at(-1)?.serves.includes('new:latest') === true);
  });

  it('that it was replaced, and hears that it is stale', async () => {
    const stale = Promise.withResolvers<void>();
    const ledger = { beat: async () => ({ kind: 'stale' as const, epoch: 'x' }), leave: async () => 'gone' as const };
    await started({ ledger, onStale: stale.resolve });
    await expect(stale.promise).resolves.toBeUndefined();
  });
});

describe('several models', () => {
  it('load once each, and a busy one is never evicted', async () => {
    const { begin, call, echo, beats } = await started({ models: ['m', 'other'], loadedMax: 1 });
    const running = begin({ body: short('word') });
    await running.until('word');
    const other = begin({ body: chat('hi', { model: 'other' }), model: 'other:latest' });
    const refused = await untilRefused(() => call());
    expect(refused.headers['berth-not-started']).toBe('busy');
    await until(() => beats.at(-1)?.serves.length === 0);
    expect((await running.answer).settlement?.finish).toBe('stop');
    expect((await other.answer).settlement).toMatchObject({ finish: 'stop' });
    expect(echo.openNow).toBe(1);
  });

  it('are loaded and unloaded by an empty prompt', async () => {
    const { call, echo } = await started();
    const load = await call({ path: '/api/generate', body: { model: 'm', stream: false } });
    expect([load.settlement?.finish, JSON.parse(load.body)]).toEqual([
      'load',
      expect.objectContaining({ done_reason: 'load' }),
    ]);
    expect(echo.openNow).toBe(1);
    const unload = await call({ path: '/api/generate', body: { model: 'm', keep_alive: 0, stream: false } });
    expect(unload.settlement?.finish).toBe('unload');
    await until(() => echo.openNow === 0);
  });

  it('that cannot be loaded say why', async () => {
    const { call } = await started({ echo: { loadFails: 'it needs 9 GiB of memory and 4 GiB are free' } });
    const answer = await call();
    expect(answer.status).toBe(503);
    expect(answer.body).toContain("model 'm:latest' cannot be loaded: it needs 9 GiB");
  });
});

async function untilRefused(call: TestWorker['call']): ReturnType<TestWorker['call']> {
  for (;;) {
    const answer = await call();
    if (answer.status !== 200) return answer;
  }
}

describe('draining', () => {
  it('finishes what runs, refuses what comes, says good-bye last, and closes', async () => {
    const { begin, call, beats, worker, echo } = await started();
    const running = begin({ body: short('word') });
    await running.until('word');
    const drained = worker.drain(10_000);
    const refused = await call();
    expect([refused.status, refused.headers['berth-not-started'], refused.headers.connection]).toEqual([
      409,
      'draining',
      'close',
    ]);
    await until(() => beats.at(-1)?.announcement.includes('"draining"') === true);
    expect(beats.at(-1)).toMatchObject({ capacity: 0, last: false });
    expect((await running.answer).settlement?.finish).toBe('stop');
    await drained;
    expect(beats.at(-1)).toMatchObject({ last: true, running: [] });
    expect(echo.openNow).toBe(0);
    await expect(fetch(`${worker.url}/livez`)).rejects.toThrow('fetch failed');
  });

  it('cuts what takes too long, and tells the gateway why', async () => {
    const { begin, worker, beats } = await started();
    const running = begin({ body: slow('word') });
    await running.until('word');
    await worker.drain(50);
    const answer = await running.answer;
    expect([answer.settlement, answer.refusal?.message]).toEqual([null, expect.stringContaining('was stopped')]);
    expect(answer.body).not.toContain('[DONE]');
    expect(beats.at(-1)).toMatchObject({ last: true, running: [] });
  });
});

describe('a gateway that takes no bytes', () => {
  it('stops the engine instead of filling memory, and goes on when bytes are taken again', async () => {
    const { worker } = await started({ engine: { contextTokens: 1_000_000, slots: 1, threads: 1, gpu: false } });
    const body = JSON.stringify(chat(`[[repeat=20000]] ${'x'.repeat(500)} `, { stream: true }));
    const socket = rawCall(worker, systemClock, 'slow1', body);
    const paused = await steadySteps(worker.url);
    expect(paused).toBeGreaterThan(100);
    expect(paused).toBeLessThan(20_000);
    let tail = '';
    socket.on('data', (chunk: Buffer) => (tail = (tail + chunk.toString('latin1')).slice(-2_000)));
    await until(() => tail.includes('berth-settlement:'));
    expect(tail).toContain('"outputTokens":20000');
    socket.destroy();
  });
});

/** The engine's steps, once they are the same for 300 ms. */
async function steadySteps(url: string): Promise<number> {
  let before = -1;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const metrics = await (await fetch(`${url}/metrics`)).text();
    const counts = metrics.matchAll(/^berth_worker_engine_step_seconds_count\{[^}]*\} (\d+)$/gm);
    const steps = [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
    if (steps > 0 && steps === before) return steps;
    before = steps;
  }
}

describe('the threads of a worker', () => {
  it('are shared by its loaded models, and come back with an unload', async () => {
    const counts: Record<string, number> = {};
    const opens =
      (echo: OpenEngine): OpenEngine =>
      async (options, signal) => {
        const engine = await echo(options, signal);
        const name = basename(options.path, '.gguf');
        return { ...engine, useThreads: (count) => void (counts[name] = count) };
      };
    const engine = { contextTokens: 4096, slots: 4, threads: 7, gpu: false } as const;
    const { call } = await started({ models: ['m', 'other', 'third'], opens, engine });
    await call();
    expect(counts).toEqual({ m: 7 });
    await call({ model: 'other:latest', body: { ...chat('x'), model: 'other' } });
    await call({ model: 'third:latest', body: { ...chat('x'), model: 'third' } });
    expect(counts).toEqual({ m: 2, other: 2, third: 2 });
    await call({ path: '/api/generate', model: 'third:latest', body: { model: 'third', prompt: '', keep_alive: 0 } });
    await until(() => counts['m'] === 3);
    expect(counts).toMatchObject({ m: 3, other: 3 });
  });
});

describe('an engine that hangs', () => {
  it('stops new work after 15 s, and is killed and replaced after 30 s', async () => {
    const clock = virtualClock(Date.now());
    const { begin, call, beats, announcement, echo } = await started({ clock });
    const running = begin({ body: chat('[[hangAfterTokens=1]] one two', { stream: true }) });
    await running.until('one');
    await clock.advance(14_000);
    expect(announcement().state).toBe('ready');
    await clock.advance(2_000);
    expect([announcement().state, beats.at(-1)?.capacity]).toEqual(['stalled', 0]);
    expect((await call()).headers['berth-not-started']).toBe('busy');
    await clock.advance(16_000);
    const answer = await running.answer;
    expect([answer.settlement, answer.refusal?.outcome]).toEqual([null, 'engine_died']);
    expect(echo.openNow).toBe(0);
    await clock.advance(2_000);
    expect(announcement().state).toBe('ready');
    expect((await call()).status).toBe(200);
    const closed = open?.[Symbol.asyncDispose]();
    await clock.advance(5_000);
    await closed;
    open = undefined;
  });
});

describe('a gateway that breaks off', () => {
  it('in the middle of its own request frees the slot and is no error', async () => {
    const errors: string[] = [];
    const log = { ...silentLog, error: (message: string) => void errors.push(message) };
    const { worker, leaves } = await started({ log });
    const socket = rawCall(worker, systemClock, 'half1', '{"model":', 1_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await until(() => leaves.length > 0);
    expect([leaves[0]?.id, errors]).toEqual(['half1', []]);
  });

  it('that takes no bytes for 20 s is cut, and the slot is free', async () => {
    const clock = virtualClock(Date.now());
    const { worker, leaves } = await started({
      clock,
      engine: { contextTokens: 1_000_000, slots: 1, threads: 1, gpu: false },
    });
    const body = JSON.stringify(chat(`[[repeat=20000]] ${'x'.repeat(500)} `, { stream: true }));
    const socket = rawCall(worker, clock, 'stuck1', body);
    await steadySteps(worker.url);
    await clock.advance(19_000);
    expect(leaves).toEqual([]);
    await clock.advance(1_500);
    await until(() => leaves.length > 0);
    expect(leaves[0]).toMatchObject({ id: 'stuck1', refused: false });
    const closed = open?.[Symbol.asyncDispose]();
    await clock.advance(5_000);
    await closed;
    open = undefined;
    socket.destroy();
  });
});

it('forgets a loaded model whose file is gone', async () => {
  const { call, modelsDir, echo, beats } = await started({ models: ['m', 'other'] });
  await call();
  await rm(join(modelsDir, 'm.gguf'));
  await until(() => echo.openNow === 0);
  await until(() => beats.at(-1)?.announcement.includes('"m:latest"') === false);
  expect(beats.at(-1)?.serves).toEqual([]);
}, 10_000);
