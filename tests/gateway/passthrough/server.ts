// A server behind a mount: tells what it was asked, and misbehaves when its path says so.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface MountedServer extends AsyncDisposable {
  port: number;
  url: string;
  /** What it was asked, as far as it came in whole. */
  seen: Seen[];
  /** WebSockets that are open. */
  sockets: Set<Duplex>;
  /** Requests of which the client's side has gone before the reply had ended. */
  abandoned: string[];
}

export async function startMounted(): Promise<MountedServer> {
  const seen: Seen[] = [];
  const sockets = new Set<Duplex>();
  const abandoned: string[] = [];
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    response.on('close', () => response.writableFinished || abandoned.push(request.url ?? ''));
    const whole = await read(request);
    seen.push(whole);
    answer(whole, response);
  };
  const server = createServer((request, response) => void serve(request, response));
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    seen.push({ method: 'GET', url: request.url ?? '', headers: request.headers, body: '' });
    socket.on('error', () => {});
    if (request.url === '/no') {
      socket.end('HTTP/1.1 403 Forbidden\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nno');
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    shake(request, socket);
    socket.on('data', (frame: Buffer) => {
      socket.write(unmasked(frame));
      // A farewell: opcode 8.
      if (((frame[0] ?? 0) & 0x0f) === 8) socket.end();
    });
    socket.on('end', () => socket.end());
  });
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    seen,
    sockets,
    abandoned,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

async function read(request: IncomingMessage): Promise<Seen> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const { method = '', url = '', headers } = request;
  return { method, url, headers, body: Buffer.concat(chunks).toString() };
}

function answer({ url: path }: Seen, response: ServerResponse): void {
  const { socket } = response;
  const url = path.replace(/^\/sub(?=\/(silent|slow|fin|reset|short)$)/, '');
  if (/^(\/sub)?\/moved\?/.test(url))
    return void response.writeHead(302, { location: decodeURIComponent(url.slice(url.indexOf('?') + 1)) }).end();
  if (url === '/cookie')
    return void response.writeHead(200, { 'set-cookie': ['a=1', 'b=2'], 'x-own': 'kept', te: 'x' }).end('ok');
  if (url === '/silent') return;
  if (url === '/slow') return void response.write('begun ');
  if (url === '/fin' || url === '/reset' || url === '/short') {
    response.writeHead(200, url === '/short' ? { 'content-length': '1000' } : {});
    response.write('begun ');
    setTimeout(() => (url === '/reset' ? socket?.resetAndDestroy() : socket?.destroy()), 50);
    return;
  }
  response.end(`page ${path}`);
}

function shake({ headers }: IncomingMessage, socket: Duplex): void {
  // RFC 6455, 4.2.2.
  const accept = createHash('sha1')
    .update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'upgrade: websocket',
    'connection: Upgrade',
    `sec-websocket-accept: ${accept}`,
  ];
  socket.write(`${lines.join('\r\n')}\r\nset-cookie: ws=1\r\n\r\n`);
}

/** A short frame as a server may send it back. */
function unmasked(frame: Buffer): Buffer {
  const length = (frame[1] ?? 0) & 0x7f;
  const [mask, payload] = [frame.subarray(2, 6), frame.subarray(6, 6 + length)];
  const plain = payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0));
  return Buffer.concat([Buffer.from([frame[0] ?? 0, length]), plain]);
}
