// Connections beyond the bound are closed at once, and those that are there go on.
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, it } from 'vitest';
import { silentLog } from '@berth/shared/log.ts';
import { boundConnections } from '../../gateway/connections.ts';
import { virtualClock } from '../doubles/clock.ts';
import { ask, startRig, until } from './rig.ts';

/** Opens a connection; it is `closed` once the other side has ended it. */
async function dial(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  return socket;
}

it('one more than all may have is closed, and there is room again when one has gone', async () => {
  await using rig = await startRig({ settings: { connectionsMax: 3 } });
  const idle = [await dial(rig.port), await dial(rig.port), await dial(rig.port)];
  await expect(ask(rig).answer).rejects.toThrow();
  expect(idle.map(({ closed }) => closed)).toEqual([false, false, false]);
  idle[0]?.destroy();
  await expect
    .poll(() =>
      ask(rig).answer.then(
        ({ status }) => status,
        () => null,
      ),
    )
    .toBe(200);
  for (const socket of idle) socket.destroy();
});

it('one address has its own bound, which this machine has not', async () => {
  await using rig = await startRig({ settings: { connectionsPerAddressMax: 2 } });
  const many = await Promise.all(Array.from({ length: 5 }, () => dial(rig.port)));
  expect((await ask(rig).answer).status).toBe(200);
  for (const socket of many) socket.destroy();

  const server = createServer((_, response) => response.end('ok'));
  const options = { max: 100, perAddressMax: 2, proxies: [], clock: virtualClock(), log: silentLog };
  boundConnections(server, options);
  // Listeners that are put first run last first: the stranger's address has to be there before it is looked at.
  server.prependListener('connection', (socket: Socket) => {
    Object.defineProperty(socket, 'remoteAddress', { value: '203.0.113.7' });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const three = [await dial(port), await dial(port), await dial(port)];
  await until('the third is closed', () => three[2]?.closed === true);
  expect(three.slice(0, 2).map(({ closed }) => closed)).toEqual([false, false]);
  for (const socket of three) socket.destroy();
  server.close();
  server.closeAllConnections();
});
