// Requests that kill engines: who was there runs alone, who kills alone is refused, and who was innocent is served.
import { describe, expect, it } from 'vitest';
import { Refusal } from '@berth/shared/outcome.ts';
import { refuse, stream, whole } from '../doubles/fake-worker.ts';
import type { Act } from '../doubles/fake-worker.ts';
import { call, infer, locked, make, root } from './policy/calls.ts';
import { ask, chat, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

const dies = refuse(502, new Refusal('engine_died', 'the model stopped working'));
const says = (content: string, more: object = {}) => chat({ messages: [{ role: 'user', content }], ...more });
/** Kills the engine with whatever says so; everything else is answered. */
const poisonous: Act = async (exchange) => {
  const { body = '' } = sent.at(-1) ?? {};
  await (body.includes('poison') ? dies : whole('served'))(exchange);
};
let sent: Rig['worker']['seen'] = [];

async function poisonedRig(): Promise<Rig> {
  const rig = await startRig();
  rig.worker.act(poisonous);
  sent = rig.worker.seen;
  return rig;
}

const alone = (rig: Rig) => rig.workers.flatMap(({ seen }) => seen).map(({ headers }) => headers['berth-alone']);

describe('a request that kills its engine', () => {
  it('is tried alone, and when it kills again refused in its dialect, without another engine', async () => {
    await using rig = await poisonedRig();
    const { status, text } = await ask(rig, { body: says('poison') }).answer;
    expect([status, text]).toEqual([422, expect.stringContaining('"code":"request_quarantined"')]);
    expect(alone(rig)).toEqual(['0', '1']);
    const again = await ask(rig, { body: says('poison') }).answer;
    expect(again.status).toBe(422);
    const ollama = await ask(rig, { path: '/api/chat', body: says('poison') }).answer;
    expect([ollama.status, ollama.text]).toEqual([422, expect.stringMatching(/^\{"error":"this request ended/)]);
    expect(rig.worker.seen).toHaveLength(2);
    expect(rig.held()).toEqual([]);
    const metrics = await (await fetch(`${rig.url}/metrics`)).text();
    expect(metrics).toContain('berth_poison_total{event="quarantined"} 1');
    expect(metrics).toContain('berth_poison_total{event="refused"} 2');
  });

  it.each([
    ['in other bytes', `{ "messages":[ {"content":"poison","role":"user"} ],  "model":"tiny:latest" }`],
    ['as a stream', says('poison', { stream: true })],
    ['with another seed', says('poison', { seed: 7 })],
    ['under another spelling of the model', says('poison', { model: 'tiny:latest' })],
  ])('is the same %s', async (_how, body) => {
    await using rig = await poisonedRig();
    await ask(rig, { body: says('poison') }).answer;
    expect((await ask(rig, { body }).answer).status).toBe(422);
    expect(rig.worker.seen).toHaveLength(2);
  });

  it('does not stand for another one', async () => {
    await using rig = await poisonedRig();
    await ask(rig, { body: says('poison') }).answer;
    expect((await ask(rig, { body: says('remedy') }).answer).status).toBe(200);
    expect(alone(rig).at(-1)).toBe('0');
  });

  it('is another one from another team', async () => {
    await using rig = await locked();
    const [red, blue] = [await make(rig, { team: 'red' }), await make(rig, { team: 'blue' })];
    rig.worker.act(dies, dies, whole('served'));
    expect((await infer(rig, red.secret)).status).toBe(422);
    expect((await infer(rig, blue.secret)).status).toBe(200);
    expect((await infer(rig, red.secret)).status).toBe(422);
  });

  it('may be tried again after an hour', async () => {
    await using rig = await poisonedRig();
    await ask(rig, { body: says('poison') }).answer;
    await rig.clock.advance(59 * 60_000);
    expect((await ask(rig, { body: says('poison') }).answer).status).toBe(422);
    expect(rig.worker.seen).toHaveLength(2);
    await rig.clock.advance(2 * 60_000);
    await ask(rig, { body: says('poison') }).answer;
    expect(alone(rig).slice(2)).toEqual(['0', '1']);
  });
});

describe('a request that was there when an engine died', () => {
  it('is served when it was innocent, and is no suspect any more', async () => {
    await using rig = await startRig();
    rig.worker.act(dies, whole('served'));
    expect(await ask(rig).answer).toMatchObject({ status: 200, text: 'served' });
    await ask(rig).answer;
    expect(alone(rig)).toEqual(['0', '1', '0']);
    rig.worker.act(dies, whole('served'));
    expect((await ask(rig).answer).status).toBe(200);
    expect(alone(rig).slice(3)).toEqual(['0', '1']);
  });

  it('runs alone when it is sent again after its answer was cut, for ten minutes', async () => {
    await using rig = await startRig();
    const cut: Act = async (exchange) => {
      const { response } = exchange;
      response.writeHead(200, { 'content-type': 'text/event-stream', trailer: 'berth-refusal' });
      response.write('data: 1\n\n');
      response.addTrailers({
        'berth-refusal': encodeURIComponent(JSON.stringify({ outcome: 'engine_died', message: 'it died' })),
      });
      response.end();
    };
    rig.worker.act(cut, stream(['data: 1\n\n']));
    const body = chat({ stream: true });
    const first = await ask(rig, { body }).answer;
    expect([first.end, first.text]).toEqual(['cut', expect.stringContaining('"code":"worker_failed"')]);
    await ask(rig, { body }).answer;
    expect(alone(rig)).toEqual(['0', '1']);
    rig.worker.act(cut, stream(['data: 1\n\n']));
    await ask(rig, { body }).answer;
    await rig.clock.advance(11 * 60_000);
    await ask(rig, { body }).answer;
    expect(alone(rig).slice(2)).toEqual(['0', '0']);
  });

  it('is no suspect when its worker died as a whole, or refused', async () => {
    await using rig = await startRig();
    rig.worker.act(refuse(502, new Refusal('worker_failed', 'it stopped')), whole('served'));
    expect((await ask(rig).answer).status).toBe(200);
    expect(alone(rig)).toEqual(['0', '0']);
  });
});

describe('a key whose requests kill engines again and again', () => {
  it('has all its requests run alone after two deaths, is refused after four, and told so, for ten minutes', async () => {
    await using rig = await locked();
    const [bad, good] = [await make(rig, { team: 'red' }), await make(rig, { team: 'red' })];
    rig.worker.act(dies, dies, whole('a'), dies, dies, whole('b'), dies, dies, whole('c'));
    const send = (content: string, key = bad) => infer(rig, key.secret, { messages: [{ role: 'user', content }] });
    expect((await send('one')).status).toBe(422);
    expect((await send('harmless')).status).toBe(200);
    expect((await send('two')).status).toBe(422);
    expect(alone(rig)).toEqual(['0', '1', '0', '0', '1']);
    expect((await send('harmless')).status).toBe(200);
    expect((await send('three')).status).toBe(422);
    expect(alone(rig).slice(5)).toEqual(['1', '1', '1']);
    const refused = await send('harmless');
    expect([refused.status, refused.text]).toEqual([429, expect.stringContaining('"code":"key_isolated"')]);
    expect([refused.headers['retry-after'], refused.text]).toEqual(['30', expect.stringContaining('10 more minutes')]);
    expect((await send('harmless', good)).status).toBe(200);
    expect(alone(rig).at(-1)).toBe('0');
    await rig.clock.advance(11 * 60_000);
    expect((await send('harmless')).status).toBe(200);
    expect(alone(rig).at(-1)).toBe('0');
  });

  it('is let go, and so is a request, by an administrator only', async () => {
    await using rig = await locked();
    const { id, secret } = await make(rig, { team: 'red' });
    rig.worker.act(dies, dies, dies, dies, dies, dies, whole('served'));
    for (const content of ['one', 'two', 'three']) {
      await infer(rig, secret, { messages: [{ role: 'user', content }] });
    }
    expect((await infer(rig, secret)).status).toBe(429);
    expect((await call(rig, secret, 'GET', '/admin/quarantine')).status).toBe(403);
    const { json, text } = await call(rig, root, 'GET', '/admin/quarantine');
    const listed = json['quarantine'] as { id: string; what: string; key: string; model?: string }[];
    expect(listed.map(({ what, key, model }) => [what, key, model])).toEqual([
      ['request', id, 'tiny:latest'],
      ['key', id, undefined],
      ['request', id, 'tiny:latest'],
      ['request', id, 'tiny:latest'],
    ]);
    expect(text).not.toContain('three');
    for (const { id: each } of listed) {
      expect((await call(rig, root, 'DELETE', `/admin/quarantine/${each}`)).status).toBe(200);
    }
    expect((await infer(rig, secret, { messages: [{ role: 'user', content: 'one' }] })).status).toBe(200);
    expect((await call(rig, root, 'DELETE', '/admin/quarantine/nothing')).status).toBe(404);
  });

  it('is never refused where nobody has a key of his own: others would be locked out with him', async () => {
    await using rig = await poisonedRig();
    for (const which of ['1', '2', '3', '4']) await ask(rig, { body: says(`poison ${which}`) }).answer;
    expect(await ask(rig, { body: says('remedy') }).answer).toMatchObject({ status: 200 });
    expect(alone(rig).at(-1)).toBe('1');
  });
});
