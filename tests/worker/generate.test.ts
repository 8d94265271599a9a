// One request on a worker, over a real socket: the guard, the reply, its end and all that may end it early.
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { createLog } from '@berth/shared/log.ts';
import { decodeRefusal } from '@berth/shared/outcome.ts';
import type { Engine, EngineRequest, OpenEngine } from '../../worker/engine/engine.ts';
import { virtualClock } from '../doubles/clock.ts';
import { aWorker, chat, rawCall, until } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

let open: TestWorker | undefined;
const started = async (...options: Parameters<typeof aWorker>): Promise<TestWorker> =>
  (open = await aWorker(...options));
afterEach(async () => {
  await open?.[Symbol.asyncDispose]();
  open = undefined;
});

const oneSlot = { contextTokens: 4096, slots: 1, threads: 1, gpu: false } as const;
const slow = (text: string): Record<string, unknown> =>
  chat(`[[tokenDelayMs=20 repeat=1000]] ${text} `, { stream: true });

describe('a generation', () => {
  it('answers a whole reply in the dialect, with the settlement behind it', async () => {
    const { call } = await started();
    const answer = await call();
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toMatchObject({ choices: [{ message: { content: 'hello world' } }] });
    expect(answer.settlement).toMatchObject({ finish: 'stop', promptTokens: 2, outputTokens: 2 });
    expect(answer.complete).toBe(true);
  });

  it('streams in the dialect, with the settlement behind it', async () => {
    const { call } = await started();
    const answer = await call({ body: chat('one two three', { stream: true }) });
    const deltas = [...answer.body.matchAll(/"content":"([^"]*)"/g)].map(([, text]) => text).join('');
    expect(deltas).toBe('one two three');
    expect(answer.body.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(answer.settlement).toMatchObject({ finish: 'stop', outputTokens: 3 });
  });

  it.each([
    ['/api/chat', { model: 'm', messages: [{ role: 'user', content: 'hello you' }], stream: false }, 'message'],
    ['/api/generate', { model: 'm', prompt: 'hello you', stream: false, raw: true }, 'response'],
  ])('answers %s', async (path, body, field) => {
    const { call } = await started();
    const answer = await call({ path, body });
    const reply: Record<string, unknown> = JSON.parse(answer.body);
    expect(JSON.stringify(reply[field])).toContain('hello you');
    expect(answer.settlement?.finish).toBe('stop');
  });

  it('tells the engine whose cache it may use, and draws a seed when none was given', async () => {
    const requests: EngineRequest[] = [];
    const opens = (open: OpenEngine): OpenEngine => {
      return async (options, signal) => {
        const engine = await open(options, signal);
        const generate: Engine['generate'] = (request, signal) => {
          requests.push(request);
          return engine.generate(request, signal);
        };
        return { ...engine, generate };
      };
    };
    const { call } = await started({ opens });
    await call();
    await call();
    await call({ body: chat('hi', { seed: 7 }) });
    expect(requests.map(({ cacheScope }) => cacheScope)).toEqual(['red', 'red', 'red']);
    const [first, second, third] = requests.map(({ sampling }) => sampling.seed);
    expect(first).not.toBe(second);
    expect(third).toBe(7);
  });

  it('completes a text, and continues tokens', async () => {
    await using worker = await aWorker();
    const path = '/v1/completions';
    const text = await worker.call({ path, body: { model: 'm', prompt: 'hello you', max_tokens: 1 } });
    expect(JSON.parse(text.body)).toMatchObject({ choices: [{ text: 'hello ', finish_reason: 'length' }] });
    const tokens = await worker.call({ path, body: { model: 'm', prompt: [104, 105] } });
    expect(JSON.parse(tokens.body)).toMatchObject({ choices: [{ text: 'hi', finish_reason: 'stop' }] });
  });

  it('of nothing gives the tokens of a text, and their text, and its slot back', async () => {
    await using worker = await aWorker({ engine: oneSlot });
    const asked = await worker.call({ path: '/tokenize', body: { content: 'hi' } });
    expect([asked.status, asked.body]).toEqual([200, '{"tokens":[104,105]}']);
    expect(asked.settlement).toMatchObject({ finish: 'stop', outputTokens: 0 });
    const pieces = await worker.call({ path: '/tokenize', body: { content: 'hi', with_pieces: true } });
    expect(JSON.parse(pieces.body)).toEqual({
      tokens: [
        { id: 104, piece: 'h' },
        { id: 105, piece: 'i' },
      ],
    });
    const back = await worker.call({ path: '/detokenize', body: { tokens: [104, 105] } });
    expect([back.status, back.body]).toEqual([200, '{"content":"hi"}']);
    const wrong = await worker.call({ path: '/detokenize', body: { tokens: [2_000_000] } });
    expect(wrong.status).toBe(400);
    expect((await worker.call()).status).toBe(200);
  });

  it('is refused in the dialect when the body is wrong, and gives its slot back', async () => {
    const { call, beats, worker } = await started();
    const answer = await call({ body: '{"model":' });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ error: { type: 'invalid_request_error' } });
    expect(decodeRefusal(String(answer.headers['berth-refusal']))?.outcome).toBe('bad_request');
    await worker.drain(0);
    expect(beats.at(-1)).toMatchObject({ last: true, running: [] });
  });

  it('says which model is not there', async () => {
    const { call } = await started();
    const answer = await call({ body: chat('hi', { model: 'nope' }), model: 'nope:latest' });
    expect([answer.status, answer.body.includes("'nope' not found")]).toEqual([404, true]);
  });

  it('is an HTTP error when the prompt is too long for the context', async () => {
    const { call } = await started({ engine: { contextTokens: 4, slots: 1, threads: 1, gpu: false } });
    const answer = await call({ body: chat('a b c d e f', { stream: true }) });
    expect(answer.status).toBe(400);
    expect(answer.body).toContain('context_length_exceeded');
  });
});

describe('the guard', () => {
  it('runs NUM_PARALLEL at once and answers the next one "not started, busy"', async () => {
    const { begin, call, echo } = await started();
    const running = Array.from({ length: 4 }, (_, index) => begin({ body: slow(`word${index}`) }));
    await Promise.all(running.map((each, index) => each.until(`word${index}`)));
    const refused = await call();
    expect([refused.status, refused.headers['berth-not-started']]).toEqual([409, 'busy']);
    expect(echo.runningMax).toBe(4);
    for (const each of running) each.abort();
  });

  it('answers a lease of another life "not started, stale"', async () => {
    const { call } = await started();
    const refused = await call({ epoch: 'before' });
    expect([refused.status, refused.headers['berth-not-started']]).toEqual([409, 'stale']);
  });

  it('never refuses who comes when the last byte has left: the slot was free before', async () => {
    const { call } = await started({ engine: oneSlot });
    for (let round = 0; round < 100; round += 1) {
      const stream = round % 2 === 0;
      expect((await call({ body: chat('hi', { stream }) })).status).toBe(200);
    }
  });

  it('beats soon after a refusal, and names what runs', async () => {
    const { begin, call, beats } = await started({ engine: oneSlot });
    const running = begin({ body: slow('word'), lease: 'held1' });
    await running.until('word');
    const before = beats.length;
    await call();
    await until(() => beats.length > before);
    expect(beats.at(-1)?.running).toEqual([{ id: 'held1', model: 'm:latest', team: 'red', key: 'k1', gateway: 'g1' }]);
    running.abort();
  });
});

describe('a gateway that leaves', () => {
  it('in the middle of a stream frees the slot, and the worker tells the ledger', async () => {
    const { begin, leaves, call } = await started({
      engine: oneSlot,
    });
    const running = begin({ body: slow('word'), lease: 'cut1' });
    await running.until('word');
    running.abort();
    await until(() => leaves.length > 0);
    expect(leaves).toEqual([{ id: 'cut1', actual: expect.any(Number), refused: false }]);
    expect((await call()).status).toBe(200);
  });

  it('before the first token frees the slot too', async () => {
    const { begin, leaves, call, beats } = await started({
      engine: oneSlot,
    });
    const running = begin({ body: chat('[[prefillDelayMs=60000]] hi', { stream: true }), lease: 'cut2' });
    await until(() => beats.some(({ running }) => running.some(({ id }) => id === 'cut2')));
    running.abort();
    await until(() => leaves.length > 0);
    expect((await call()).status).toBe(200);
  });

  it('when the reply is whole but unread frees the slot too: the worker tells the ledger', async () => {
    const { worker, leaves } = await started({ engine: oneSlot });
    const socket = rawCall(worker, systemClock, 'unread', JSON.stringify(chat('hello')));
    await once(socket, 'data'); // which says that it was written out; the worker cannot know whether anybody looked
    expect(leaves).toEqual([]);
    socket.destroy();
    await until(() => leaves.length > 0);
    expect(leaves).toEqual([{ id: 'unread', actual: expect.any(Number), refused: false }]);
  });

  it('late, when it has read the reply long ago, is nobody to tell of', async () => {
    const clock = virtualClock();
    const { worker, leaves } = await started({ engine: oneSlot, clock });
    const socket = rawCall(worker, clock, 'read', JSON.stringify(chat('hello')));
    let text = '';
    socket.on('data', (bytes) => (text += String(bytes)));
    await until(() => text.endsWith('\r\n\r\n'));
    await clock.advance(2_001);
    const closed = once(socket, 'close');
    socket.destroy();
    await closed;
    await worker.drain(0);
    expect(leaves).toEqual([]);
  });

  it('never gets a settlement for a cut stream, and a finished one is left to the gateway', async () => {
    const { call, leaves } = await started();
    await call();
    expect(leaves).toEqual([]);
  });
});

it.each([
  ['the client asks for no bound', {}, 2],
  ['the client asks for less', { max_tokens: 1 }, 1],
])('an answer has no more tokens than the key may have, when %s', async (_when, more, tokens) => {
  const { call } = await started();
  const { body, settlement } = await call({ body: chat('one two three four', more), outputMax: 2 });
  expect([settlement?.outputTokens, settlement?.finish]).toEqual([tokens, 'length']);
  expect(body).toContain('"finish_reason":"length"');
});

it('prompt and answer have no more tokens together than the key may have, also where several prompts are asked', async () => {
  const { call } = await started();
  const answer = await call({ body: chat('one two three four'), contextMax: 6 });
  expect([answer.status, answer.settlement?.outputTokens]).toEqual([200, 2]);
  const prompt = ['one', 'one two three four five six seven'];
  const several = { path: '/v1/completions', body: { model: 'm', prompt }, contextMax: 6 };
  for (const asked of [{ body: chat('one two three four five six seven'), contextMax: 6 }, several]) {
    const { status, body } = await call(asked);
    expect([status, body]).toEqual([400, expect.stringMatching(/tokens.*the context is 6/)]);
  }
});

describe('a dying engine', () => {
  it('before the first token is an HTTP error without "not started"', async () => {
    const { call } = await started();
    const answer = await call({ body: chat('[[dieAfterTokens=0]] hello', { stream: true }) });
    expect(answer.status).toBe(502);
    expect(decodeRefusal(String(answer.headers['berth-refusal']))?.outcome).toBe('engine_died');
    expect(answer.headers['berth-not-started']).toBeUndefined();
  });

  it('after it ends the stream without a settlement, and tells the gateway why', async () => {
    const { call } = await started();
    const answer = await call({ body: chat('[[dieAfterTokens=2]] one two three four', { stream: true }) });
    expect(answer.status).toBe(200);
    expect(answer.body).not.toContain('[DONE]');
    expect([answer.settlement, answer.refusal?.outcome]).toEqual([null, 'engine_died']);
  });

  it('is replaced on the next request', async () => {
    const { call, echo } = await started();
    await call({ body: chat('[[dieAfterTokens=0]] hello') });
    expect((await call()).status).toBe(200);
    expect(echo.openNow).toBe(1);
  });
});

describe('the log', () => {
  it('has a line for each request at debug, under the ids of the client, the ledger and the trace', async () => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
    const log = createLog({ source: 'worker', level: 'debug', clock: systemClock, write });
    const { call } = await started({ log });
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const headers = { 'x-request-id': 'r1', traceparent: `00-${trace}-00f067aa0ba902b7-01` };
    await call({ lease: 'l1', headers });
    await call({ headers: { 'x-request-id': 'not an id' } });
    const [first, second] = lines.filter(({ message }) => message === 'request');
    const ids = { request: 'r1', lease: 'l1', trace, parent: '00f067aa0ba902b7' };
    expect(first).toMatchObject({ level: 'debug', outcome: 'ok', model: 'm:latest', ...ids });
    expect(second?.['request']).toBeNull();
  });
});

describe('who may call', () => {
  it('is nobody without the signature, but for the liveness', async () => {
    const { worker, call } = await started();
    expect((await fetch(`${worker.url}/livez`)).status).toBe(200);
    expect((await fetch(`${worker.url}/api/tags`)).status).toBe(401);
    expect((await fetch(`${worker.url}/v1/chat/completions`, { method: 'POST', body: '{}' })).status).toBe(401);
    expect((await call({ headers: { 'berth-signature': '0'.repeat(64) } })).status).toBe(401);
    expect((await call({ path: '/api/else' })).status).toBe(404);
  });

  it('scrapes metrics from loopback', async () => {
    const { worker, call } = await started();
    await call();
    const text = await (await fetch(`${worker.url}/metrics`)).text();
    expect(text).toContain('berth_worker_requests_total{outcome="ok"} 1');
    expect(text).toContain('berth_worker_tokens_total{model="m:latest",kind="output"} 2');
    expect(text.split('\n').filter((line) => line && !/^(# |berth_)/.test(line))).toEqual([]);
  });
});
