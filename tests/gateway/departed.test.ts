// A pool whose worker has left a moment ago: who asks for what it had waits for its return, within a bound.
import { describe, expect, it } from 'vitest';
import { ask, chat, startRig, until } from './rig.ts';
import type { Ask, Rig, RigWish } from './rig.ts';

/** The only worker says good-bye, and the gateway has heard of it. */
async function leave(rig: Rig): Promise<void> {
  rig.worker.silence();
  await rig.worker.beat({ last: true });
  await rig.clock.advance(1_000);
}

async function departed(wish?: RigWish): Promise<Rig> {
  const rig = await startRig(wish);
  await leave(rig);
  return rig;
}

const readiness = async (rig: Rig) => (await ask(rig, { method: 'GET', path: '/readyz' }).answer).status;

describe('a model whose only worker has left a moment ago', () => {
  const asks: [string, Ask][] = [
    ['by its name', {}],
    ['by no name, being the only one', { path: '/tokenize', body: '{"content":"x"}' }],
    ['in Ollama’s dialect', { path: '/api/chat', body: chat({ stream: false }) }],
  ];
  it.each(asks)('asked for %s waits, and is served when the worker is back', async (_how, asked) => {
    await using rig = await departed();
    const asking = ask(rig, asked);
    await until('the ticket', () => rig.waiting().length === 1);
    await rig.clock.advance(20_000);
    await rig.worker.restart('life2');
    expect((await asking.answer).status).toBe(200);
    expect(rig.worker.seen).toHaveLength(1);
  });

  it('is served by another worker that comes in its place', async () => {
    await using rig = await departed();
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    const other = await rig.addWorker();
    expect((await asking.answer).status).toBe(200);
    expect(other.seen).toHaveLength(1);
  });

  it('is refused after 30 s, with when to come back', async () => {
    await using rig = await departed();
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    await rig.clock.advance(29_000);
    expect(rig.waiting()).toHaveLength(1);
    await rig.clock.advance(2_000);
    const { status, headers, text } = await asking.answer;
    expect([status, text.includes('can be reached'), headers['retry-after']]).toEqual([503, true, expect.any(String)]);
    expect(rig.waiting()).toEqual([]);
  });

  it('is waited for also where other workers have other models', async () => {
    await using rig = await startRig({ workers: [{}, { models: [] }] });
    await leave(rig);
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    await rig.worker.restart('life2');
    expect((await asking.answer).status).toBe(200);
  });

  it('still cannot do what it never could', async () => {
    await using rig = await departed();
    const { status, text } = await ask(rig, { path: '/v1/embeddings', body: '{"model":"tiny","input":"x"}' }).answer;
    expect([status, text]).toEqual([400, expect.stringContaining('does not support')]);
  });

  it('keeps the gateway ready for a minute; then it is refused at once', async () => {
    await using rig = await departed();
    expect(await readiness(rig)).toBe(200);
    expect((await ask(rig, { method: 'GET', path: '/health' }).answer).status).toBe(503);
    await rig.clock.advance(60_000);
    expect(await readiness(rig)).toBe(503);
    const { status, text } = await ask(rig).answer;
    expect([status, text.includes('no worker is there yet')]).toEqual([503, true]);
  });
});

describe('what is not waited for', () => {
  it('is a model that the worker never had: 404 at once', async () => {
    await using rig = await departed();
    expect((await ask(rig, { body: chat({ model: 'other' }) }).answer).status).toBe(404);
  });

  it('is a model that a worker has deleted', async () => {
    await using rig = await startRig();
    rig.worker.announce({ models: [] });
    await rig.worker.beat();
    await rig.clock.advance(1_000);
    expect((await ask(rig).answer).status).toBe(404);
  });

  it('is a model that the worker came back without', async () => {
    await using rig = await departed();
    rig.worker.announce({ models: [] });
    await rig.worker.restart('life2');
    await rig.clock.advance(1_000);
    expect((await ask(rig).answer).status).toBe(404);
  });

  it('is a pool that never had a worker: 503 at once, and not ready', async () => {
    await using rig = await startRig({ workers: [] });
    for (let second = 0; second < 3; second++) await rig.clock.advance(1_000);
    expect([(await ask(rig).answer).status, await readiness(rig)]).toEqual([503, 503]);
    expect(rig.takes).toEqual([]);
  });
});

it('a gateway stays ready while its only worker finishes what it runs before it leaves', async () => {
  await using rig = await startRig();
  rig.worker.announce({ state: 'draining' });
  await rig.worker.beat({ capacity: 0 });
  await rig.clock.advance(1_000);
  expect(await readiness(rig)).toBe(200);
});
