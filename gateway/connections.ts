// How many connections there may be, in all and from one address: one more is closed before a byte of it is read.
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '@berth/shared/clock.ts';
import type { Log } from '@berth/shared/log.ts';
import { isLoopback } from './keys.ts';
import type { Network } from './policy/networks.ts';

interface Options {
  max: number;
  perAddressMax: number;
  /** They stand for many clients, as this machine does: only the bound on all holds for them. */
  proxies: readonly Network[];
  clock: Clock;
  log: Log;
}

/** At most one line in this time: a flood must not fill the log. */
const complainEveryMs = 10_000;

export function boundConnections(server: Server, { max, perAddressMax, proxies, clock, log }: Options): void {
  const ofAddress = new Map<string, number>();
  let all = 0;
  let quietUntilMs = Number.NEGATIVE_INFINITY;

  const bounded = (address: string) =>
    !isLoopback(address.replace(/^::ffff:/, '')) && !proxies.some(({ has }) => has(address));
  const complain = (address: string): void => {
    if (clock.monotonic() < quietUntilMs) return;
    quietUntilMs = clock.monotonic() + complainEveryMs;
    log.warn('connections are closed: there are too many', { all, ofAddress: ofAddress.get(address) ?? 0 });
  };

  // `prependListener`: the server itself shall never begin to read one that is too many.
  server.prependListener('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const own = ofAddress.get(address) ?? 0;
    if (all >= max || (own >= perAddressMax && bounded(address))) {
      complain(address);
      socket.destroy();
      return;
    }
    all += 1;
    ofAddress.set(address, own + 1);
    socket.once('close', () => {
      all -= 1;
      const left = (ofAddress.get(address) ?? 1) - 1;
      if (left > 0) ofAddress.set(address, left);
      else ofAddress.delete(address);
    });
  });
}
