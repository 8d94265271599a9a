// Why a request went where it went: in the reply's headers, and under its id for administrators, at any gateway.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { createExplain } from '../../gateway/explain.ts';
import type { Explain } from '../../gateway/explain.ts';
import type { Registers } from '../../gateway/policy/registers.ts';
import { aWorker } from '../worker/a-worker.ts';
import type { TestWorker } from '../worker/a-worker.ts';
import { make, call, root } from './policy/calls.ts';
import { ask, chat, secret, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

const loadDelayMs = 50;
const wish = (id: string) => {
  const shared = { secret, ledger: rig.ledger, echo: { loadDelayMs } };
  return { ...shared, id, models: id === 'a' ? ['m', 'cold'] : ['m'] };
};
let rig: Rig;
let workers: TestWorker[];
beforeAll(async () => {
  rig = await startRig({ workers: [], clock: systemClock });
  workers = await Promise.all(['a', 'b', 'c'].map((id) => aWorker(wish(id))));
  for (const worker of ['a', 'b', 'c']) {
    const body = JSON.stringify({ model: 'm', worker });
    await vi.waitFor(async () => expect((await ask(rig, { path: '/admin/preload', body }).answer).status).toBe(200), {
      timeout: 20_000,
      interval: 50,
    });
  }
});
afterAll(async () => {
  await Promise.all(workers.map((worker) => worker[Symbol.asyncDispose]()));
  await rig[Symbol.asyncDispose]();
});

const user = (content: string) => ({ role: 'user', content });
const said = async (messages: object[], model = 'm') =>
  (await ask(rig, { body: chat({ model, messages }) }).answer).headers;
const explained = async (id: unknown) => {
  const { status, text } = await ask(rig, { method: 'GET', path: `/admin/explain/${String(id)}` }).answer;
  return { status, body: JSON.parse(text) };
};

test('the turns of a conversation return to the worker that has it, whoever else is free', async () => {
  const story = 'once upon a time there was a scheduler that thrashed. '.repeat(10);
  for (let talk = 0; talk < 6; talk += 1) {
    const messages = [user(`${talk} ${story}`)];
    const first = await said(messages);
    for (let turn = 0; turn < 3; turn += 1) {
      messages.push({ role: 'assistant', content: `answer ${turn}` }, user(`and then? ${turn}`));
      const next = await said(messages);
      expect([next['berth-worker'], next['berth-reason']]).toEqual([first['berth-worker'], 'prefix']);
    }
  }
});

test('a reply says where it was answered and why, and what it waited for', async () => {
  const headers = await said([user('hello')]);
  expect(headers).toMatchObject({
    'berth-worker': expect.stringMatching(/^[abc]$/),
    'berth-reason': expect.stringMatching(/^(preferred|warm|prefix)$/),
    'berth-wait-ms': expect.stringMatching(/^\d+$/),
    'berth-load-ms': '0',
    'berth-reused-tokens': expect.stringMatching(/^\d+$/),
    'berth-gateway': expect.any(String),
  });
});

test('an explanation has candidates, scores, decision and times, and no word of prompt, answer or key', async () => {
  const headers = await said([user('a-secret-word '.repeat(20))]);
  const again = await said([user('a-secret-word '.repeat(20))]);
  const { status, body } = await explained(again['x-request-id']);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    model: 'm:latest',
    outcome: 'ok',
    worker: headers['berth-worker'],
    reason: 'prefix',
    gateway: again['berth-gateway'],
    decisions: [{ warm: 3, ledger: { kind: 'held', worker: headers['berth-worker'] } }],
    tokens: { output: expect.any(Number) },
  });
  const [{ candidates, prefer }] = body.decisions;
  expect(prefer[0]).toBe(headers['berth-worker']);
  expect(candidates[0]).toMatchObject({ worker: prefer[0], prefix: 1, score: expect.any(Number) });
  expect(body.times.totalMs).toBeGreaterThanOrEqual(body.times.waitMs);
  expect(JSON.stringify(body)).not.toContain('a-secret-word');
});

test('a request for a model that nobody has loaded waits for its load, and says so', async () => {
  const headers = await said([user('hello')], 'cold');
  const [waitMs, loadMs] = ['berth-wait-ms', 'berth-load-ms'].map((name) => Number(headers[name]));
  expect(loadMs).toBeGreaterThanOrEqual(loadDelayMs);
  expect(waitMs).toBeGreaterThanOrEqual(loadMs ?? Infinity);
  const { times } = (await explained(headers['x-request-id'])).body;
  expect([times.waitMs, times.loadMs]).toEqual([waitMs, loadMs]);
});

test('what nobody knows is a 404, and only administrators may ask', async () => {
  expect((await explained('unknown')).status).toBe(404);
  await using locked = await startRig({ door: [root] });
  const { secret: key } = await make(locked, { team: 'red' });
  expect((await call(locked, key, 'GET', '/admin/explain/x')).status).toBe(403);
});

test('a gateway explains what another one has answered, and forgets the oldest', async () => {
  const shared = new Map<string, { revision: number; value: unknown }>();
  const questions = {
    get: (name: string) => shared.get(name),
    entries: () => [...shared],
    put: (name: string, entry: { revision: number; value: unknown }) => void shared.set(name, entry),
    flush: async () => {},
  } as unknown as Registers;
  const [one, other] = ['g1', 'g2'].map((gateway) =>
    createExplain({ gateway, questions, gateways: () => 2, clock: systemClock }),
  ) as [Explain, Explain];
  const ended = (request: string) =>
    one.ended({ request, job: { model: 'm', owner: { team: 't' } }, decisions: [] } as never, 'ok', 0, 5);
  ended('r0');
  const asked = other.of('r0');
  await vi.waitFor(() => expect(shared.has('r0')).toBe(true), { timeout: 15_000 });
  await one.answer();
  expect(await asked).toMatchObject({ request: 'r0', gateway: 'g1', outcome: 'ok' });
  for (let at = 1; at <= 1_000; at += 1) ended(`r${at}`);
  shared.clear();
  const lone = createExplain({ gateway: 'g3', questions, gateways: () => 1, clock: systemClock });
  expect([await lone.of('r0'), (await one.of('r1000'))?.request]).toEqual([null, 'r1000']);
});
