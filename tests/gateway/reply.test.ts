// The client's side: it leaves, reads slowly, or waits in silence, and neither slot nor memory is lost over it.
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { chunkOf, die, flood, hang, head, held, inTurn, stall, stream, whole } from '../doubles/fake-worker.ts';
import { ask, chat, raw, startRig, until, wire } from './rig.ts';
import type { Rig } from './rig.ts';

const streamed = { body: chat({ stream: true }) };
const outcomes = (rig: Rig) => rig.lines.filter(({ message }) => message === 'request').map(({ outcome }) => outcome);

/** Fills the worker's only slot until `go`. */
async function occupy(rig: Rig): Promise<{ go: () => void; answer: Promise<{ status: number }> }> {
  const before = rig.worker.seen.length;
  const { act, go } = held(whole('{}'));
  rig.worker.act(act, whole('{}'));
  const { answer } = ask(rig);
  await until('the slot taken', () => rig.worker.seen.length > before);
  return { go, answer };
}

describe('a client that leaves', () => {
  it('while it waits takes its ticket along', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    const first = await occupy(rig);
    const waiting = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    waiting.leave();
    await until('no ticket', () => rig.waiting().length === 0);
    await until('the outcome', () => outcomes(rig).includes('client_gone'));
    first.go();
    expect(await first.answer).toMatchObject({ status: 200 });
    expect(rig.worker.seen).toHaveLength(1);
  });

  it('while the ledger is being asked leaves no ticket behind', async () => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    await using rig = await startRig({
      workers: [{ slots: 1 }],
      between: (ledger) => ({
        ...ledger,
        async take(input) {
          const taken = await ledger.take(input);
          if (taken.kind !== 'wait') return taken;
          asked.resolve();
          await answer.promise;
          return taken;
        },
      }),
    });
    const first = await occupy(rig);
    const waiting = ask(rig);
    await asked.promise;
    waiting.leave();
    await rig.clock.advance(10);
    answer.resolve();
    await until('no ticket', () => rig.waiting().length === 0);
    first.go();
    await first.answer;
  });

  it.each([
    ['before the first byte', hang()],
    ['in mid-stream', stall('data: 1\n\n')],
  ])('%s makes the worker stop, and its slot is left to the worker', async (when, act) => {
    await using rig = await startRig();
    rig.worker.act(act);
    const asking = ask(rig, streamed);
    await until('the request there', () => rig.worker.seen.length === 1);
    if (when === 'in mid-stream') await until('the first piece', () => asking.sofar() !== '');
    asking.leave();
    await until('the worker stopped', () => rig.worker.seen[0]?.aborted === true);
    await until('the outcome', () => outcomes(rig).length === 1);
    expect(outcomes(rig)).toEqual(['client_gone']);
    expect([rig.leaves, rig.entrusted]).toEqual([[], rig.held()]);
    await rig.clock.advance(4_000); // the worker's beats say that it runs nothing
    expect(rig.held()).toEqual([]);
  });

  it('before the first byte is not asked for on another worker', async () => {
    await using rig = await startRig({ workers: [{}, {}] });
    for (const worker of rig.workers) worker.act(hang());
    const asking = ask(rig);
    await until('the request there', () => rig.workers.some(({ seen }) => seen.length === 1));
    asking.leave();
    await until('the outcome', () => outcomes(rig).length === 1);
    expect(rig.takes).toHaveLength(1);
  });

  it('by closing its sending side only has left, too: that is how Node sees it', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'));
    const socket = connect(rig.port, '127.0.0.1').resume();
    socket.end(wire(chat({ stream: true })));
    await until('the worker stopped', () => rig.worker.seen[0]?.aborted === true || outcomes(rig).length === 1);
    await until('the outcome', () => outcomes(rig).length === 1);
    expect(outcomes(rig)).toEqual(['client_gone']);
  });

  it('in the middle of its request body reaches neither ledger nor worker', async () => {
    await using rig = await startRig();
    const socket = connect(rig.port, '127.0.0.1');
    socket.write(wire(chat(), { 'content-length': '10000' }));
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    await until('the outcome', () => outcomes(rig).length === 1);
    expect([outcomes(rig), rig.takes, rig.worker.seen]).toEqual([['client_gone'], [], []]);
  });

  it('makes room: after a hundred departures both slots serve', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'));
    for (let round = 0; round < 25; round += 1) {
      const four = Array.from({ length: 4 }, () => ask(rig, streamed));
      await until('two served', () => four.filter((asking) => asking.sofar() !== '').length === 2);
      for (const asking of four) asking.leave();
      await until('all settled', () => outcomes(rig).length === 4 * (round + 1));
      await until('the worker stopped', () => rig.worker.seen.every(({ aborted }) => aborted));
      await rig.clock.advance(4_000);
      expect([rig.held(), rig.waiting()]).toEqual([[], []]);
    }
    rig.worker.act(whole('{}'));
    expect((await Promise.all([ask(rig).answer, ask(rig).answer])).map(({ status }) => status)).toEqual([200, 200]);
  });
});

describe('a client that reads slowly', () => {
  const total = 64 * 2 ** 20;
  const piece = 64 * 2 ** 10;

  /** A client that has asked for a stream and reads nothing. */
  async function lazy(rig: Rig): Promise<Socket> {
    const socket = connect(rig.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    socket.write(wire(chat({ stream: true }), { connection: 'close' }));
    return socket;
  }

  async function still(written: () => number): Promise<number> {
    let last = -1;
    while (written() !== last) {
      last = written();
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return last;
  }

  it('pauses the worker, and gets every byte when it reads on', async () => {
    await using rig = await startRig();
    const { act, written } = flood(total / piece, piece);
    rig.worker.act(act);
    const socket = await lazy(rig);
    await until('the flood', () => written() > 0);
    const paused = await still(written);
    // What lies in the buffers of four sockets, by the kernel's own measure; far from the whole.
    expect(paused * piece).toBeLessThan(total / 2);
    let received = 0;
    socket.on('data', (data) => (received += data.length)).resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(received).toBeGreaterThan(total);
    expect(outcomes(rig)).toEqual(['ok']);
  });

  it('and takes nothing for 20 s is cut, and its worker stops', async () => {
    await using rig = await startRig();
    const { act, written } = flood(total / piece, piece);
    rig.worker.act(act);
    const socket = await lazy(rig);
    await until('the flood', () => written() > 0);
    await still(written);
    await rig.clock.advance(19_000);
    expect(rig.worker.seen[0]?.running).toBe(true);
    await rig.clock.advance(1_500);
    await until('the worker stopped', () => rig.worker.seen[0]?.aborted === true);
    expect(outcomes(rig)).toEqual(['client_gone']);
    socket.destroy();
  });

  it('but steadily is never cut, however long it takes', async () => {
    await using rig = await startRig();
    const { act, written } = flood(total / 4 / piece, piece);
    rig.worker.act(act);
    const socket = await lazy(rig);
    let received = 0;
    socket.on('data', (data) => (received += data.length));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await until('the flood', () => written() > 0);
    while (!socket.destroyed && !socket.readableEnded) {
      await still(written);
      await rig.clock.advance(15_000);
      const before = received;
      socket.resume();
      await until('some bytes', () => received > before + 4 * 2 ** 20 || socket.destroyed || socket.readableEnded);
      socket.pause();
      if (outcomes(rig).length > 0) socket.resume();
    }
    socket.resume();
    await closed;
    expect(received).toBeGreaterThan(total / 4);
    expect(outcomes(rig)).toEqual(['ok']);
  });
});

describe('a client that waits', () => {
  it.each([
    [
      '/v1/chat/completions',
      chat({ stream: true }),
      /^(: waiting, place \d+\n\n)+$/,
      'text/event-stream; charset=utf-8',
    ],
    [
      '/api/chat',
      chat(),
      /^(\{"model":"tiny","created_at":"[^"]+","message":\{"role":"assistant","content":""\},"done":false,"queue":\{"place":1,"seconds":null\}\}\n)+$/,
      'application/x-ndjson',
    ],
    [
      '/api/generate',
      JSON.stringify({ model: 'tiny', prompt: 'hello' }),
      /^(\{"model":"tiny","created_at":"[^"]+","response":"","done":false,"queue":\{"place":1,"seconds":null\}\}\n)+$/,
      'application/x-ndjson',
    ],
  ])(
    'for a stream of %s hears of it after 5 s, then each 10 s, and then its answer',
    async (path, body, frames, type) => {
      await using rig = await startRig({ workers: [{ slots: 1 }] });
      const first = await occupy(rig);
      rig.worker.act(stream(['the answer']));
      const asking = ask(rig, { path, body });
      await until('the ticket', () => rig.waiting().length === 1);
      await rig.clock.advance(4_900);
      expect(asking.sofar()).toBe('');
      await rig.clock.advance(200);
      await until('the first frame', () => asking.sofar() !== '');
      expect(asking.sofar()).toMatch(frames);
      const length = asking.sofar().length;
      await rig.clock.advance(10_000);
      await until('the second frame', () => asking.sofar().length >= 2 * length);
      expect(asking.sofar()).toMatch(frames);
      first.go();
      const { status, headers, text, end } = await asking.answer;
      expect([status, headers['content-type'], text.endsWith('the answer'), end]).toEqual([
        200,
        type,
        true,
        'complete',
      ]);
    },
  );

  it('hears how long it will take as well, once slots have come free', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    const first = await occupy(rig);
    const second = held(whole('{}'));
    rig.worker.act(second.act, stream(['the answer']));
    const next = ask(rig);
    const asking = ask(rig, { body: chat({ stream: true }) });
    await until('the tickets', () => rig.waiting().length === 2);
    await rig.clock.advance(1_000);
    first.go();
    await first.answer;
    await until('the second runs', () => rig.worker.seen.length === 2);
    await rig.clock.advance(5_000);
    await until('the frame', () => asking.sofar() !== '');
    expect(asking.sofar()).toMatch(/^: waiting, place 1, about \d+ s\n\n$/);
    second.go();
    for (const { answer } of [next, asking]) expect((await answer).status).toBe(200);
  });

  it('hears no second head, but an error frame, when it is refused after all', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }], settings: { queueTimeoutMs: 20_000 } });
    const first = await occupy(rig);
    const asking = raw(rig, wire(chat({ stream: true })));
    await until('the ticket', () => rig.waiting().length === 1);
    await rig.clock.advance(21_000);
    await rig.clock.advance(1_000);
    const { text } = await asking;
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(text).toMatch(/: waiting[^]*data: \{"error":\{[^]*"code":"queue_timeout"/);
    expect(text).not.toMatch(/0\r\n\r\n$/);
    first.go();
    await first.answer;
  });

  it('for a whole answer hears nothing before it, and gets a true HTTP error', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }], settings: { queueTimeoutMs: 20_000 } });
    const first = await occupy(rig);
    const asking = ask(rig);
    await until('the ticket', () => rig.waiting().length === 1);
    await rig.clock.advance(21_000);
    const { status, headers, text } = await asking.answer;
    expect([status, (JSON.parse(text) as { error: { code: string } }).error.code]).toEqual([503, 'queue_timeout']);
    expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    first.go();
    await first.answer;
  });

  it('gets no frames into its answer, however slow the answer is', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'));
    using asking = ask(rig, streamed);
    await until('the first piece', () => asking.sofar() !== '');
    await rig.clock.advance(60_000);
    expect(asking.sofar()).toBe('data: 1\n\n');
  });

  it('is told of a cut after wait frames as of any other', async () => {
    await using rig = await startRig();
    const late = held(die('rst', head + chunkOf('data: 1\n\n')));
    rig.worker.act(late.act);
    const asking = raw(rig, wire(chat({ stream: true })));
    await until('the request there', () => rig.worker.seen.length === 1);
    await rig.clock.advance(6_000);
    late.go();
    const { text } = await asking;
    expect(text).toMatch(/: waiting[^]*data: 1[^]*"code":"worker_failed"/);
    expect(text).not.toMatch(/0\r\n\r\n$/);
  });

  it('is asked for once more after wait frames, when its worker died before the first byte', async () => {
    await using rig = await startRig({ workers: [{}, {}] });
    const late = held(die('rst'));
    const acts = inTurn(late.act, stream(['data: 1\n\n']));
    for (const worker of rig.workers) worker.act(acts);
    const asking = ask(rig, streamed);
    await until('the request there', () => rig.workers.some(({ seen }) => seen.length === 1));
    await rig.clock.advance(6_000);
    late.go();
    expect(await asking.answer).toMatchObject({
      status: 200,
      end: 'complete',
      text: expect.stringMatching(/data: 1\n\n$/),
    });
  });
});
