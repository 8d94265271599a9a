// Pages of other servers behind the gateway's door: what passes, what is stripped, and how each side's death is told.
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseMounts } from '../../../gateway/passthrough/mounts.ts';
import { parseNetworks } from '../../../gateway/policy/networks.ts';
import { ask, drained, raw, startRig, until, wire } from '../rig.ts';
import type { Rig } from '../rig.ts';
import { startMounted } from './server.ts';
import type { MountedServer } from './server.ts';

const key = 'a-key-of-the-settings';
const bearer = { authorization: `Bearer ${key}` };
let server: MountedServer;
let rig: Rig;

beforeAll(async () => {
  server = await startMounted();
  const words = [
    `/own=${server.url}`,
    `/deep/er=${server.url}/sub`,
    `/deep=${server.url}/sub`,
    `/read=${server.url};read;metrics`,
    `/gone=http://127.0.0.1:1`,
    `/=${server.url};login`,
  ];
  rig = await startRig({ door: [key], settings: { mounts: parseMounts(words.join(',')) } });
});
afterAll(async () => {
  await rig[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => void server.seen.splice(0));

const get = (path: string, headers: Record<string, string> = bearer) => ask(rig, { method: 'GET', path, headers });

describe('paths', () => {
  it.each([
    ['/own/a/b?c=d', '/a/b?c=d'],
    ['/own/', '/'],
    ['/own/?x', '/?x'],
    ['/deep/er/a', '/sub/a'],
    ['/read/graph', '/graph'],
    ['/elsewhere', '/elsewhere'],
    ['/api/config', '/api/config'],
    ['/own/a.b/..c/%C3%A9', '/a.b/..c/%C3%A9'],
  ])('%s is %s to the server', async (path, seen) => {
    const { status, text } = await get(path).answer;
    expect([status, text]).toEqual([200, `page ${seen}`]);
  });

  it('a folder without its slash is led into it, with its question', async () => {
    const { status, headers } = await get('/own?a=b').answer;
    expect([status, headers.location]).toEqual([308, '/own/?a=b']);
  });

  it.each([
    '/own/../admin',
    '/own/%2e%2e/x',
    '/own//x',
    '/own/a%2fb',
    '/own/a%5cb',
    '/own/a\\b',
    '/own/..;/x',
    '/own/%00',
    '/own/%ff',
  ])('%s goes nowhere', async (path) => {
    const { text } = await raw(rig, wire('', { connection: 'close', ...bearer }, `GET ${path} HTTP/1.1`));
    expect(text).toMatch(/^HTTP\/1\.1 400/);
    expect(server.seen).toEqual([]);
  });

  it('the routes of the gateway stay its own', async () => {
    expect((await get('/v1/models').answer).text).toContain('"object":"list"');
    expect((await get('/v1/responses').answer).status).toBe(404);
    expect((await ask(rig, { method: 'DELETE', path: '/api/chat', headers: bearer }).answer).status).toBe(405);
    expect(server.seen).toEqual([]);
  });

  it('at the root a browser sees the page, and a program what it asks for', async () => {
    expect((await get('/', { accept: 'text/html,*/*' }).answer).text).toBe('page /');
    expect((await get('/', { accept: '*/*' }).answer).text).toBe('Ollama is running');
    expect((await get('/', {}).answer).text).toBe('Ollama is running');
  });

  it.each(['/v1', '/v1/models', '/admin', '/api', '/metrics'])('%s cannot be mounted', async (path) => {
    const started = startRig({ workers: [], settings: { mounts: parseMounts(`${path}=http://x`) } });
    await expect(started).rejects.toThrow(`MOUNTS: ${path} is the gateway's own`);
  });
});

describe('rights', () => {
  it('a mount wants its scope, one with a login lets everybody knock', async () => {
    expect((await get('/own/x', {}).answer).status).toBe(401);
    expect((await get('/read/x', {}).answer).status).toBe(401);
    expect((await get('/x', {}).answer).status).toBe(200);
  });

  it('one that is only read takes no write', async () => {
    const { status } = await ask(rig, { method: 'POST', path: '/read/x', headers: bearer, body: 'x' }).answer;
    expect([status, server.seen]).toEqual([405, []]);
  });

  it('who the user is says only a trusted proxy, also to a server with a login', async () => {
    const mounts = parseMounts(`/=${server.url};login`);
    const identityHeaders = { user: 'x-forwarded-user', team: null };
    for (const [trustedProxies, status] of [
      [null, 403],
      [parseNetworks('127.0.0.0/8'), 200],
    ] as const) {
      await using own = await startRig({ settings: { mounts, identityHeaders, trustedProxies } });
      const headers = { 'x-forwarded-user': 'root' };
      expect((await ask(own, { method: 'GET', path: '/x', headers }).answer).status).toBe(status);
    }
    expect(server.seen.map(({ headers }) => headers['x-forwarded-user'])).toEqual(['root']);
  });

  it('pages of other sites may not write', async () => {
    const headers = { cookie: 'session=1', origin: 'https://evil.example', 'content-length': '0' };
    const { status } = await ask(rig, { method: 'POST', path: '/x', headers, body: '' }).answer;
    expect([status, server.seen]).toEqual([403, []]);
  });
});

describe('a browser', () => {
  it('comes in with the session that it got for a key, and opens WebSockets from its own page only', async () => {
    const opening = await ask(rig, { path: '/admin/session', headers: bearer, body: '' }).answer;
    const [cookie = ''] = String(opening.headers['set-cookie']).split(';', 1);
    expect((await get('/own/x', { cookie }).answer).status).toBe(200);
    expect(server.seen[0]?.headers).not.toHaveProperty('cookie');
    const own = `http://127.0.0.1:${rig.port}`;
    const upgrade = { cookie, connection: 'Upgrade', upgrade: 'websocket', host: `127.0.0.1:${rig.port}` };
    for (const [origin, status] of [
      ['https://evil.example', 403],
      [own, 101],
    ] as const) {
      const client = connect(rig.port, '127.0.0.1');
      const lines = Object.entries({ ...upgrade, origin, 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' });
      client.write(`GET /own/ws HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
      const first = await new Promise<string>((resolve) => client.once('data', (data) => resolve(String(data))));
      expect(first).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      client.destroy();
    }
    const write = { cookie, origin: 'https://evil.example', 'content-length': '0' };
    expect((await ask(rig, { method: 'POST', path: '/own/x', headers: write, body: '' }).answer).status).toBe(403);
    await until('the server has no WebSocket', () => server.sockets.size === 0);
  });
});

describe('headers', () => {
  it('credentials, cookies and headers of the connection stay outside', async () => {
    const more = {
      cookie: 'a=b',
      'x-api-key': key,
      connection: 'keep-alive, x-mine',
      'x-mine': '1',
      te: 'trailers',
      'x-kept': '1',
    };
    await get('/own/x', { ...bearer, ...more }).answer;
    const [{ headers } = { headers: {} }] = server.seen;
    expect(Object.keys(headers)).toEqual(expect.arrayContaining(['x-kept', 'host']));
    for (const name of ['authorization', 'cookie', 'x-api-key', 'x-mine', 'te'])
      expect(headers).not.toHaveProperty(name);
  });

  it('a server with accounts of its own gets its credentials and cookies, and never a key of ours', async () => {
    await get('/x', { cookie: 'a=b', authorization: 'Bearer of-its-own' }).answer;
    await get('/y', { authorization: 'Bearer berth_0123456789ab.secret' }).answer;
    expect(server.seen[0]?.headers).toMatchObject({ cookie: 'a=b', authorization: 'Bearer of-its-own' });
    expect(server.seen[1]?.headers).not.toHaveProperty('authorization');
  });

  it('the server is told who asks, by what the gateway knows', async () => {
    await get('/own/x', {
      ...bearer,
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-host': 'evil',
      forwarded: 'for=6.6.6.6',
    }).answer;
    const [{ headers } = { headers: {} }] = server.seen;
    expect(headers).toMatchObject({
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': `127.0.0.1:${rig.port}`,
      'x-forwarded-proto': 'http',
      'x-forwarded-prefix': '/own',
      host: `127.0.0.1:${rig.port}`,
    });
    expect(headers).not.toHaveProperty('forwarded');
  });

  it('replies keep their own headers; cookies only where there is a login', async () => {
    const [own, login] = [await get('/own/cookie').answer, await get('/cookie').answer];
    expect([own.headers['x-own'], own.headers['set-cookie'], own.headers.te]).toEqual(['kept', undefined, undefined]);
    expect(login.headers['set-cookie']).toEqual(['a=1', 'b=2']);
  });

  it.each([
    ['/own', '/login', '/own/login'],
    ['/own', 'login', 'login'],
    ['/own', 'https://other.example/x', 'https://other.example/x'],
    ['/own', 'SERVER/x', '/own/x'],
    ['/deep', '/sub/x?y#z', '/deep/x?y#z'],
    ['/deep', '/outside', '/outside'],
  ])('below %s a redirection to %s leads to %s', async (mount, to, location) => {
    const target = encodeURIComponent(to.replace('SERVER', server.url));
    const { headers } = await get(`${mount}/moved?${target}`).answer;
    expect(headers.location).toBe(location);
  });
});

describe('bodies', () => {
  it('with a length pass as they are', async () => {
    const body = 'x'.repeat(100_000);
    const { status } = await ask(rig, { method: 'PUT', path: '/own/file', headers: bearer, body }).answer;
    expect([status, server.seen[0]?.body]).toEqual([200, body]);
  });

  it.each(['POST', 'DELETE', 'OPTIONS'])('of %s in chunks are refused, and nothing hides in them', async (method) => {
    const inner = `GET /own/hidden HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n\r\n`;
    const chunked = `${method} /own/x HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ${key}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`;
    expect((await raw(rig, chunked)).text).toMatch(/^HTTP\/1\.1 411/);
    expect(server.seen).toEqual([]);
  });
});

// The rig's clock stands still, so that a cut which waited for any bound of the gateway's would never come.
describe('deaths', () => {
  it.each(['/fin', '/reset', '/short'])('a server that dies in mid-reply (%s) cuts the client', async (path) => {
    const { end, text } = await get(`/own${path}`).answer;
    expect([end, text]).toEqual(['cut', 'begun ']);
  });

  it('a server that is not there is a 502 that says so', async () => {
    const { status, text } = await get('/gone/x').answer;
    expect([status, text]).toEqual([
      502,
      expect.stringContaining('the server behind /gone does not answer (ECONNREFUSED)'),
    ]);
  });

  it.each(['/silent', '/slow'])('a client that leaves (%s) is told to the server', async (path) => {
    const asking = get(`/own${path}`);
    await until('the server was asked', () => server.seen.length === 1);
    asking.leave();
    await until('the server knows', () => server.abandoned.includes(path));
  });
});

describe('WebSockets', () => {
  const opened = async (path: string) => {
    const socket = new WebSocket(`ws://127.0.0.1:${rig.port}${path}`, { headers: bearer });
    const closed = new Promise<number>((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)));
    const open = await new Promise<boolean>((resolve) => {
      socket.addEventListener('open', () => resolve(true));
      socket.addEventListener('error', () => resolve(false));
    });
    return { socket, open, closed };
  };
  const echoed = (socket: WebSocket, text: string) =>
    new Promise((resolve) => {
      socket.addEventListener('message', ({ data }) => resolve(data), { once: true });
      socket.send(text);
    });

  it('pass both ways, with the same headers stripped', async () => {
    const { socket, open, closed } = await opened('/own/ws?a=b');
    expect(open).toBe(true);
    for (const text of ['one', 'zwei', '三']) expect(await echoed(socket, text)).toBe(text);
    expect(server.seen[0]).toMatchObject({ url: '/ws?a=b', headers: { 'x-forwarded-prefix': '/own' } });
    expect(server.seen[0]?.headers).not.toHaveProperty('authorization');
    socket.close();
    await closed;
    await until('the server has none', () => server.sockets.size === 0);
  });

  it('survive an hour of silence', async () => {
    const { socket, closed } = await opened('/own/ws');
    await rig.clock.advance(3_600_000);
    expect(await echoed(socket, 'still')).toBe('still');
    socket.close();
    await closed;
  });

  // The gateway's clock stands still: nothing of this waits for a bound.
  it.each([
    ['ends', (socket: Duplex) => void socket.end()],
    ['closes', (socket: Duplex) => void socket.destroy()],
    ['resets', (socket: Duplex) => void (socket as Socket).resetAndDestroy()],
  ])('the server %s one, and the client knows at once', async (_how, die) => {
    const { closed } = await opened('/own/ws');
    for (const socket of server.sockets) die(socket);
    expect(await closed).toBe(1006);
    await until('the server has none', () => server.sockets.size === 0);
  });

  it('the death of the client ends the server', async () => {
    const client = connect(rig.port, '127.0.0.1');
    const lines = [
      'GET /own/ws HTTP/1.1',
      'host: x',
      `authorization: Bearer ${key}`,
      'connection: Upgrade',
      'upgrade: websocket',
    ];
    client.write(
      `${lines.join('\r\n')}\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n`,
    );
    await until('it is open', () => server.sockets.size === 1);
    client.resetAndDestroy();
    await until('the server has none', () => server.sockets.size === 0);
  });

  it.each([
    ['/own/ws', {}, 401],
    ['/own/ws', { cookie: 'a=b', authorization: '', origin: 'https://evil.example' }, 401],
    ['/ws', { origin: 'https://evil.example' }, 403],
    ['/gone/ws', bearer, 502],
    ['/no', {}, 403],
    ['/own/../ws', bearer, 400],
  ])('%s with %j is refused with %i', async (path, headers: Record<string, string>, status) => {
    const fields = Object.entries({ host: '127.0.0.1', connection: 'Upgrade', upgrade: 'websocket', ...headers });
    const sent = `GET ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
    expect((await raw(rig, sent)).text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    expect(server.sockets.size).toBe(0);
  });

  it('end with the gateway', async () => {
    await using own = await startRig({ settings: { mounts: parseMounts(`/own=${server.url}`) } });
    const socket = new WebSocket(`ws://127.0.0.1:${own.port}/own/ws`);
    const closed = new Promise((resolve) => socket.addEventListener('close', resolve));
    await new Promise((resolve) => socket.addEventListener('open', resolve));
    await drained(own.clock, own.gateway.drain(0));
    await closed;
  });

  it('where none is taken the request is answered as it stands', async () => {
    const fields = `host: 127.0.0.1\r\nconnection: Upgrade, close\r\nupgrade: websocket\r\nauthorization: Bearer ${key}\r\n`;
    expect((await raw(rig, `GET /v1/models HTTP/1.1\r\n${fields}\r\n`)).text).toMatch(/^HTTP\/1\.1 200/);
    expect((await raw(rig, `GET /read/x HTTP/1.1\r\n${fields}\r\n`)).text).toContain('page /x');
  });
});
