// The way of bytes: what a worker says reaches the client as it is, and a cut never looks like an end.
import { array, assert, asyncProperty, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Refusal } from '@berth/shared/outcome.ts';
import {
  aSettlement,
  chunkOf,
  die,
  fail,
  head,
  inTurn,
  notStarted,
  refuse,
  stall,
  stream,
  streamWithoutTrailer,
  whole,
} from '../doubles/fake-worker.ts';
import type { Act } from '../doubles/fake-worker.ts';
import { ask, chat, raw, startRig, until, watched, wire } from './rig.ts';

const closing = { connection: 'close' };

describe('an answer', () => {
  it('reaches the client as the worker wrote it, with the request id and the worker in the head', async () => {
    await using rig = await startRig();
    const { status, headers, text, end } = await ask(rig).answer;
    expect([status, text, end]).toEqual([200, '{"answer":"hello"}', 'complete']);
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'berth-worker': 'w1' });
    expect(headers['x-request-id']).toBe(headers['request-id']);
    expect(headers['x-request-id']).toMatch(/^id\d+$/);
  });

  it.each([
    ['/v1/chat/completions', '/v1/chat/completions'],
    ['/chat/completions', '/v1/chat/completions'],
    ['/api/chat', '/api/chat'],
    ['/api/generate', '/api/generate'],
  ])('to %s comes from %s of the worker, signed, with the body byte for byte', async (path, there) => {
    await using rig = await startRig();
    const body = `{ "model":"tiny",\n "prompt":"ü ", "messages" : [{"role":"user","content":"\\u00fc"}] }`;
    await ask(rig, { path, body, headers: { authorization: 'Bearer secret', cookie: 'a=b', 'x-forwarded-for': '1' } })
      .answer;
    const [seen] = rig.worker.seen;
    expect(seen).toMatchObject({ method: 'POST', path: there, body });
    expect(seen?.checked).toMatchObject({ kind: 'ok', call: { epoch: 'w1-life1', model: 'tiny:latest' } });
    expect(
      Object.keys(seen?.headers ?? {}).filter(
        (name) => !/^berth-|^content-|^host$|^connection$|^x-request-id$/.test(name),
      ),
    ).toEqual([]);
    expect(rig.held()).toEqual([]);
  });

  it('never carries the settlement or a header between the processes to the client', async () => {
    await using rig = await startRig();
    rig.worker.act(stream(['data: 1\n\n']));
    const { text } = await raw(rig, wire(chat({ stream: true }), closing));
    expect(text).toMatch(/0\r\n\r\n$/);
    expect(text.match(/berth-[a-z-]+/g)).toEqual(['berth-worker', 'berth-gateway', 'berth-reason', 'berth-wait-ms']);
  });

  it('has the same bytes however the worker cuts it into chunks', async () => {
    await using rig = await startRig();
    await assert(
      asyncProperty(array(uint8Array({ minLength: 1, maxLength: 3_000 }), { maxLength: 12 }), async (chunks) => {
        const buffers = chunks.map((chunk) => Buffer.from(Buffer.from(chunk).toString('latin1'), 'utf8'));
        rig.worker.act(stream(buffers));
        const { text, end } = await ask(rig, { body: chat({ stream: true }) }).answer;
        expect([text, end]).toEqual([Buffer.concat(buffers).toString('utf8'), 'complete']);
      }),
      { numRuns: 25 },
    );
  });

  it('streams: what the worker has written is with the client before the worker goes on', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'));
    using asking = ask(rig, { body: chat({ stream: true }) });
    await until('the first piece', () => asking.sofar() === 'data: 1\n\n');
  });

  it('charges the team for the time of the slot, and teaches the estimate', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'));
    using asking = ask(rig, { body: chat({ stream: true }) });
    await until('the first piece', () => asking.sofar() !== '');
    await rig.clock.advance(2_000);
    asking.leave();
    await until('the end', () => rig.lines.some(({ message }) => message === 'request'));
    expect(rig.lines.find(({ message }) => message === 'request')).toMatchObject({
      outcome: 'client_gone',
      totalMs: 2_000,
    });
  });
});

describe('a stream that was cut', () => {
  const errorOf = (text: string) => text.slice(text.indexOf('data: {'));
  const cuts: [string, Act][] = [
    ['ended cleanly without a settlement', streamWithoutTrailer(['data: 1\n\n'])],
    ['ended with a settlement that cannot be read', streamWithoutTrailer(['data: 1\n\n'], '{"finish":1}')],
    ['was closed between two chunks', die('fin', head + chunkOf('data: 1\n\n'))],
    ['was reset between two chunks', die('rst', head + chunkOf('data: 1\n\n'))],
    ['was closed within a chunk', die('fin', head + chunkOf('data: 1\n\n') + chunkOf('data: 2\n\n', 5))],
    ['was reset within a chunk', die('rst', head + chunkOf('data: 1\n\n') + chunkOf('data: 2\n\n', 5))],
    ['went on with garbage', die('fin', `${head}${chunkOf('data: 1\n\n')}not a length\r\n`)],
  ];

  it.each(cuts)('because the worker %s ends with an error frame and no clean end', async (_how, act) => {
    await using rig = await startRig();
    rig.worker.act(act);
    const { text } = await raw(rig, wire(chat({ stream: true })));
    expect(text).toContain('data: 1\n\n');
    expect(errorOf(text)).toContain('"code":"worker_failed"');
    expect(text).not.toMatch(/0\r\n\r\n$/);
    expect(text).not.toContain('[DONE]');
    expect(rig.worker.seen).toHaveLength(1);
    expect(rig.held()).toEqual([]);
  });

  it('has an error line in the dialect of Ollama', async () => {
    await using rig = await startRig();
    rig.worker.act(die('fin', head + chunkOf('{"done":false}\n')));
    const { text, end } = await ask(rig, { path: '/api/chat' }).answer;
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect([lines[0], Object.keys(lines[1] ?? {}), end]).toEqual([{ done: false }, ['error'], 'cut']);
  });

  it('is cut for a client that does not stream, too', async () => {
    await using rig = await startRig();
    rig.worker.act(die('fin', head + chunkOf('{"half":')));
    expect(await ask(rig).answer).toMatchObject({ status: 200, end: 'cut' });
  });

  it('is not asked for again', async () => {
    await using rig = await startRig({ workers: [{}, {}] });
    for (const worker of rig.workers) worker.act(die('fin', head));
    await ask(rig, { body: chat({ stream: true }) }).answer;
    expect(rig.workers.flatMap(({ seen }) => seen)).toHaveLength(1);
    expect(rig.lines.find(({ message }) => message === 'request')).toMatchObject({ outcome: 'worker_failed' });
  });

  it('ends when the life of its worker does', async () => {
    await using rig = await startRig();
    rig.worker.act(stall('data: 1\n\n'));
    using asking = ask(rig, { body: chat({ stream: true }) });
    await until('the first piece', () => asking.sofar() !== '');
    await rig.worker.restart('another life');
    await rig.clock.advance(1_000);
    const { text, end } = await asking.answer;
    expect([text.includes('worker_failed'), end]).toEqual([true, 'cut']);
  });
});

describe('a worker that refuses', () => {
  it('is quoted in the dialect of the client, under the gateway’s own request id', async () => {
    await using rig = await startRig();
    rig.worker.act(refuse(400, new Refusal('context_exceeded', 'too long by 7 tokens', { param: 'messages' })));
    const { status, headers, text } = await ask(rig).answer;
    expect(status).toBe(400);
    expect(JSON.parse(text)).toEqual({
      error: {
        message: 'too long by 7 tokens',
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      },
    });
    expect(headers['x-request-id']).toMatch(/^id\d+$/);
    const ofOllama = await ask(rig, { path: '/api/chat' }).answer;
    expect([ofOllama.status, ofOllama.text]).toEqual([400, '{"error":"too long by 7 tokens"}']);
  });

  it('is not asked a second time, nor is another', async () => {
    await using rig = await startRig({ workers: [{}, {}] });
    for (const worker of rig.workers) worker.act(refuse(503, new Refusal('load_failed', 'this file is broken')));
    expect((await ask(rig).answer).status).toBe(503);
    expect(rig.workers.flatMap(({ seen }) => seen)).toHaveLength(1);
  });
});

describe('a worker that did not start it', () => {
  it.each(['busy', 'stale', 'draining'] as const)(
    'because it is %s gets nothing more until it beats again',
    async (why) => {
      await using rig = await startRig();
      rig.worker.act(notStarted(why), whole('served'));
      const asking = ask(rig);
      await until('the first refusal', () => rig.worker.seen.length === 1 && rig.waiting().length === 1);
      await rig.clock.advance(100);
      expect(rig.worker.seen).toHaveLength(1);
      await rig.worker.beat();
      expect(await asking.answer).toMatchObject({ status: 200, text: 'served' });
    },
  );

  it('gives the job back to the queue with its age: it is served before a younger one', async () => {
    await using rig = await startRig({ workers: [{ slots: 1 }] });
    rig.worker.act(notStarted('busy'), whole('{}'));
    const older = ask(rig, { headers: { 'x-name': 'older' } });
    await until('the refusal', () => rig.worker.seen.length === 1 && rig.waiting().length === 1);
    await rig.clock.advance(10);
    const younger = ask(rig, { body: chat({ user: 'younger' }) });
    await until('two in the queue', () => rig.waiting().length === 2);
    expect(rig.takes.map(({ age }) => age)).toEqual([null, 0, null]);
    await rig.worker.beat();
    expect((await Promise.all([older.answer, younger.answer])).map(({ status }) => status)).toEqual([200, 200]);
    expect(rig.worker.seen.map(({ body }) => body.includes('younger'))).toEqual([false, false, true]);
  });

  it('for ever is given up, and the client is told', async () => {
    await using rig = await startRig();
    rig.worker.act(notStarted('busy'));
    const asking = ask(rig);
    const end = watched(asking.answer);
    for (let turns = 0; turns < 100 && !end.come; turns += 1) {
      const before = rig.worker.seen.length;
      await rig.worker.beat();
      await until('another try', () => end.come || (rig.worker.seen.length > before && rig.waiting().length === 1));
    }
    expect(await asking.answer).toMatchObject({ status: 502 });
    expect(rig.worker.seen.length).toBeLessThanOrEqual(50);
  });
});

describe('a worker that fails before the first byte', () => {
  const failures: [string, Act][] = [
    ['closes the connection', die('fin')],
    ['resets the connection', die('rst')],
    ['dies within its head', die('fin', head.slice(0, 30))],
    ['answers 500', fail(500)],
    ['answers a redirect', fail(302)],
    ['says that it failed', refuse(502, new Refusal('worker_failed', 'it stopped'))],
  ];

  it.each(failures)('and %s: the job runs once more, on another worker', async (_how, act) => {
    await using rig = await startRig({ workers: [{}, {}] });
    const acts = inTurn(act, whole('served'));
    for (const worker of rig.workers) worker.act(acts);
    expect(await ask(rig).answer).toMatchObject({ status: 200, text: 'served' });
    expect(rig.workers.map(({ seen }) => seen.length)).toEqual([1, 1]);
  });

  it.each(failures)('and %s twice: the client is told, and it runs no third time', async (_how, act) => {
    await using rig = await startRig({ workers: [{}, {}, {}] });
    for (const worker of rig.workers) worker.act(act);
    const { status, text } = await ask(rig).answer;
    expect([status, text.includes('worker_failed')]).toEqual([502, true]);
    expect(rig.workers.flatMap(({ seen }) => seen)).toHaveLength(2);
    expect(rig.held()).toEqual([]);
  });

  it('and is alone: the job runs once more there, for there is no other chance', async () => {
    await using rig = await startRig();
    rig.worker.act(die('rst'), whole('served'));
    const asking = ask(rig);
    await until('the job in the queue', () => rig.waiting().length === 1);
    await rig.worker.beat();
    expect(await asking.answer).toMatchObject({ status: 200, text: 'served' });
    expect(rig.worker.seen).toHaveLength(2);
  });

  it('is named in the log, with what happened', async () => {
    await using rig = await startRig({ workers: [{}, {}] });
    const acts = inTurn(fail(500), whole('served'));
    for (const worker of rig.workers) worker.act(acts);
    await ask(rig).answer;
    const line = rig.lines.find(({ level }) => level === 'warn');
    expect(line).toMatchObject({ worker: expect.stringMatching(/^w[12]$/), why: 'status 500' });
  });
});

describe('a worker that takes no connection', () => {
  it('is passed over: another one serves the job', async () => {
    await using rig = await startRig({ workers: [{}, {}, {}] });
    const [first, second] = rig.workers;
    await first?.vanish();
    await second?.vanish();
    const { status, headers } = await ask(rig).answer;
    expect([status, headers['berth-worker']]).toEqual([200, 'w3']);
  });

  it('gets nothing more until it beats again, so that it does not eat the queue', async () => {
    await using rig = await startRig({ workers: [{}, { slots: 8 }] });
    await rig.worker.vanish();
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(rig).answer));
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect(rig.leaves.filter(({ refused }) => refused).length).toBeLessThanOrEqual(2);
  });

  it('and is alone: the job waits, and is served when the worker is back in another life', async () => {
    await using rig = await startRig();
    await rig.worker.vanish();
    const asking = ask(rig);
    await until('the job in the queue', () => rig.waiting().length === 1);
    await rig.worker.comeBack(0);
    await rig.worker.restart('w1-life2');
    await rig.clock.advance(1_000);
    expect(await asking.answer).toMatchObject({ status: 200 });
    expect(rig.worker.seen.at(-1)?.checked).toMatchObject({ call: { epoch: 'w1-life2' } });
  });

  it('although it beats on, and is alone: the job is refused after 30 s', async () => {
    await using rig = await startRig();
    await rig.worker.vanish();
    const asking = ask(rig);
    await until('the job in the queue', () => rig.waiting().length === 1);
    await rig.clock.advance(32_000);
    expect(await asking.answer).toMatchObject({ status: 503, text: expect.stringContaining('"overloaded"') });
    expect(rig.waiting()).toEqual([]);
  });
});

describe('a worker that came a moment ago', () => {
  it('is found at its address although the gateway had not heard of it', async () => {
    await using rig = await startRig();
    await rig.worker.beat({ capacity: 0 });
    const asking = ask(rig);
    await until('the job in the queue', () => rig.waiting().length === 1);
    await rig.addWorker({ id: 'late' });
    const { status, headers } = await asking.answer;
    expect([status, headers['berth-worker']]).toEqual([200, 'late']);
  });
});

it('settles with what the worker measured', async () => {
  await using rig = await startRig();
  await ask(rig).answer;
  const { finish, promptTokens, cachedTokens, outputTokens } = aSettlement;
  expect(rig.lines.find(({ message }) => message === 'request')).toMatchObject({
    outcome: 'ok',
    model: 'tiny:latest',
    dialect: 'openai',
    worker: 'w1',
    finish,
    promptTokens,
    cachedTokens,
    outputTokens,
  });
});
