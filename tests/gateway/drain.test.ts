// Leaving the right way: what runs finishes, what is new is sent elsewhere, nothing stays open.
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { held, hang, stall, stream, whole } from '../doubles/fake-worker.ts';
import { ask, chat, drained, raw, startRig, until, watched, wire } from './rig.ts';
import type { Rig } from './rig.ts';

async function startDraining(
  rig: Rig,
  timeoutMs = 120_000,
): Promise<{ end: Promise<void>; state: { readonly come: boolean } }> {
  const end = rig.gateway.drain(timeoutMs);
  await rig.clock.advance(0);
  return { end, state: watched(end) };
}

describe('a gateway that drains', () => {
  it('lets running streams and waiting requests finish, then closes', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    const first = held(stream(['data: 1\n\n']));
    rig.worker.act(first.act, whole('waited'));
    const running = ask(rig, { body: chat({ stream: true }) });
    await until('the request there', () => rig.worker.seen.length === 1);
    const waiting = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    const { end, state } = await startDraining(rig);
    await rig.clock.advance(10_000);
    expect(state.come).toBe(false);
    first.go();
    expect(await running.answer).toMatchObject({ status: 200, end: 'complete' });
    expect(await waiting.answer).toMatchObject({ status: 200, text: 'waited' });
    await drained(rig.clock, end);
    await expect(ask(rig).answer).rejects.toThrow('ECONNREFUSED');
  });

  it('refuses what is new with 503, Retry-After and Connection: close, in each dialect', async () => {
    await using rig = await startRig();
    const running = held(whole('{}'));
    rig.worker.act(running.act);
    const { answer } = ask(rig);
    await until('the request there', () => rig.worker.seen.length === 1);
    const { end } = await startDraining(rig);
    for (const path of ['/v1/chat/completions', '/api/chat', '/api/generate']) {
      const { status, headers, text } = await ask(rig, { path, headers: { connection: 'keep-alive' } }).answer;
      expect([status, headers.connection, headers['retry-after']]).toEqual([503, 'close', '1']);
      expect(text).toContain('shutting down');
    }
    expect(rig.worker.seen).toHaveLength(1);
    running.go();
    await answer;
    await drained(rig.clock, end);
  });

  it('says that it is not ready, and that it lives', async () => {
    await using rig = await startRig();
    const running = held(whole('{}'));
    rig.worker.act(running.act);
    const { answer } = ask(rig);
    await until('the request there', () => rig.worker.seen.length === 1);
    const { end } = await startDraining(rig);
    const get = async (path: string) => (await ask(rig, { method: 'GET', path }).answer).status;
    expect([await get('/readyz'), await get('/health'), await get('/livez')]).toEqual([503, 503, 200]);
    running.go();
    await answer;
    await drained(rig.clock, end);
  });

  it('takes requests during its notice, unready, each with Connection: close; refuses them afterwards', async () => {
    await using rig = await startRig();
    rig.worker.act(whole('taken'));
    const end = rig.gateway.drain(120_000, 3_000);
    await rig.clock.advance(2_000);
    const status = async (path: string) => (await ask(rig, { method: 'GET', path }).answer).status;
    expect([await status('/readyz'), await status('/livez')]).toEqual([503, 200]);
    const { status: taken, headers, text } = await ask(rig, { headers: { connection: 'keep-alive' } }).answer;
    expect([taken, headers.connection, text]).toEqual([200, 'close', 'taken']);
    const running = held(whole('last'));
    rig.worker.act(running.act);
    const { answer } = ask(rig);
    await until('the request there', () => rig.worker.seen.length === 2);
    await rig.clock.advance(1_000);
    expect(await ask(rig).answer).toMatchObject({ status: 503 });
    running.go();
    expect(await answer).toMatchObject({ status: 200, text: 'last' });
    await drained(rig.clock, end);
  });

  it('closes connections that are idle, and those that become so', async () => {
    await using rig = await startRig();
    const agent = new Agent({ keepAlive: true });
    await ask(rig, { agent }).answer;
    const idle = connect(rig.port, '127.0.0.1');
    const closed = new Promise((resolve) => idle.once('close', resolve));
    idle.resume();
    const running = held(whole('{}'));
    rig.worker.act(running.act);
    const { answer } = ask(rig, { agent });
    await until('the request there', () => rig.worker.seen.length === 2);
    const { end } = await startDraining(rig);
    await rig.clock.advance(200);
    running.go();
    await answer;
    await drained(rig.clock, end);
    await closed;
    agent.destroy();
  });

  it('cuts what still runs when its time is up: an error frame in a stream, a 503 before it', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'), hang());
    const streaming = raw(rig, wire(chat({ stream: true })));
    await until('the first request', () => rig.worker.seen.length === 1);
    const silent = ask(rig);
    await until('the second request', () => rig.worker.seen.length === 2);
    const { end } = await startDraining(rig, 5_000);
    await rig.clock.advance(4_000);
    expect(rig.worker.seen.map(({ running }) => running)).toEqual([true, true]);
    await drained(rig.clock, end);
    const { text } = await streaming;
    expect(text).toMatch(/data: 1\n\n[^]*"message":"this gateway was shut down"/);
    expect(text).not.toMatch(/0\r\n\r\n$/);
    expect(await silent.answer).toMatchObject({ status: 503 });
    await until('the worker stopped', () => rig.worker.seen.every(({ running }) => !running));
  });

  it('is not held up by a client that never reads', async () => {
    await using rig = await startRig();
    rig.worker.act(stall(...Array.from({ length: 200 }, () => 'x'.repeat(65_536))));
    const socket = connect(rig.port, '127.0.0.1').on('error', () => {});
    socket.pause();
    socket.write(wire(chat({ stream: true })));
    await until('the request there', () => rig.worker.seen.length === 1);
    const { end } = await startDraining(rig, 1_000);
    await drained(rig.clock, end);
    socket.destroy();
  });

  it('is not held up by a client that never sends', async () => {
    await using rig = await startRig();
    const socket = connect(rig.port, '127.0.0.1').on('error', () => {});
    socket.resume();
    socket.write(wire('', { 'content-length': '100' }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { end } = await startDraining(rig, 1_000);
    await drained(rig.clock, end);
    socket.destroy();
  });

  it('twice drains once', async () => {
    await using rig = await startRig();
    const ends = [rig.gateway.drain(0), rig.gateway.drain(0)];
    await drained(rig.clock, Promise.all(ends));
  });
});

describe('a start', () => {
  it('on a port that is taken fails, and leaves no session in the ledger', async () => {
    await using rig = await startRig();
    const { ledger, clock } = rig;
    const options = { ledger, clock, random: { id: () => 'second', integer: () => 0 } };
    const start = startRig({ workers: [], settings: { port: rig.port }, options });
    await expect(start).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await clock.advance(5_000);
    const { gateways } = await ledger.session({ gateway: 'probe', tickets: [], rosterVersion: 0 });
    expect(gateways).toBe(2);
  });
});
