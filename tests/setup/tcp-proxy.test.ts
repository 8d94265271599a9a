// The proxy that misbehaves on command: what it delays it still passes on in order.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startTcpProxy } from '../doubles/tcp-proxy.ts';

test('delays the bytes of a server without mixing them up', async () => {
  const count = 15_000;
  const server = createServer({ noDelay: true }, (socket) => void tell(socket, count)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  await using proxy = await startTcpProxy((server.address() as AddressInfo).port);
  proxy.delayReplies(20);
  let heard = '';
  for await (const bytes of connect(proxy.port, '127.0.0.1')) heard += String(bytes);
  server.close();
  expect(heard.trim().split(' ').map(Number)).toEqual(Array.from({ length: count }, (_, number) => number));
});

async function tell(socket: Socket, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    socket.write(`${number} `);
    await turn();
  }
  await pause(200);
  socket.end();
}
