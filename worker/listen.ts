// A server's beginning and end: it listens, and when it leaves its last bytes go out within a bound.
import type { Server } from 'node:http';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';

interface Place {
  host: string;
  port: number;
  log: Log;
}

/** How long cut requests may take to tell their gateways why. */
export const cutMs = 1_500;
const sweepMs = 20;

/** Listens, and gives the port. @throws the system's error; a later one is logged */
export function listen(server: Server, { port, host, log }: Place): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      server.on('error', (error) => log.error('the server has a problem', { reason: error.message }));
      const address = server.address();
      resolve(address !== null && typeof address === 'object' ? address.port : port);
    });
  });
}

/** Stops listening and lets the last bytes of replies leave, within a bound. */
export async function closeServer(server: Server, clock: Clock): Promise<void> {
  const closed = Promise.withResolvers<void>();
  server.close(() => closed.resolve());
  // A reply that began before the drain promised keep-alive: its connection becomes idle, and is closed then.
  using _sweep = every(clock, sweepMs, () => server.closeIdleConnections());
  await within(clock, cutMs, closed.promise);
  server.closeAllConnections();
}

/** Calls `action` again and again until it is disposed. */
export function every(clock: Clock, periodMs: number, action: () => void): Disposable {
  let timer = clock.after(periodMs, function again() {
    action();
    timer = clock.after(periodMs, again);
  });
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}

/** True when the promise settled in time. */
export async function within(clock: Clock, ms: number, promise: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<false>();
  using _timer = clock.after(ms, () => late.resolve(false));
  return await Promise.race([promise.then(() => true), late.promise]);
}
