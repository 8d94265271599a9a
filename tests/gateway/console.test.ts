// The console's routes without a browser: its files, what is told of the pool and to whom, and the end of a request.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Activity, Run } from '@berth/shared/activity.ts';
import { systemClock } from '@berth/shared/clock.ts';
import { createHistory } from '../../gateway/console/history.ts';
import type { Snapshot } from '../../gateway/console/snapshot.ts';
import { virtualClock } from '../doubles/clock.ts';
import { aCard, hang } from '../doubles/fake-worker.ts';
import { ask, startRig, until } from './rig.ts';
import type { Rig } from './rig.ts';

const key = 'an-admin-key-of-sixteen-and-more';
const admin = { authorization: `Bearer ${key}` };

const aRun = (change: Partial<Run> = {}): Run => ({
  request: 'r1',
  model: 'tiny:latest',
  team: 'red',
  key: 'k',
  slot: 0,
  embeds: false,
  phase: 'decode',
  seconds: 2.5,
  promptTokens: 100,
  cachedTokens: 10,
  outputTokens: 20,
  outputMax: 200,
  ...change,
});
const memory = { usedBytes: 50, bytes: 100, utilization: 0.5 };

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ door: [key], workers: [{ activity: () => ({ runs: [aRun()], memory }) }] });
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Messages of the stream so far, but for the one that is arriving. */
function heard(stream: { sofar(): string }): Partial<Snapshot>[] {
  const lines = stream.sofar().split('\n\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('data: {"')).map((line) => JSON.parse(line.slice(6)) as Snapshot);
}

describe('the page', () => {
  const get = (path: string, headers = {}, method = 'GET') => ask(rig, { method, path, headers }).answer;

  it.each([
    ['/console', 'text/html; charset=utf-8'],
    ['/console/main.js', 'text/javascript; charset=utf-8'],
    ['/console/base.css', 'text/css; charset=utf-8'],
    ['/console/icon.svg', 'image/svg+xml'],
  ])('%s is for everybody, with its type and a policy that lets nothing else in', async (path, type) => {
    const { status, headers, text } = await get(path);
    expect([status, headers['content-type'], headers['x-content-type-options']]).toEqual([200, type, 'nosniff']);
    expect(headers['content-security-policy']).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(headers['content-security-policy']).not.toContain('unsafe');
    expect(Number(headers['content-length'])).toBe(Buffer.byteLength(text));
    const again = await get(path, { 'if-none-match': headers.etag });
    expect([again.status, again.text]).toEqual([304, '']);
    expect((await get(path, {}, 'HEAD')).headers['content-length']).toBe(headers['content-length']);
  });

  it.each(['/console/tsconfig.json', '/console/../settings.ts', '/console/%2e%2e/keys.ts', '/console/nothing.js'])(
    '%s is none of its files',
    async (path) => expect((await get(path)).status).toBe(404),
  );

  it('is reached with a slash too', async () => {
    expect(await get('/console/')).toMatchObject({ status: 308, headers: { location: '/console' } });
  });
});

describe('what is told of the pool', () => {
  it.each(['/admin/pool', '/console/events'])('%s needs an administrator', async (path) => {
    expect((await ask(rig, { method: 'GET', path }).answer).status).toBe(401);
  });

  it('is who runs what and how far, and no word of a prompt', async () => {
    const { text } = await ask(rig, { method: 'GET', path: '/admin/pool', headers: admin }).answer;
    const { workers, running, models, pool } = JSON.parse(text) as Snapshot;
    expect(workers).toMatchObject([{ worker: 'w1', state: 'ready', slots: 2, memory }]);
    expect(running).toMatchObject([{ worker: 'w1', slot: 0, team: 'red', phase: 'decode', outputTokens: 20 }]);
    expect(models).toMatchObject([{ name: 'tiny:latest', workers: 1, loaded: 1 }]);
    expect(pool).toMatchObject({ slots: 2, held: 0, waiting: 0, gateways: 1, up: true });
  });

  it('comes each second, only what has changed, by one look for all who look, until the session is over', async () => {
    const looks = { count: 0 };
    const activity = (): Activity => ({ runs: [aRun({ outputTokens: (looks.count += 1) })], memory });
    await using own = await startRig({ door: [key], workers: [{ activity }] });
    const session = await ask(own, { method: 'POST', path: '/admin/session', headers: admin, body: '' }).answer;
    const cookie = String(session.headers['set-cookie']).split(';', 1)[0] ?? '';
    const open = () => ask(own, { method: 'GET', path: '/console/events', headers: { cookie } });
    using first = open();
    using second = open();
    for (const stream of [first, second]) await until('the whole is there', () => heard(stream).length === 1);
    expect(looks.count).toBe(1);
    await own.clock.advance(1_000);
    for (const stream of [first, second]) await until('a change is there', () => heard(stream).length === 2);
    expect(looks.count).toBe(2);
    const [, change = {}] = heard(first);
    expect(Object.keys(change)).toEqual(expect.arrayContaining(['pool', 'running', 'history']));
    expect(Object.keys(change)).not.toContain('models');
    const origin = { cookie, origin: own.url, host: new URL(own.url).host };
    await ask(own, { method: 'DELETE', path: '/admin/session', headers: origin }).answer;
    await own.clock.advance(1_000);
    for (const stream of [first, second]) {
      expect(await stream.answer).toMatchObject({ end: 'complete', text: expect.stringContaining('event: ended') });
    }
  });

  it('is bounded: a hundred workers with eight busy slots each are less than 256 KiB a second', async () => {
    const runs = (at: number) =>
      Array.from({ length: 8 }, (_, slot) => aRun({ slot, request: `request-${at}-${slot}` }));
    const workers = Array.from({ length: 100 }, (_, at) => ({
      slots: 8,
      models: [aCard({ name: 'llama3.1:8b', vramBytes: 2 ** 34 }), aCard({ name: 'qwen3:32b' })],
      activity: () => ({ runs: runs(at), memory }),
    }));
    await using many = await startRig({ clock: systemClock, workers });
    using stream = ask(many, { method: 'GET', path: '/console/events' });
    await until('all are told', () => heard(stream).length > 1);
    const [whole] = heard(stream);
    expect([whole?.workers?.length, whole?.running?.length]).toEqual([100, 800]);
    const [largest = 0] = stream
      .sofar()
      .split('\n\n')
      .map((message) => Buffer.byteLength(message))
      .toSorted((a, b) => b - a);
    expect(largest).toBeLessThan(2 ** 18);
  });

  it('a gateway has so many streams and no more', async () => {
    const streams = Array.from({ length: 32 }, () =>
      ask(rig, { method: 'GET', path: '/console/events', headers: admin }),
    );
    for (const stream of streams) await stream.head;
    const { status, text } = await ask(rig, { method: 'GET', path: '/console/events', headers: admin }).answer;
    expect([status, text]).toEqual([429, expect.stringContaining('32 consoles are open')]);
    for (const stream of streams) stream.leave();
  });
});

describe('the end of a request by an administrator', () => {
  const cancel = (at: Rig, request: unknown, headers: Record<string, string> = admin) =>
    ask(at, { path: '/admin/cancel', headers, body: JSON.stringify({ request }) }).answer;

  it('comes to one that waits, and its client is told so', async () => {
    await using own = await startRig({ door: [key], workers: [{ slots: 1 }] });
    own.worker.act(hang());
    using _running = ask(own, { headers: admin });
    await until('one runs', () => own.held().length === 1);
    using waiting = ask(own, { headers: admin });
    await until('one waits', () => own.waiting().length === 1);
    const { text } = await ask(own, { method: 'GET', path: '/admin/pool', headers: admin }).answer;
    const [row] = (JSON.parse(text) as Snapshot).queue.here;
    expect(row).toMatchObject({ model: 'tiny:latest', team: 'default', priority: 'normal', place: 1 });
    expect((await cancel(own, row?.request)).status).toBe(200);
    const answer = await waiting.answer;
    expect([answer.status, JSON.parse(answer.text)]).toMatchObject([410, { error: { code: 'request_cancelled' } }]);
    expect(own.waiting()).toEqual([]);
  });

  it.each([
    ['no key', 'x', {}, 401],
    ['an id that nobody knows', 'x', admin, 404],
    ['no id', undefined, admin, 400],
    ['what is no id', 7, admin, 400],
  ])('is refused with %s', async (_, request, headers, status) => {
    expect((await cancel(rig, request, headers)).status).toBe(status);
  });
});

describe('the last minutes', () => {
  it('have tokens in the steps in which they were decoded, and forget what is older', async () => {
    const clock = virtualClock();
    const history = createHistory({ clock, waiting: () => 3 });
    await clock.advance(20_000);
    history.ended('ok', { request: 'a', outputTokens: 100, decodeMs: 10_000, ttftMs: 40 });
    history.ended('queue_full', { request: 'b', why: 'the queue is full' });
    const { tokens, requests, failed, waiting, ttftP50Ms } = history.series([{ tokens: 10, seconds: 1 }]);
    expect(tokens.slice(-3).reduce((sum, value) => sum + value, 0)).toBe(110);
    expect(tokens.at(-3)).toBe(50);
    expect([requests.at(-1), failed.at(-1), waiting.at(-1), ttftP50Ms.at(-1)]).toEqual([2, 1, 3, 40]);
    expect(history.recent()).toMatchObject([
      { request: 'b', why: 'the queue is full' },
      { request: 'a', tokensPerS: 10 },
    ]);
    await clock.advance(600_000);
    expect(history.series([]).requests.every((count) => count === 0)).toBe(true);
  });

  it('keep so many requests and no more', () => {
    const history = createHistory({ clock: virtualClock(), waiting: () => 0 });
    for (let at = 0; at < 200; at += 1) history.ended('ok', { request: `r${at}`, why: 'x'.repeat(10_000) });
    expect([history.recent().length, history.recent()[0]?.request]).toEqual([50, 'r199']);
    expect(history.recent()[0]?.why).toHaveLength(200);
  });
});
