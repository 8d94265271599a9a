// The queue as a gateway plays its part in it: bounds, patience, grants that come early or late, a ledger that forgets.
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { Ledger } from '@berth/shared/ledger/ledger.ts';
import { aCard, held, stall, whole } from '../doubles/fake-worker.ts';
import { ask, chat, startRig, until, wire } from './rig.ts';
import type { Rig } from './rig.ts';

const errorOf = (text: string) => (JSON.parse(text) as { error: { code: string; message: string } }).error;

/** What the log says of the requests that have ended. */
const settled = (rig: Rig) => rig.lines.filter(({ message }) => message === 'request');

/** Fills the worker's only slot until `go`. */
async function occupy(rig: Rig): Promise<{ go: () => void; answer: Promise<{ status: number }> }> {
  const { act, go } = held(whole('{}'));
  rig.worker.act(act, whole('{}'));
  const { answer } = ask(rig);
  await until('the slot taken', () => rig.worker.seen.length > 0);
  return { go, answer };
}

describe('the bounds of the queue', () => {
  const full: [string, object, RegExp][] = [
    ['all', { waitingMax: 1 }, /the queue is full: 1 requests/],
    ['one key', { waitingPerKeyMax: 1 }, /this key has 1 requests/],
  ];
  it.each(full)('of %s refuse in each dialect, and say when to come back', async (_whose, settings, message) => {
    await using rig = await startRig({ workers: [{ slots: 1 }], settings });
    const first = await occupy(rig);
    const waiting = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);

    const openai = await ask(rig, { body: chat({ stream: true }) }).answer;
    expect([openai.status, errorOf(openai.text).code]).toEqual([429, 'rate_limit_exceeded']);
    expect(errorOf(openai.text).message).toMatch(message);
    expect(Number(openai.headers['retry-after'])).toBeGreaterThanOrEqual(1);
    expect(Number(openai.headers['retry-after'])).toBeLessThanOrEqual(30);
    expect(Number(openai.headers['retry-after-ms'])).toBeGreaterThan(0);

    const ollama = await ask(rig, { path: '/api/chat' }).answer;
    expect([ollama.status, ollama.text]).toEqual([
      503,
      '{"error":"server busy, please try again.  maximum pending requests exceeded"}',
    ]);
    expect(ollama.headers['retry-after']).toBeDefined();
    expect(rig.worker.seen).toHaveLength(1);
    first.go();
    expect((await waiting.answer).status).toBe(200);
  });

  it('of the bytes that are held refuse before the ledger is asked', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }], settings: { waitingBytesMax: 1_500 } });
    const first = await occupy(rig);
    const { status, headers } = await ask(rig, { body: chat({ user: 'x'.repeat(1_450) }) }).answer;
    expect([status, headers['retry-after']]).toEqual([429, expect.stringMatching(/^\d+$/)]);
    expect(rig.takes).toHaveLength(1);
    first.go();
    await first.answer;
    expect((await ask(rig).answer).status).toBe(200);
  });

  it('of the bytes that are held count those that are still on their way', async () => {
    await using rig = await startRig({ settings: { waitingBytesMax: 10_000 } });
    const slow = Array.from({ length: 3 }, () => connect(rig.port, '127.0.0.1').on('error', () => {}));
    const answers = slow.map(
      (socket) => new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data)))),
    );
    for (const socket of slow) socket.write(wire('x'.repeat(4_000), { 'content-length': '5000' }));
    expect(await Promise.race(answers)).toMatch(/^HTTP\/1\.1 429/);
    for (const socket of slow) socket.destroy();
    await until('all gone', () => rig.lines.filter(({ message }) => message === 'request').length === 3);
    expect((await ask(rig, { body: chat({ user: 'x'.repeat(9_000) }) }).answer).status).toBe(200);
    expect(rig.takes).toHaveLength(1);
  });

  it('of no queue at all serve what finds a slot', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }], settings: { waitingMax: 0 } });
    expect((await ask(rig).answer).status).toBe(200);
  });
});

describe('patience', () => {
  it.each([
    ['the queue’s', { settings: { queueTimeoutMs: 30_000 } }, {}],
    ['the client’s own', {}, { 'berth-max-wait': '30s' }],
  ])('%s ends the wait with an error that says when to come back', async (_whose, wish, headers) => {
    await using rig = await startRig({ workers: [{ slots: 1 }], ...wish });
    const first = await occupy(rig);
    const asking = ask(rig, { headers });
    await until('the ticket', () => rig.waiting().length === 1);
    await rig.clock.advance(29_000);
    expect(rig.waiting()).toHaveLength(1);
    await rig.clock.advance(1_500);
    const answer = await asking.answer;
    expect([answer.status, errorOf(answer.text).code]).toEqual([503, 'queue_timeout']);
    expect(answer.headers['retry-after']).toBeDefined();
    expect(rig.waiting()).toEqual([]);
    first.go();
    await first.answer;
  });

  it('that ended in vain is counted when the same request comes again and says so', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    const first = await occupy(rig);
    const asking = ask(rig, { headers: { 'berth-max-wait': '30s' } });
    await until('the ticket', () => rig.waiting().length === 1);
    const age = rig.pool.records.get(rig.waiting()[0] ?? '')?.age;
    await rig.clock.advance(30_500);
    expect((await asking.answer).status).toBe(503);
    const ages = [];
    for (const headers of [{}, { 'x-stainless-retry-count': '1' }]) {
      using again = ask(rig, { headers });
      await until('the ticket', () => rig.waiting().length === 1);
      ages.push(rig.takes.at(-1)?.age);
      again.leave();
      await until('no ticket', () => rig.waiting().length === 0);
    }
    expect(ages).toEqual([null, age]);
    first.go();
    await first.answer;
  });

  it.each(['soon', '-1', '', '0', '9999999999', '25h'])('%j is no patience', async (patience) => {
    await using rig = await startRig();
    const { status, text } = await ask(rig, { headers: { 'berth-max-wait': patience } }).answer;
    expect([status, text.includes('berth-max-wait')]).toEqual([400, true]);
    expect(rig.takes).toEqual([]);
  });

  it('of a client that cannot be served in time ends at once', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    const first = await occupy(rig);
    rig.worker.act(stall('x'));
    using _running = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    await rig.clock.advance(1_000);
    first.go();
    await first.answer;
    await until('the slot taken', () => rig.worker.seen.length === 2);
    // One slot came free in the two seconds in which somebody waited; twenty tickets take longer than one.
    await rig.clock.advance(1_000);
    const many = Array.from({ length: 20 }, () => ask(rig));
    await until('the tickets', () => rig.waiting().length === 20);
    const { status, text } = await ask(rig, { headers: { 'berth-max-wait': '1s' } }).answer;
    expect([status, errorOf(text).code]).toEqual([503, 'queue_timeout']);
    expect(rig.waiting()).toHaveLength(20);
    for (const asking of many) asking.leave();
  });
});

describe('a model that nobody serves', () => {
  it('is waited for as a load until somebody does, and from then on for a slot', async () => {
    await using rig = await startRig({
      workers: [{ slots: 1, models: [aCard({ loaded: false })] }],
      between: (ledger) => ({ ...ledger, claim: async () => 'loading' }),
    });
    const running = held(whole('{}'));
    rig.worker.act(running.act, whole('{}'));
    const first = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    const [second, third] = [ask(rig), ask(rig)];
    await until('the tickets', () => rig.waiting().length === 3);
    await rig.clock.advance(2_000);
    third.leave();
    await until('the third gone', () => rig.waiting().length === 2);
    await rig.clock.advance(1_000);
    rig.worker.silence();
    const serve = () => rig.worker.beat({ serves: ['tiny:latest'] });
    await serve();
    await until('the slot taken', () => rig.worker.seen.length === 1);
    await rig.clock.advance(3_000);
    await serve();
    running.go();
    await Promise.all([first.answer, second.answer]);
    await until('all settled', () => settled(rig).length === 3);
    // The session, each second, tells that there is a server now: so exact it is where all of its slots are full.
    expect(settled(rig).map(({ outcome, waitMs, loadMs }) => [outcome, waitMs, loadMs])).toEqual([
      ['client_gone', undefined, 2_000],
      ['ok', 3_000, 3_000],
      ['ok', 6_000, 4_000],
    ]);
  });
});

describe('a grant', () => {
  it('of a worker that has loaded the model a moment ago is told as warm, though this gateway has not heard', async () => {
    await using rig = await startRig({ workers: [{ models: [aCard({ loaded: false })] }] });
    await rig.worker.beat({ serves: ['tiny:latest'] });
    expect((await ask(rig).answer).headers['berth-reason']).toBe('warm');
  });

  it('that overtakes the answer to the take is taken', async () => {
    const late = Promise.withResolvers<void>();
    await using rig = await startRig({
      workers: [{ slots: 1 }],
      between: (ledger) => ({
        ...ledger,
        async take(input) {
          const taken = await ledger.take(input);
          if (taken.kind === 'wait') await late.promise;
          return taken;
        },
      }),
    });
    const first = await occupy(rig);
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    first.go();
    await until('the grant', () => rig.held().length === 1 && rig.waiting().length === 0);
    late.resolve();
    expect((await asking.answer).status).toBe(200);
    await until('the slot back', () => rig.held().length === 0);
  });

  it('for a ticket that has gone is given back at once', async () => {
    let grant: Parameters<Ledger['listen']>[1] = () => {};
    await using rig = await startRig({
      between: (ledger) => ({
        ...ledger,
        listen: (gateway, onGrant) => ledger.listen(gateway, (grant = onGrant)),
      }),
    });
    grant({ id: 'somebody', worker: 'w1', epoch: 'w1-life1', atMs: 0 });
    expect(rig.leaves).toEqual([{ id: 'somebody', actual: 0, refused: false }]);
  });

  it('that nobody heard is found by the session within a second', async () => {
    await using rig = await startRig({
      workers: [{ slots: 1 }],
      // The message is lost on its way, but the ledger believes that somebody listens.
      between: (ledger) => ({ ...ledger, listen: (gateway) => ledger.listen(gateway, () => {}) }),
    });
    const first = await occupy(rig);
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    first.go();
    await until('the grant', () => rig.waiting().length === 0);
    await rig.clock.advance(1_000);
    expect((await asking.answer).status).toBe(200);
  });

  it('whose message is overtaken by the session is not given back while it runs', async () => {
    const late = Promise.withResolvers<void>();
    let delayed = false;
    await using rig = await startRig({
      workers: [{ slots: 1 }],
      between: (ledger) => ({
        ...ledger,
        listen: (gateway, onGrant) =>
          ledger.listen(gateway, (grant) => {
            void late.promise.then(() => onGrant(grant)).then(() => (delayed = true));
          }),
      }),
    });
    const first = await occupy(rig);
    const second = held(whole('{}'));
    rig.worker.act(second.act, whole('{}'));
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    first.go();
    await until('the grant', () => rig.waiting().length === 0);
    await rig.clock.advance(1_000);
    await until('the second runs', () => rig.worker.seen.length === 2);
    const given = rig.leaves.length;
    late.resolve();
    await until('the message', () => delayed);
    expect([rig.held().length, rig.leaves.length - given]).toEqual([1, 0]);
    second.go();
    expect((await asking.answer).status).toBe(200);
    await until('the slot back', () => rig.held().length === 0);
  });
});

describe('a ledger that forgets', () => {
  const forget = (rig: Rig) => {
    for (const part of Object.values(rig.pool)) if (part instanceof Map) part.clear();
    rig.pool.era = null;
  };

  it('is asked again, with the same id and the same age', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    const first = await occupy(rig);
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    const before = rig.takes.at(-1);
    const age = rig.pool.records.get(before?.id ?? '')?.age;
    forget(rig);
    await rig.worker.beat({ boot: true });
    await rig.clock.advance(1_000);
    await until('the ticket again', () => rig.waiting().length === 1);
    expect(rig.takes.at(-1)).toMatchObject({ id: before?.id, age });
    first.go();
    expect((await asking.answer).status).toBe(200);
  });

  it('cuts no stream', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'));
    using asking = ask(rig, { body: chat({ stream: true }) });
    await until('the first piece', () => asking.sofar() !== '');
    forget(rig);
    await rig.clock.advance(1_000);
    await rig.worker.beat({ boot: true });
    await rig.clock.advance(10_000);
    expect(rig.worker.seen[0]?.running).toBe(true);
  });

  it('is not asked for a ticket that was served in the meantime', async () => {
    const late = Promise.withResolvers<void>();
    let slow = false;
    await using rig = await startRig({
      workers: [{ slots: 1 }],
      between: (ledger) => ({
        ...ledger,
        async session(input) {
          if (slow) await late.promise;
          return ledger.session(input);
        },
      }),
    });
    const first = await occupy(rig);
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    slow = true;
    await rig.clock.advance(1_000);
    first.go();
    expect((await asking.answer).status).toBe(200);
    const { length } = rig.takes;
    late.resolve();
    await rig.clock.advance(100);
    expect(rig.takes).toHaveLength(length);
    expect([rig.held(), rig.waiting()]).toEqual([[], []]);
  });
});

describe('a ledger that does not answer', () => {
  it.each([
    ['/v1/chat/completions', '"code":"overloaded"'],
    ['/api/chat', '"the ledger does not answer'],
  ])('%s is refused with 503, and told when to come back', async (path, words) => {
    await using rig = await startRig();
    rig.outage(true);
    const { status, headers, text } = await ask(rig, { path }).answer;
    expect([status, text.includes(words), headers['retry-after']]).toEqual([503, true, '2']);
    expect(rig.worker.seen).toEqual([]);
  });

  it('lets running streams go on, and the gateway is not ready meanwhile', async () => {
    await using rig = await startRig();
    const end = held(whole('the end'));
    rig.worker.act(end.act);
    const asking = ask(rig);
    await until('the request there', () => rig.worker.seen.length === 1);
    rig.outage(true);
    await rig.clock.advance(20_000);
    expect((await ask(rig, { method: 'GET', path: '/readyz' }).answer).status).toBe(503);
    end.go();
    expect(await asking.answer).toMatchObject({ status: 200, text: 'the end' });
    rig.outage(false);
    await rig.clock.advance(1_000);
    expect((await ask(rig, { method: 'GET', path: '/readyz' }).answer).status).toBe(200);
    expect((await ask(rig).answer).status).toBe(200);
  });

  it('once is asked again under a new id, and the old one is withdrawn', async () => {
    let failures = 1;
    await using rig = await startRig({
      between: (ledger) => ({
        ...ledger,
        async take(input) {
          const taken = await ledger.take(input);
          const { LedgerUnavailable } = await import('@berth/shared/ledger/ledger.ts');
          if ((failures -= 1) >= 0) throw new LedgerUnavailable('the answer was lost');
          return taken;
        },
      }),
    });
    expect((await ask(rig).answer).status).toBe(200);
    const [first, second] = rig.takes.map(({ id }) => id);
    expect(first).not.toBe(second);
    expect(rig.leaves[0]).toEqual({ id: first, actual: 0, refused: false });
    await until('all given back', () => rig.held().length === 0);
  });
});

describe('a model that nobody has any more', () => {
  it('is refused to those who wait for it after 30 s', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    await occupy(rig);
    const asking = ask(rig, { path: '/api/chat', body: chat({ stream: false }) });
    await until('the ticket', () => rig.waiting().length === 1);
    rig.worker.announce({ models: [] });
    await rig.worker.beat({ serves: [] });
    await rig.clock.advance(29_000);
    expect(rig.waiting()).toHaveLength(1);
    await rig.clock.advance(3_000);
    expect((await asking.answer).status).toBe(503);
    expect(rig.waiting()).toEqual([]);
  });
});
