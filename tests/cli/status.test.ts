// `berth status` and `berth queue` against a real gateway, in a terminal and in a pipe.
import { describe, expect, it } from 'vitest';
import { held, whole } from '../doubles/fake-worker.ts';
import { ask, startRig, until } from '../gateway/rig.ts';
import { typeIn } from './typed.ts';

const key = 'a-key-of-the-settings-0123';
const authorization = `Bearer ${key}`;

describe('berth status', () => {
  it('shows workers, slots, models and the queue to a person, anew each second', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    const first = held(whole('{}'));
    rig.worker.act(first.act, whole('{}'));
    const both = [ask(rig), ask(rig)];
    await until('one waits', () => rig.waiting().length === 1);
    const { code, said } = await typeIn('status', { url: rig.url, terminal: true, pausesMax: 2 });
    expect([code, said.split('Berth 0.0.0: ok; 1 gateway, 1 worker, 1 waiting').length]).toEqual([130, 4]);
    expect(said).toMatch(/^WORKER +STATE +SLOTS +DEVICE\nw1 +ready +# +1\/1/m);
    expect(said).toMatch(/^LOADED +SIZE +UNTIL \(UTC\)\ntiny:latest +1\.0 MiB/m);
    expect(said).toMatch(/^WAITING FOR +REQUESTS\ntiny:latest +1$/m);
    const queue = await typeIn('queue --once', { url: rig.url, terminal: true });
    expect(queue.said).toMatch(
      /^1 waiting: 1 normal\n\nMODEL +REQUESTS\ntiny:latest +1\n\nPLACE +MODEL .*\n1 +tiny:latest/,
    );
    first.go();
    await Promise.all(both.map(({ answer }) => answer));
  });

  it('is JSON for a pipe, once', async () => {
    await using rig = await startRig({ workers: [{ slots: 3 }] });
    const { code, said } = await typeIn('status', { url: rig.url });
    expect([code, JSON.parse(said)]).toEqual([
      0,
      {
        health: expect.objectContaining({ status: 'ok', gateways: 1 }),
        queue: expect.objectContaining({
          waiting: 0,
          workers: [{ worker: 'w1', held: 0, capacity: 3, state: 'ready' }],
        }),
        models: [expect.objectContaining({ name: 'tiny:latest' })],
      },
    ]);
    expect(JSON.parse((await typeIn('queue', { url: rig.url })).said)).toMatchObject({ waiting: 0 });
    expect((await typeIn('queue --once', { url: rig.url, terminal: true })).said).toBe('Nobody waits.');
  });

  it('ends with 1 when the pool takes no requests, when the key does not suffice, and when nobody answers', async () => {
    await using empty = await startRig({ workers: [] });
    const none = await typeIn('status --once', { url: empty.url, terminal: true });
    expect(none).toMatchObject({ code: 1, said: expect.stringContaining('No worker has joined.') });
    expect(none.explained).toBe(
      'The pool takes no requests: no worker is ready. berth doctor checks what may be wrong.',
    );
    await using locked = await startRig({ door: [key] });
    expect((await ask(locked, { method: 'GET', path: '/api/queue', headers: { authorization } }).answer).status).toBe(
      200,
    );
    expect(await typeIn('status', { url: locked.url })).toMatchObject({ code: 1, said: '' });
    const away = await typeIn('status', { url: 'http://127.0.0.1:9' });
    expect([away.code, away.explained]).toEqual([1, expect.stringContaining('set BERTH_URL')]);
    expect((await typeIn('status --twice', { url: locked.url })).code).toBe(2);
    expect((await typeIn('help', {})).said).toMatch(/status +shows workers[\s\S]*doctor +checks this machine/);
  });
});
