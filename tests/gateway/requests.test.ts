// What a gateway takes for a request, and how it refuses the rest: before the ledger is asked or a worker hears of it.
import { gzipSync } from 'node:zlib';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Refusal } from '@berth/shared/outcome.ts';
import { aCard, refuse, stream, whole } from '../doubles/fake-worker.ts';
import { createAuthenticate } from '../../gateway/keys.ts';
import { ask, chat, raw, startRig, until, wire } from './rig.ts';
import type { Ask, Rig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  const models = [
    aCard(),
    aCard({ name: 'team/big:8b' }),
    aCard({ name: 'embed:latest', capabilities: ['embedding'] }),
  ];
  rig = await startRig({ workers: [{ slots: 4, models }], settings: { bodyBytesMax: 10_000 } });
});
afterAll(() => rig[Symbol.asyncDispose]());

/** Runs it, and shows that neither ledger nor worker heard of it. */
async function unheard<T>(act: () => Promise<T>): Promise<T> {
  const before = [rig.takes.length, rig.worker.seen.length];
  const result = await act();
  expect([rig.takes.length, rig.worker.seen.length]).toEqual(before);
  return result;
}

const deep = `{"model":"tiny","messages":${'['.repeat(5_000)}`;
const large = chat({ user: 'x'.repeat(11_000) });

describe('a wrong request is refused in its dialect and reaches nobody', () => {
  const wrong: [string, Ask, number, string][] = [
    ['malformed JSON', { body: '{"model":' }, 400, 'not valid JSON'],
    ['an empty body', { body: '' }, 400, 'the body is empty'],
    ['bytes that are no UTF-8', { body: Buffer.from([0x22, 0xff, 0x22]) }, 400, 'UTF-8'],
    ['JSON that is no object', { body: '[1]' }, 400, 'must be an object'],
    ['JSON that is nested too deep', { body: deep }, 400, 'nested deeper'],
    ['a field of a wrong type', { body: chat({ stream: 'yes' }) }, 400, 'stream'],
    ['a missing model', { body: '{}' }, 400, 'model is required'],
    ['a model that nobody has', { body: chat({ model: 'nobody' }) }, 404, "model 'nobody' not found"],
    ['a model that cannot chat', { body: chat({ model: 'embed', prompt: 'hello' }) }, 400, 'does not support'],
    ['a body over the limit', { body: large }, 413, '10000 bytes'],
    [
      'a body over the limit in chunks',
      { body: large, headers: { 'transfer-encoding': 'chunked' } },
      413,
      '10000 bytes',
    ],
    ['a compressed body', { body: gzipSync(chat()), headers: { 'content-encoding': 'gzip' } }, 400, 'compressed'],
  ];

  it.each(wrong)('%s', async (_what, request, status, words) => {
    for (const path of ['/v1/chat/completions', '/api/chat', '/api/generate']) {
      const answer = await unheard(() => ask(rig, { path, ...request }).answer);
      const { error } = JSON.parse(answer.text) as { error: string | { message: string; type: string } };
      expect(answer.status).toBe(status);
      expect(answer.headers['content-type']).toMatch(/^application\/json/);
      expect(typeof error === 'string').toBe(path.startsWith('/api/'));
      expect(typeof error === 'string' ? error : error.message).toContain(words);
      expect(answer.headers['x-request-id']).toBeDefined();
      expect(answer.headers).not.toHaveProperty('retry-after');
    }
  });

  it('an error is the same for a client that wants a stream: no head comes before it', async () => {
    const { status, headers } = await unheard(() => ask(rig, { body: chat({ stream: true, model: 'nobody' }) }).answer);
    expect([status, headers['content-type']]).toEqual([404, 'application/json; charset=utf-8']);
  });

  it('the connection outlives a refusal, for the next request on it', async () => {
    const { text } = await raw(rig, wire('{') + wire(chat(), { connection: 'close' }));
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 200']);
  });

  it.each([
    ['by its length, before it is sent', wire('', { 'content-length': '999999999' })],
    [
      'as soon as it is too long, while the rest is still to come',
      `${wire('', { 'content-length': 'x' }).replace('content-length: x', 'transfer-encoding: chunked')}5000\r\n${'x'.repeat(0x5000)}\r\n`,
    ],
  ])('a body over the limit is refused %s', async (_when, text) => {
    const socket = connect(rig.port, '127.0.0.1').on('error', () => {});
    socket.write(text);
    let answer = '';
    socket.on('data', (data: Buffer) => (answer += data.toString()));
    await until('the answer', () => answer !== '' || socket.destroyed);
    expect(answer).toMatch(/^HTTP\/1\.1 413/);
    socket.destroy();
  });
});

describe('routes', () => {
  it.each([
    ['GET', '/nothing', 404, 'openai'],
    ['POST', '/v1/nothing', 404, 'openai'],
    ['GET', '/api/nothing', 404, 'ollama'],
    ['GET', '/v1/chat/completions', 405, 'openai'],
    ['DELETE', '/api/chat', 405, 'ollama'],
    ['PUT', '/v1/models/tiny', 405, 'openai'],
    ['OPTIONS', '/api/tags', 405, 'ollama'],
    ['GET', '/v1/../v1/models', 404, 'openai'],
    ['GET', '/v1/./models', 404, 'openai'],
    ['GET', '//v1/models', 404, 'openai'],
    ['GET', '/v1%2Fmodels', 404, 'openai'],
    ['GET', '/internal/beat', 405, 'openai'],
  ])('%s %s is a %i in the dialect of %s', async (method, path, status, dialect) => {
    const [head = '', body = '{}'] = (
      await unheard(() => raw(rig, wire('', { connection: 'close' }, `${method} ${path} HTTP/1.1`)))
    ).text.split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status}`));
    expect(typeof (JSON.parse(body) as { error: unknown }).error).toBe(dialect === 'ollama' ? 'string' : 'object');
  });

  it.each([
    ['/v1/api/chat', 'leave /v1 out', 'string'],
    ['/api/v1/chat/completions', 'leave /api out', 'string'],
    ['/v1/v1/chat/completions', '/v1 twice', 'object'],
    ['//v1/chat/completions', 'a slash too many', 'object'],
    ['/v1/chat/completions/', 'the slash at its end', 'object'],
    ['/api/tags/', 'the slash at its end', 'string'],
  ])('a wrong address, %s, is told what is wrong with it: %s', async (path, words, kind) => {
    const { status, text } = await unheard(() => ask(rig, { path }).answer);
    const { error } = JSON.parse(text) as { error: unknown };
    expect([status, typeof error]).toEqual([404, kind]);
    expect(text).toContain(words);
  });

  it.each([
    ['/v1/models/tiny', 'tiny'],
    ['/v1/models/tiny:latest', 'tiny:latest'],
    ['/v1/models/team/big:8b', 'team/big:8b'],
    ['/v1/models/team%2Fbig%3A8b', 'team/big:8b'],
    ['/v1/models/tiny?api-version=1', 'tiny'],
    ['/models/team%2Fbig%3A8b', 'team/big:8b'],
  ])('GET %s is the model %s', async (path, id) => {
    const { status, text } = await ask(rig, { method: 'GET', path }).answer;
    expect([status, (JSON.parse(text) as { id: string }).id]).toEqual([200, id]);
  });

  it.each([
    ['/v1/models/', 400],
    ['/v1/models/%', 400],
    ['/v1/models/%ff', 400],
    ['/v1/models/a%00b', 400],
    ['/v1/models/nobody', 404],
  ])('GET %s is refused with %i', async (path, status) => {
    expect((await ask(rig, { method: 'GET', path }).answer).status).toBe(status);
  });

  it('list each model once, in both dialects', async () => {
    const get = async (path: string) =>
      JSON.parse((await ask(rig, { method: 'GET', path }).answer).text) as {
        data: { id: string }[];
        models: { name: string }[];
      };
    const names = ['embed:latest', 'team/big:8b', 'tiny:latest'];
    expect((await get('/v1/models')).data.map(({ id }) => id)).toEqual(names);
    expect((await get('/models')).data.map(({ id }) => id)).toEqual(names);
    expect((await get('/api/tags')).models.map(({ name }) => name)).toEqual(names);
    expect((await get('/api/ps')).models.map(({ name }) => name).toSorted()).toEqual(names);
  });

  it('show a model', async () => {
    const show = (body: string) => ask(rig, { path: '/api/show', body }).answer;
    expect(await show('{"model":"tiny"}')).toMatchObject({ status: 200, text: '{"answer":"hello"}' });
    expect(rig.worker.seen.at(-1)).toMatchObject({
      path: '/api/show',
      body: '{"model":"tiny"}',
      checked: { kind: 'ok', call: { model: 'tiny:latest', lease: '' } },
    });
    expect((await show('{"name":"nobody"}')).status).toBe(404);
    expect((await show('{}')).status).toBe(400);
  });

  it('show a model by a worker that answers, whoever else is gone', async () => {
    await using two = await startRig({ workers: [{}, {}] });
    const [first, second] = two.workers;
    await first?.vanish();
    second?.act(whole('{"from":"the second"}'));
    const show = () => ask(two, { path: '/api/show', body: '{"model":"tiny"}' }).answer;
    expect(await show()).toMatchObject({ status: 200, text: '{"from":"the second"}' });
    second?.act(refuse(404, new Refusal('model_not_found', 'it has just gone')));
    expect(await show()).toMatchObject({ status: 404, text: '{"error":"it has just gone"}' });
    await second?.vanish();
    expect((await show()).status).toBe(502);
  });

  it('a request for tokens that names no model means the only one', async () => {
    await using alone = await startRig();
    const body = '{"content":"hello"}';
    expect((await ask(alone, { path: '/tokenize', body }).answer).status).toBe(200);
    expect(alone.worker.seen.at(-1)?.checked).toMatchObject({ call: { model: 'tiny:latest' } });
    const several = await unheard(() => ask(rig, { path: '/tokenize', body }).answer);
    expect([several.status, several.text]).toEqual([400, expect.stringContaining('model is required')]);
  });

  it.each([
    ['POST', '/v1/responses', 'Responses API'],
    ['POST', '/responses', 'Responses API'],
    ['GET', '/v1/responses/resp_1', 'Responses API'],
    ['POST', '/v1/rerank', 'rerank'],
    ['POST', '/v1/audio/transcriptions', 'hear'],
    ['POST', '/v1/images/generations', 'draw'],
    ['GET', '/v1/files', 'stored'],
  ])('%s %s is told in a sentence not to be there', async (method, path, words) => {
    const { status, text } = await unheard(() => ask(rig, { method, path }).answer);
    const { error } = JSON.parse(text) as { error: { message: string; code: string } };
    expect([status, error.code]).toEqual([404, 'unknown_url']);
    expect(error.message).toContain(words);
  });

  it.each(['/v1/messages', '/v1/messages?beta=true', '/v1/messages/count_tokens'])(
    'POST %s is not there, in words of Anthropic',
    async (path) => {
      const { status, headers, text } = await unheard(() => ask(rig, { path }).answer);
      expect(status).toBe(404);
      expect(JSON.parse(text)).toMatchObject({
        type: 'error',
        error: { type: 'not_found_error', message: expect.stringContaining('Messages API') as string },
        request_id: headers['request-id'],
      });
    },
  );

  it.each([
    ['POST', '/api/create'],
    ['POST', '/api/push'],
    ['POST', '/api/blobs/sha256:00'],
  ])("%s %s is refused: models are the operator's", async (method, path) => {
    const body = '{"model":"tiny"}';
    const headers = { 'content-length': String(body.length) };
    const { status, text } = await unheard(() => ask(rig, { method, path, headers, body }).answer);
    expect([status, (JSON.parse(text) as { error: string }).error]).toEqual([
      403,
      expect.stringContaining('MODELS_DIR'),
    ]);
  });

  it('a model that is there is pulled at once, told up to success', async () => {
    const pull = (body: object) => ask(rig, { path: '/api/pull', body: JSON.stringify(body) }).answer;
    const streamed = await pull({ model: 'tiny' });
    expect(streamed.headers['content-type']).toBe('application/x-ndjson');
    const lines = streamed.text.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { status: string }).status)).toEqual([
      'pulling manifest',
      'pulling aaaaaaaaaaaa',
      'success',
    ]);
    expect(JSON.parse((await pull({ name: 'tiny', stream: false })).text)).toEqual({ status: 'success' });
    const unknown = await pull({ model: 'llama9' });
    expect([unknown.status, JSON.parse(unknown.text)]).toEqual([
      404,
      { error: expect.stringContaining("model 'llama9' not found") as string },
    ]);
    expect((await pull({ model: 'tiny', stream: 'no' })).status).toBe(400);
  });

  it.each(['/', '/api/version', '/api/tags'])('HEAD %s has a head and no body', async (path) => {
    const { text } = await raw(rig, wire('', { connection: 'close' }, `HEAD ${path} HTTP/1.1`));
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
  });

  it.each([
    ['/', 'Ollama is running'],
    ['/livez', '{"status":"ok"}'],
  ])('GET %s says %s', async (path, text) => {
    expect(await ask(rig, { method: 'GET', path }).answer).toMatchObject({ status: 200, text });
  });
});

describe('keys', () => {
  const key = 'a-key-of-sixteen-and-more';

  it('are asked for on every route but the public ones, before the body is read', async () => {
    await using locked = await startRig({ options: { authenticate: createAuthenticate([key]) } });
    const open = ['/', '/livez', '/readyz', '/health', '/api/version'];
    const shut = ['/v1/models', '/models', '/v1/models/tiny', '/api/tags', '/api/ps', '/api/queue', '/metrics'];
    const posts = [
      '/v1/chat/completions',
      '/chat/completions',
      '/v1/completions',
      '/tokenize',
      '/api/pull',
      '/api/chat',
      '/api/generate',
      '/api/show',
    ];
    for (const path of open)
      expect([path, (await ask(locked, { method: 'GET', path }).answer).status]).toEqual([path, 200]);
    for (const path of shut)
      expect([path, (await ask(locked, { method: 'GET', path }).answer).status]).toEqual([path, 401]);
    for (const path of posts) {
      const { status, text } = await ask(locked, { path, body: 'not read' }).answer;
      expect([path, status, text.includes('API key')]).toEqual([path, 401, true]);
    }
    for (const path of ['/internal/beat', '/internal/leave'])
      expect((await ask(locked, { path }).answer).status).toBe(401);
    expect(locked.takes).toEqual([]);
    for (const headers of [{ authorization: `Bearer ${key}` }, { 'x-api-key': key }]) {
      expect((await ask(locked, { headers }).answer).status).toBe(200);
      expect((await ask(locked, { method: 'GET', path: '/metrics', headers }).answer).status).toBe(200);
    }
  });

  it('do not open what belongs to the pool', async () => {
    await using locked = await startRig({ options: { authenticate: createAuthenticate([key]) } });
    const beat = JSON.stringify({ worker: 'evil', epoch: 'e', boot: true });
    expect(
      (await ask(locked, { path: '/internal/beat', body: beat, headers: { authorization: `Bearer ${key}` } }).answer)
        .status,
    ).toBe(401);
    expect((await locked.ledger.survey()).workers.map(({ worker }) => worker)).toEqual(['w1']);
  });
});

describe('framing', () => {
  const body = chat();
  const chunked = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
  const smuggled = wire(chat({ user: 'smuggled' }));
  const line = (url: string) => `POST ${url} HTTP/1.1`;
  const close = { connection: 'close' };

  it.each([
    ['both Content-Length and chunked', wire(body, { 'transfer-encoding': 'chunked' })],
    [
      'chunked, then Content-Length of a shorter body',
      `POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n${chunked(body)}${smuggled}`,
    ],
    [
      'two lengths',
      `POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\ncontent-length: 0\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    ],
    ['a length that is no number', wire(body, { 'content-length': '0x10' })],
    ['a negative length', wire(body, { 'content-length': '-1' })],
    ['an unknown transfer encoding', wire(body, { 'transfer-encoding': 'xchunked', 'content-length': '0' })],
    [
      'a space before a colon',
      `POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\ncontent-length : ${body.length}\r\n\r\n${body}`,
    ],
    ['no Host', `POST /v1/chat/completions HTTP/1.1\r\ncontent-length: ${body.length}\r\n\r\n${body}`],
    [
      'a chunk size that is none',
      `POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n${body}`,
    ],
    ['a line feed in a path', wire(body, close, 'POST /v1/chat\n/completions HTTP/1.1')],
    ['a head that is too large', wire(body, { 'x-large': 'x'.repeat(20_000) })],
    ['no HTTP at all', '\u0016\u0003\u0001\u0002\u0000\r\n\r\n'],
  ])('%s is refused, and the connection closed', async (_what, text) => {
    const { text: answer } = await unheard(() => raw(rig, text));
    expect(answer).toMatch(/^HTTP\/1\.1 (400|431) /);
    expect(answer.match(/^HTTP\/1\.1/gm)).toHaveLength(1);
  });

  it.each([
    ['an absolute URL of ours', line('http://berth/v1/chat/completions')],
    ['an absolute URL of somebody else', line('http://elsewhere/v1/chat/completions')],
    ['dot segments', line('/x/../v1/chat/completions')],
    ['encoded dot segments', line('/x/%2e%2e/v1/chat/completions')],
    ['a tunnel', 'CONNECT elsewhere:443 HTTP/1.1'],
  ])('%s reaches no worker', async (_what, requestLine) => {
    const { text } = await unheard(() =>
      raw(rig, wire(requestLine.startsWith('CONNECT') ? '' : body, close, requestLine)),
    );
    expect(text).toMatch(/^(HTTP\/1\.1 404 |$)/);
  });

  it('a body behind a request that takes none is not a request of its own', async () => {
    const before = rig.worker.seen.length;
    await raw(rig, wire(smuggled, close, 'DELETE /api/chat HTTP/1.1'));
    await raw(
      rig,
      `DELETE /api/chat HTTP/1.1\r\nhost: b\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n${chunked(smuggled)}`,
    );
    await raw(rig, wire(smuggled, close, 'GET /v1/models HTTP/1.1'));
    expect(rig.worker.seen.length).toBe(before);
  });

  it('an upgrade is not taken: the request is answered as what it is', async () => {
    const { text } = await raw(rig, wire(body, { connection: 'upgrade, close', upgrade: 'h2c' }));
    expect(text).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('HTTP/1.0 gets a whole answer that ends with the connection', async () => {
    rig.worker.act(whole('{"answer":1}'));
    const { text } = await raw(rig, wire(body, {}, 'POST /v1/chat/completions HTTP/1.0'));
    expect(text).toMatch(/^HTTP\/1\.1 200 [^]*\r\n\r\n\{"answer":1\}$/);
    expect(text).not.toMatch(/transfer-encoding/i);
  });

  it('requests on one connection are answered in their order', async () => {
    rig.worker.act(async (exchange) => {
      const { user } = JSON.parse(rig.worker.seen.at(-1)?.body ?? '{}') as { user?: string };
      await stream([`data: ${user}\n\n`])(exchange);
    });
    const texts = ['one', 'two', 'three'].map((user, at) => wire(chat({ user, stream: true }), at === 2 ? close : {}));
    const { text } = await raw(rig, texts.join(''));
    expect(text.match(/^HTTP\/1\.1 200/gm)).toHaveLength(3);
    rig.worker.act(whole('{}'));
  });

  it('a client that expects 100 before it sends a body is told to go on', async () => {
    const { text } = await raw(rig, wire(body, { ...close, expect: '100-continue' }));
    expect(text).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
  });

  it('a thousand connections that say nothing are no requests', async () => {
    const sockets = Array.from({ length: 200 }, () => connect(rig.port, '127.0.0.1').on('error', () => {}));
    await until('all open', () => sockets.every(({ readyState }) => readyState === 'open'));
    expect((await ask(rig).answer).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });
});
