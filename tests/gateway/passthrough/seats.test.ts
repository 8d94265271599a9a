// What computes behind the door takes a slot of the worker beside it; and the server behind a worker is reached through it.
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { parseMounts } from '../../../gateway/passthrough/mounts.ts';
import { createPages } from '../../../worker/pages.ts';
import { startUpstream } from '../../doubles/upstream.ts';
import { eventually } from '../../e2e/eventually.ts';
import { aWorker } from '../../worker/a-worker.ts';
import type { TestWorker } from '../../worker/a-worker.ts';
import { aJoined } from '../../worker/upstream/a-joined.ts';
import { ask, secret, startRig } from '../rig.ts';
import type { Rig } from '../rig.ts';
import { aJoinedWorker } from './joined.ts';
import { startMounted } from './server.ts';
import type { MountedServer } from './server.ts';

const key = 'a-key-of-the-settings';
const bearer = { authorization: `Bearer ${key}` };
const engine = { contextTokens: 512, slots: 1, threads: 1, gpu: false as const };
let server: MountedServer;
let rig: Rig;
let joined: AsyncDisposable;
let plain: TestWorker;

beforeAll(async () => {
  server = await startMounted();
  const mounts = parseMounts(
    `/comfy=${server.url};inference=joined,/draw=${server.url};inference=m,/no=${server.url};inference=nobody`,
  );
  rig = await startRig({ clock: systemClock, workers: [], door: [key], settings: { mounts, queueTimeoutMs: 60_000 } });
  const pages = createPages({
    clock: systemClock,
    target: new URL(`${server.url}/sub`),
    headers: { authorization: 'Bearer of-the-server' },
  });
  joined = await aJoinedWorker(rig.ledger, secret, pages, { id: 'joined', slots: 1 });
  plain = await aWorker({ ledger: rig.ledger, secret, engine, id: 'plain', models: ['m'] });
  await eventually('both have joined', async () => {
    const { text } = await ask(rig, { method: 'GET', path: '/health' }).answer;
    return text.includes('"joined"') && text.includes('"plain"');
  });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await Promise.all([joined, plain].map((worker) => worker[Symbol.asyncDispose]()));
  await server[Symbol.asyncDispose]();
});
beforeEach(() => void server.seen.splice(0));

const get = (path: string, headers: Record<string, string> = bearer) => ask(rig, { method: 'GET', path, headers });
const post = (path: string, more: Record<string, string> = {}) =>
  ask(rig, { method: 'POST', path, headers: { ...bearer, ...more }, body: 'x' });

/** Slots that the ledger holds for taken, by worker. */
const held = async () =>
  (await rig.ledger.survey()).workers.filter((it) => it.held > 0).map((it) => [it.worker, it.held]);
const idle = () => eventually('no slot is taken', async () => (await held()).length === 0);
const asked = (count: number) => eventually('the server was asked', () => server.seen.length === count);

async function opened(path: string) {
  const socket = new WebSocket(`ws://127.0.0.1:${rig.port}${path}`, { headers: bearer });
  const closed = new Promise<number>((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)));
  const open = new Promise<boolean>((resolve) => {
    socket.addEventListener('open', () => resolve(true));
    socket.addEventListener('error', () => resolve(false));
  });
  return { socket, open, closed };
}

/** A WebSocket by hand, whose end is in the test's hands too. */
function rawSocket(path: string) {
  const socket = connect(rig.port, '127.0.0.1');
  const head = `GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n`;
  socket.write(`${head}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n`);
  return socket.on('error', () => {}).resume();
}

describe('a mount that computes', () => {
  it('holds a slot of its worker for each request, known to the worker itself', async () => {
    using asking = post('/comfy/silent');
    await asked(1);
    expect(await held()).toEqual([['joined', 1]]);
    using waiting = post('/comfy/x');
    await eventually('the second waits', async () => (await rig.ledger.survey()).waiting.length === 1);
    expect(server.seen).toHaveLength(1);
    asking.leave();
    expect(await waiting.answer).toMatchObject({ status: 200, text: 'page /x' });
    expect(server.seen[1]).toMatchObject({ method: 'POST', body: 'x' });
    await idle();
  });

  it.each(['/fin', '/reset', '/short'])('gives it back when the server dies in mid-reply (%s)', async (path) => {
    expect(await get(`/comfy${path}`).answer).toMatchObject({ end: 'cut', text: 'begun ' });
    await idle();
  });

  it('takes any worker that serves its model, and loads it where nobody does', async () => {
    using asking = post('/draw/silent');
    await asked(1);
    expect(await held()).toEqual([['plain', 1]]);
    asking.leave();
    await idle();
  });

  it('says so when there is nobody to take one from', async () => {
    const { status, text } = await post('/no/x').answer;
    expect([status, text]).toEqual([503, expect.stringContaining('there is no worker and no model nobody now')]);
  });

  it('wants a key that may infer, and the model where it names one', async () => {
    expect((await post('/comfy/x', { authorization: 'Bearer wrong-wrong-wrong-wrong' }).answer).status).toBe(401);
    const made = await ask(rig, {
      path: '/admin/keys',
      headers: { ...bearer, 'content-type': 'application/json' },
      body: JSON.stringify({ team: 'art', models: ['other'], scopes: ['infer'] }),
    }).answer;
    const { secret: bound } = JSON.parse(made.text) as { secret: string };
    const theirs = { authorization: `Bearer ${bound}` };
    expect((await post('/draw/x', theirs).answer).status).toBe(403);
    expect((await post('/comfy/x', theirs).answer).status).toBe(200);
    expect((await post('/upstream/joined/x', theirs).answer).status).toBe(403);
    const usage = await get('/admin/usage').answer;
    expect(usage.text).toContain('"art"');
  });

  it('refuses what it cannot wait with: bodies without a length, or of more than MAX_BODY', async () => {
    const chunked = await ask(rig, {
      path: '/comfy/x',
      headers: { ...bearer, 'transfer-encoding': 'chunked' },
      body: 'x',
    }).answer;
    const large = await ask(rig, { path: '/comfy/x', headers: bearer, body: 'x'.repeat(2 ** 22 + 1) }).answer;
    expect([chunked.status, large.status, server.seen]).toEqual([411, 413, []]);
    await idle();
  });
});

describe('a WebSocket that computes', () => {
  it('waits for a slot, holds it as long as it is open, and gives it back when it is closed', async () => {
    const first = await opened('/comfy/ws');
    expect(await first.open).toBe(true);
    expect(await held()).toEqual([['joined', 1]]);
    const second = await opened('/comfy/ws');
    await eventually('the second waits', async () => (await rig.ledger.survey()).waiting.length === 1);
    first.socket.close();
    await first.closed;
    expect(await second.open).toBe(true);
    second.socket.send('three');
    const echoed = await new Promise((resolve) =>
      second.socket.addEventListener('message', ({ data }) => resolve(data)),
    );
    expect(echoed).toBe('three');
    second.socket.close();
    await second.closed;
    await idle();
  });

  it.each([
    ['the client resets it', (client: ReturnType<typeof rawSocket>) => void client.resetAndDestroy()],
    ['the client half closes it', (client: ReturnType<typeof rawSocket>) => void client.end()],
    ['the server ends it', () => server.sockets.forEach((socket) => socket.end())],
    ['the server dies', () => server.sockets.forEach((socket) => socket.destroy())],
  ])('gives it back when %s', async (_how, end) => {
    const client = rawSocket('/comfy/ws');
    const closed = new Promise((resolve) => client.once('close', resolve));
    await eventually('it is open', () => server.sockets.size === 1);
    expect(await held()).toEqual([['joined', 1]]);
    end(client);
    await closed;
    await idle();
    await eventually('the server has none', () => server.sockets.size === 0);
  });

  it('leaves the queue when its client leaves, also without a word', async () => {
    using asking = post('/comfy/silent');
    await asked(1);
    const client = rawSocket('/comfy/ws');
    await eventually('it waits', async () => (await rig.ledger.survey()).waiting.length === 1);
    client.end();
    await eventually('it waits no more', async () => (await rig.ledger.survey()).waiting.length === 0);
    asking.leave();
    await idle();
    expect(server.sockets.size).toBe(0);
  });

  it('that is refused by its server gives it back', async () => {
    const { open } = await opened('/comfy/no');
    expect(await open).toBe(false);
    await idle();
  });
});

describe('/upstream/WORKER/', () => {
  it('is the server behind the worker, with the key that the worker has, and nothing of who asks', async () => {
    const more = {
      ...bearer,
      cookie: 'a=b',
      origin: 'https://evil.example',
      referer: 'x',
      'x-kept': '1',
      'berth-lease': 'mine',
    };
    const { status, text } = await get('/upstream/joined/a/b?c=d//e%20f', more).answer;
    expect([status, text]).toEqual([200, 'page /sub/a/b?c=d//e%20f']);
    const { headers } = server.seen[0] ?? { headers: {} };
    expect(headers).toMatchObject({
      authorization: 'Bearer of-the-server',
      host: `127.0.0.1:${server.port}`,
      'x-kept': '1',
    });
    expect(
      Object.keys(headers).filter((name) => /^(cookie|origin|referer|berth-.*|x-forwarded-.*)$/.test(name)),
    ).toEqual([]);
  });

  it('leads its redirections back into itself', async () => {
    const { headers } = await get(`/upstream/joined/moved?${encodeURIComponent('/sub/login?x')}`).answer;
    expect(headers.location).toBe('/upstream/joined/login?x');
  });

  it('only reads without a slot: a write waits for one, and so does a WebSocket', async () => {
    using asking = post('/upstream/joined/silent');
    await asked(1);
    expect(await held()).toEqual([['joined', 1]]);
    expect((await get('/upstream/joined/x').answer).status).toBe(200);
    const client = rawSocket('/upstream/joined/ws');
    await eventually('it waits', async () => (await rig.ledger.survey()).waiting.length === 1);
    asking.leave();
    await eventually('it is open', () => server.sockets.size === 1);
    client.destroy();
    await idle();
    await eventually('the server has none', () => server.sockets.size === 0);
  });

  it.each(['/fin', '/reset', '/short'])('cuts the client when the server dies in mid-reply (%s)', async (path) => {
    expect(await get(`/upstream/joined${path}`).answer).toMatchObject({ end: 'cut', text: 'begun ' });
  });

  it('wants an administrator, a worker that is there, and a path that can be read in one way only', async () => {
    expect((await get('/upstream/joined/x', {}).answer).status).toBe(401);
    const unknown = await get('/upstream/wrong/x').answer;
    expect([unknown.status, unknown.text]).toEqual([404, expect.stringContaining('only joined, plain')]);
    expect((await get('/upstream/joined/a%2fb').answer).status).toBe(400);
    expect(
      (await post('/upstream/joined/x', { authorization: '', origin: 'https://evil.example' }).answer).status,
    ).toBe(401);
    expect(server.seen).toEqual([]);
  });

  it('of a worker with an engine of its own are its metrics and its health', async () => {
    expect((await get('/upstream/plain/metrics').answer).text).toContain('berth_worker_slots');
    expect(JSON.parse((await get('/upstream/plain/health').answer).text)).toEqual({
      status: 'ready',
      slots: 1,
      used: 0,
    });
    const { status, text } = await get('/upstream/plain/api/tags').answer;
    expect([status, text]).toEqual([404, expect.stringContaining('/metrics and /health')]);
  });

  it('of an Ollama that has joined are its native routes, and what computes there holds the slot that it declared', async () => {
    await using ollama = await startUpstream({ kind: 'ollama', models: ['native'], behaviour: { key: 'sk' } });
    await using _worker = await aJoined(ollama.url, { ledger: rig.ledger, secret, id: 'ollama', slots: 1, key: 'sk' });
    await eventually('it is known', async () => (await get('/upstream/ollama/api/tags').answer).status === 200);
    expect((await get('/upstream/ollama/api/tags').answer).text).toContain('"native"');
    ollama.behave({ hangs: true });
    const chat = (path: string) => {
      const body = { model: 'native', stream: false, messages: [{ role: 'user', content: 'hello' }] };
      return ask(rig, { path, headers: bearer, body: JSON.stringify(body) });
    };
    using native = chat('/upstream/ollama/api/chat');
    await eventually('its slot is taken', async () => String(await held()) === 'ollama,1');
    using waiting = chat('/api/chat');
    await eventually('the other waits', async () => (await rig.ledger.survey()).waiting.length === 1);
    ollama.behave({ hangs: false });
    native.leave();
    expect((await waiting.answer).status).toBe(200);
    expect(ollama.mostAtOnce()).toBe(1);
    await idle();
  });

  it('cannot be mounted', async () => {
    const started = startRig({ workers: [], settings: { mounts: parseMounts('/upstream=http://x') } });
    await expect(started).rejects.toThrow("MOUNTS: /upstream is the gateway's own");
  });
});
