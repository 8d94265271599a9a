// Clients that send their heads byte by byte: they are cut off in time, and the others do not feel them.
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { ask, startRig } from '../rig.ts';

const slowMax = 500;
/** Ten seconds for a head, a second until it is looked at, and what a loaded test machine adds. */
const cutMs = 15_000;
/** Far above what a loaded test machine needs, far below what a blocked one would. */
const feltMs = 500;

it(`${slowMax} slow heads are cut off within ${cutMs / 1_000} s, and answers take less than ${feltMs} ms meanwhile`, async () => {
  await using rig = await startRig({ workers: [{ slots: 8 }] });
  const startMs = performance.now();
  const still = { open: slowMax };
  const sockets = Array.from({ length: slowMax }, () => {
    const socket = connect(rig.port, '127.0.0.1', () =>
      socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: b\r\nx: '),
    );
    return socket.on('error', () => {}).on('close', () => (still.open -= 1));
  });
  const drip = setInterval(() => sockets.forEach((socket) => socket.writable && socket.write('a')), 500);
  const took: number[] = [];
  while (still.open > 0 && performance.now() - startMs < cutMs) {
    const askedMs = performance.now();
    expect((await ask(rig).answer).status).toBe(200);
    took.push(performance.now() - askedMs);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  clearInterval(drip);
  for (const socket of sockets) socket.destroy();
  const sorted = took.toSorted((a, b) => a - b);
  expect([still.open, sorted.length > 50]).toEqual([0, true]);
  const p99Ms = sorted[Math.floor(sorted.length * 0.99)] ?? 0;
  if (process.env['FIGURES']) console.log(`beside ${slowMax} slow heads an answer takes ${p99Ms.toFixed(0)} ms at p99`);
  expect(p99Ms).toBeLessThan(feltMs);
  expect(performance.now() - startMs).toBeGreaterThan(9_000);
});
