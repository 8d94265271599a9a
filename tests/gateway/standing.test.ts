// What operators want of models and workers: said once, it holds on a gateway with real workers, and after a restart.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { isStandingKept } from '../../gateway/standing.ts';
import { aWorker } from '../worker/a-worker.ts';
import type { TestWorker } from '../worker/a-worker.ts';
import { ask, chat, secret, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

const eventually = (look: () => void | Promise<void>) => vi.waitFor(look, { timeout: 20_000, interval: 20 });
let rig: Rig;
const workers = new Map<string, TestWorker>();
const start = async (id: string) => {
  workers.set(id, await aWorker({ id, secret, ledger: rig.ledger, loadedMax: 1, models: ['m', 'n'] }));
};
const order = (path: string, body: object) => ask(rig, { path: `/admin/${path}`, body: JSON.stringify(body) }).answer;
const generate = async (model: string) => {
  const { status, headers } = await ask(rig, { body: chat({ model }) }).answer;
  return status === 200 ? headers['berth-worker'] : status;
};
const cards = async () => {
  const body: unknown = JSON.parse((await ask(rig, { method: 'GET', path: '/api/ps' }).answer).text);
  return body as { models: { name: string }[] };
};
/** `model@worker` of all that is loaded, as announced. */
const loaded = () => {
  const announced = [...rig.pool.workers].map(([worker, { announcement }]) => [worker, JSON.parse(announcement)]);
  return announced
    .flatMap(([worker, { models }]) =>
      (models as { name: string; loaded: boolean }[])
        .filter((card) => card.loaded)
        .map(({ name }) => `${name}@${worker}`),
    )
    .sort();
};

beforeAll(async () => {
  rig = await startRig({ workers: [], clock: systemClock });
  await Promise.all([start('a'), start('b')]);
  await eventually(async () => expect((await order('preload', { model: 'm', worker: 'a' })).status).toBe(202));
  await eventually(() => expect(loaded()).toEqual(['m:latest@a']));
});
afterAll(async () => {
  await Promise.all([...workers.values()].map((worker) => worker[Symbol.asyncDispose]()));
  await rig[Symbol.asyncDispose]();
});

describe('in this order', () => {
  test('a preloaded model is there for the first request, and a second preload says so', async () => {
    expect(JSON.parse((await order('preload', { model: 'm' })).text)).toMatchObject({ worker: 'a', state: 'loaded' });
    expect(await generate('m')).toBe('a');
    expect((await cards()).models.map(({ name }) => name)).toEqual(['m:latest']);
  });

  test('a pinned model stays: who wants another one gets it elsewhere, or waits', async () => {
    expect((await order('pin', { model: 'm', worker: 'a' })).status).toBe(200);
    await eventually(() => expect(rig.pool.workers.get('a')?.announcement).toContain('"pinned":true'));
    expect(await generate('n')).toBe('b');
    expect(loaded()).toEqual(['m:latest@a', 'n:latest@b']);
    expect((await order('preload', { model: 'n', worker: 'a' })).status).toBe(503);
    await ask(rig, { path: '/api/generate', body: JSON.stringify({ model: 'm', keep_alive: 0 }) }).answer;
    expect(await generate('m')).toBe('a');
  });

  test('a worker that was restarted has its pinned model again, without a request for it', async () => {
    await workers.get('a')?.[Symbol.asyncDispose]();
    await start('a');
    await eventually(() => expect(loaded()).toEqual(['m:latest@a', 'n:latest@b']));
    await eventually(() => expect(rig.pool.workers.get('a')?.announcement).toContain('"pinned":true'));
  });

  test('a drained worker gets nothing new and stays in the pool, until it is undrained', async () => {
    expect((await order('drain', { worker: 'b' })).text).toBe('{"worker":"b","drained":true}');
    await eventually(() => expect(rig.pool.workers.get('b')?.announcement).toContain('"state":"drained"'));
    expect(rig.pool.workers.get('b')).toMatchObject({ capacity: 0, serves: [] });
    await eventually(async () =>
      expect(await (await fetch(`${rig.url}/metrics`)).text()).toContain('berth_workers{state="drained"} 1'),
    );
    await order('undrain', { worker: 'b' });
    await eventually(() => expect(rig.pool.workers.get('b')?.capacity).toBe(4));
    expect(await generate('n')).toBe('b');
  });

  test('a moved model is loaded on the one worker before the other lets go, and its pin goes with it', async () => {
    expect((await order('move', { model: 'm', worker: 'b' })).status).toBe(202);
    await eventually(() => expect(loaded()).toEqual(['m:latest@b']));
    const { pins } = JSON.parse((await ask(rig, { method: 'GET', path: '/admin/placement' }).answer).text);
    expect(pins).toEqual([{ model: 'm:latest', worker: 'b' }]);
    expect(await generate('m')).toBe('b');
  });

  test('an unpinned model makes room again', async () => {
    expect(JSON.parse((await order('unpin', { model: 'm' })).text)).toMatchObject({ workers: ['b'], pinned: false });
    await eventually(() => expect(rig.pool.workers.get('b')?.announcement).not.toContain('"pinned":true'));
  });

  test('what was pinned and unpinned a moment ago is unloaded by the next call', async () => {
    for (let times = 0; times < 5; times += 1) {
      await order('preload', { model: 'm', worker: 'b' });
      await eventually(() => expect(loaded()).toContain('m:latest@b'));
      expect((await order('pin', { model: 'm', worker: 'b' })).status).toBe(200);
      expect((await order('unpin', { model: 'm' })).status).toBe(200);
      await ask(rig, { path: '/api/generate', body: JSON.stringify({ model: 'm', keep_alive: 0 }) }).answer;
      await eventually(() => expect(loaded()).not.toContain('m:latest@b'));
    }
  });

  test('the log says who did what', () => {
    const said = rig.lines
      .filter(({ by }) => by !== undefined)
      .map(({ message, model, worker }) => [message, model, worker]);
    expect(said).toContainEqual(['a model was pinned', 'm:latest', 'a']);
    expect(said).toContainEqual(['a worker was drained', undefined, 'b']);
    expect(said).toContainEqual(['a model is moved', 'm:latest', 'b']);
  });

  test.each([
    ['pin', { model: 'unknown' }, 404, "model 'unknown' not found"],
    ['pin', { model: 'm', worker: 'z' }, 400, 'a, b have it'],
    ['move', { model: 'm' }, 400, 'worker is required'],
    ['drain', { worker: 'z' }, 400, 'is not there: a, b are'],
    ['drain', {}, 400, 'worker is required'],
  ])('%s %j is refused with %i and what to do', async (path, body, status, sentence) => {
    const answer = await order(path, body);
    expect([answer.status, answer.text]).toEqual([status, expect.stringContaining(sentence)]);
  });
});

test('what was called off is remembered for longer than a gateway is away, a move for as long as it may take', () => {
  const day = 24 * 3_600_000;
  const wanted = { worker: 'a', model: 'm', atMs: 0 };
  expect(isStandingKept({ ...wanted, kind: 'pin', on: true }, 1_000 * day)).toBe(true);
  expect(isStandingKept({ ...wanted, kind: 'pin', on: false }, 29 * day)).toBe(true);
  expect(isStandingKept({ ...wanted, kind: 'pin', on: false }, 31 * day)).toBe(false);
  expect(isStandingKept({ ...wanted, kind: 'move', on: true }, 3_600_000)).toBe(false);
});
