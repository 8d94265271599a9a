// Calls to a worker that are not, or not any more, a gateway's of its pool: every route refuses every kind of them, and
// nothing of them is run.
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { activityPath, cancelPath } from '@berth/shared/activity.ts';
import { signCall, skewMs } from '@berth/shared/auth.ts';
import type { Call } from '@berth/shared/auth.ts';
import { wishes } from '../../worker/standing.ts';
import { endpoints } from '../../worker/endpoints.ts';
import { pagesPath } from '../../worker/pages.ts';
import { aWorker, chat, secret } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

let worker: TestWorker;
beforeAll(async () => {
  worker = await aWorker();
});
afterAll(() => worker[Symbol.asyncDispose]());

/** Every route that a gateway calls. The scrape is not among them: loopback may have it unsigned (http.test.ts). */
const paths = [
  ...Object.keys(endpoints),
  '/api/show',
  '/api/pull',
  '/api/copy',
  '/internal/beat',
  '/internal/activity',
  '/internal/cancel/some-request',
  '/internal/hold',
  activityPath,
  cancelPath,
  ...wishes.map((wish) => `/internal/${wish}`),
  `${pagesPath}health`,
];
const methodOf = (path: string) => (path === activityPath || path.startsWith(pagesPath) ? 'GET' : 'POST');
let leases = 0;
const aCall = (): Call => ({
  lease: `lease ${(leases += 1)}`,
  epoch: worker.worker.epoch,
  model: 'm:latest',
  owner: { team: 'red', key: 'k', gateway: 'g' },
});

function send(
  path: string,
  headers: Record<string, string | string[]>,
  method = methodOf(path),
): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const outgoing = request(`${worker.worker.url}${path}`, { method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('close', () => resolve([response.statusCode ?? 0, text]));
      // A held slot is given back by its holder.
      if (path === '/internal/hold' && response.statusCode === 200) outgoing.destroy();
    });
    outgoing.on('error', reject);
    outgoing.end(method === 'GET' ? undefined : JSON.stringify(chat('hello')));
  });
}

type Headers = Record<string, string>;
const signed = (path: string, call = aCall(), nowMs = Date.now(), with_ = secret, method = methodOf(path)): Headers =>
  signCall(with_, method, path, call, nowMs);
const without = (headers: Headers, name: string): Headers =>
  Object.fromEntries(Object.entries(headers).filter(([each]) => each !== name));
const changed = (path: string, name: string, value: string): Headers => ({ ...signed(path), [name]: value });

const wrong: [string, (path: string) => Headers | Record<string, string | string[]>][] = [
  ['has no signature', (path) => without(signed(path), 'berth-signature')],
  ['has an empty signature', (path) => changed(path, 'berth-signature', '')],
  [
    'has the signature of another call',
    (path) => changed(path, 'berth-signature', signed(path)['berth-signature'] ?? ''),
  ],
  ['has half of its signature', (path) => changed(path, 'berth-signature', 'a'.repeat(32))],
  ['has two signatures', (path) => ({ ...signed(path), 'berth-signature': ['a'.repeat(64), 'b'.repeat(64)] })],
  ['is signed with another secret', (path) => signed(path, aCall(), Date.now(), `${secret}.`)],
  ['is signed with no secret', (path) => signed(path, aCall(), Date.now(), '')],
  ['is older than 30 s', (path) => signed(path, aCall(), Date.now() - skewMs - 1_000)],
  ['comes from the future', (path) => signed(path, aCall(), Date.now() + skewMs + 5_000)],
  ['was made younger', (path) => ({ ...signed(path, aCall(), Date.now() - 60_000), 'berth-time': String(Date.now()) })],
  ['has no time', (path) => without(signed(path), 'berth-time')],
  ['is signed for another path', (path) => signed(path === '/api/chat' ? '/api/generate' : '/api/chat')],
  ['is signed for the path with a query', (path) => signed(`${path}?a=b`)],
  [
    'is signed for another method',
    (path) => signed(path, aCall(), Date.now(), secret, methodOf(path) === 'GET' ? 'POST' : 'GET'),
  ],
  ['has another lease', (path) => changed(path, 'berth-lease', 'lease of another')],
  ['has another epoch', (path) => changed(path, 'berth-epoch', 'a life before')],
  ['has another model', (path) => changed(path, 'berth-model', 'other%3Alatest')],
  ['has another owner', (path) => changed(path, 'berth-owner', 'blue|k|g')],
  ['wants to be alone', (path) => changed(path, 'berth-alone', '1')],
  ['wants more output', (path) => changed(path, 'berth-output-max', '999')],
  ['wants a larger context', (path) => changed(path, 'berth-context-max', '9999')],
  ['has a lease of 3,000 characters', (path) => signed(path, { ...aCall(), lease: 'x'.repeat(3_000) })],
];

describe.each(wrong)('a call that %s', (_what, headersOf) => {
  it('is refused by every route, without a word of what is there', async () => {
    const before = [worker.echo.runningMax, worker.leaves.length];
    for (const path of paths) {
      const [status, text] = await send(path, headersOf(path));
      expect([path, status, text]).toEqual([path, 401, expect.stringMatching(/^\{"error":"this call is \w+: only/)]);
    }
    expect([worker.echo.runningMax, worker.leaves.length]).toEqual(before);
  });
});

describe('a call that is right', () => {
  it('reaches every route; what is no route is told so only with a signature', async () => {
    for (const path of paths) expect([path, (await send(path, signed(path)))[0] === 401]).toEqual([path, false]);
    for (const path of ['/', '/admin/keys', '/v1/models', '/api/tags', '/api/create', '/v1/chat/completions/']) {
      expect((await send(path, signed(path)))[0]).toBe(404);
      expect((await send(path, {}))[0]).toBe(401);
    }
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      expect((await send('/api/chat', signed('/api/chat', aCall(), Date.now(), secret, method), method))[0]).toBe(404);
      expect((await send('/api/chat', {}, method))[0]).toBe(401);
    }
  });

  it('runs once: sent again within its 30 s, with whatever body, it is not started', async () => {
    const path = '/v1/chat/completions';
    const headers = signed(path);
    expect((await send(path, headers))[0]).toBe(200);
    const [status] = await send(path, headers);
    expect(status).toBe(409);
  });

  it('is needed for a WebSocket too', async () => {
    const ask = { upgrade: 'websocket', connection: 'upgrade' };
    for (const path of [`${pagesPath}x`, '/api/chat']) {
      await expect(
        send(path, { ...ask, ...signed(path, aCall(), Date.now(), 'another secret', 'GET') }, 'GET'),
      ).rejects.toThrow();
    }
  });

  it('with a lease of another life of the worker is not started', async () => {
    const path = '/v1/chat/completions';
    expect((await send(path, signed(path, { ...aCall(), epoch: 'a life before' })))[0]).toBe(409);
  });
});
