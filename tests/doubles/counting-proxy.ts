// A proxy in front of a model server that counts: how many requests the server is given at once, and how often each.
import { once } from 'node:events';
import { createServer, request as ask } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface CountingProxy extends AsyncDisposable {
  readonly url: string;
  /** Where the server is now. */
  target: string;
  running(): number;
  mostAtOnce(): number;
  /** How often a request that holds this text was sent to the server. */
  runsOf(text: string): number;
}

/** Only what makes the server work is counted: a POST, from its arrival until its reply has ended or was left. */
export async function startCountingProxy(target: string): Promise<CountingProxy> {
  const bodies: string[] = [];
  let running = 0;
  let most = 0;
  const server = createServer((incoming, response) => void pass(incoming, response).catch(() => response.destroy()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  async function pass(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => {});
    const { method = '', url = '', headers } = incoming;
    if (method === 'POST') count(response);
    let body = '';
    for await (const chunk of incoming as AsyncIterable<Buffer>) body += chunk.toString('utf8');
    if (method === 'POST') bodies.push(body);
    if (response.destroyed) return;
    const outgoing = ask(`${proxy.target}${url}`, { method, headers, agent: false });
    outgoing.on('error', () => response.destroy());
    response.on('close', () => outgoing.destroy());
    outgoing.on('response', (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.on('error', () => response.destroy());
      reply.on('close', () => reply.complete || response.destroy());
      reply.pipe(response);
    });
    outgoing.end(body);
  }

  function count(response: ServerResponse): void {
    running += 1;
    most = Math.max(most, running);
    let over = false;
    const end = () => {
      if (!over) running -= 1;
      over = true;
    };
    response.on('finish', end).on('close', end);
  }

  const proxy: CountingProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    target,
    running: () => running,
    mostAtOnce: () => most,
    runsOf: (text) => bodies.filter((body) => body.includes(text)).length,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close').catch(() => undefined);
    },
  };
  return proxy;
}
