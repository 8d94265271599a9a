// A TCP proxy that misbehaves when told to: between a client and a real server, it loses, holds and cuts.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout } from 'node:timers/promises';

export interface TcpProxy extends AsyncDisposable {
  port: number;
  /** Bytes of the server's no longer reach the client, as if lost; what the client sends still arrives. */
  loseReplies(losing: boolean): void;
  /** Bytes of the server's wait, and come later, in order. */
  holdReplies(holding: boolean): void;
  /** Bytes of the server's come so much later, in order. */
  delayReplies(ms: number): void;
  /** Nothing passes in either direction and nothing is closed: a half-open connection. New ones are accepted. */
  freeze(frozen: boolean): void;
  /** Closes every connection at once, with a reset. */
  cut(): void;
  /** Refuses new connections and closes those that are open, or serves again. */
  refuse(refusing: boolean): Promise<void>;
  /** Connections that clients have opened so far. */
  readonly accepted: number;
}

/** Listens on any free port of the loopback and forwards to the target's. */
export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const pairs = new Map<Socket, Socket>();
  let losing = false;
  let holding = false;
  let frozen = false;
  let delayMs = 0;
  let accepted = 0;

  const server = createServer((client) => {
    accepted++;
    const target = connect({ port: targetPort, host: '127.0.0.1' });
    pairs.set(client, target);
    if (holding) target.pause();
    client.on('data', (bytes) => void (frozen || target.write(bytes)));
    const passOn = (bytes: Buffer) => void (frozen || losing || client.destroyed || client.write(bytes));
    // One after the other: of two timers the later one may end first, by a rounded millisecond.
    let passed = Promise.resolve();
    target.on('data', (bytes) => {
      const due = delayMs > 0 ? setTimeout(delayMs) : null;
      passed = passed.then(() => due).then(() => passOn(bytes));
    });
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => {
        pairs.delete(client);
        if (!frozen) other.destroy();
      });
    }
  });
  const port = await listen(0);

  async function listen(wanted: number): Promise<number> {
    server.listen(wanted, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
    return address.port;
  }

  function cut(): void {
    for (const [client, target] of pairs) {
      client.resetAndDestroy();
      target.destroy();
    }
  }

  async function close(): Promise<void> {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    cut();
    await closed;
  }

  return {
    port,
    loseReplies: (wanted) => void (losing = wanted),
    holdReplies(wanted) {
      holding = wanted;
      for (const target of pairs.values()) void (wanted ? target.pause() : target.resume());
    },
    delayReplies: (ms) => void (delayMs = ms),
    freeze: (wanted) => void (frozen = wanted),
    cut,
    refuse: async (refusing) => (refusing ? close() : void (await listen(port))),
    get accepted() {
      return accepted;
    },
    [Symbol.asyncDispose]: close,
  };
}
