// A tap between client and Berth: passes every byte on as it comes, and keeps what Berth has answered.
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Berth } from './berth.ts';

/** One answer that passed. */
export interface Tapped {
  method: string;
  path: string;
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** False when it was cut, by either side: its last line may be half a line. */
  whole: boolean;
}

/** As Berth tells its clients, for its headers pass: a connection that closed sooner would be a surprise to them. */
const keepAliveTimeout = 75_000;

/** The same Berth, spoken to through a tap. What passes is added to `answers`. */
export async function tapped(berth: Berth, answers: Tapped[]): Promise<Berth> {
  const server = createServer({ keepAliveTimeout }, (incoming, outgoing) => {
    const { method = '', url: path = '', headers } = incoming;
    const upstream = httpRequest(`${berth.url}${path}`, { method, headers, agent: false });
    upstream.on('error', () => outgoing.destroy());
    upstream.on('response', (response) => {
      const kept: Buffer[] = [];
      outgoing.writeHead(response.statusCode ?? 0, response.headers);
      outgoing.flushHeaders();
      response.on('data', (chunk: Buffer) => {
        kept.push(chunk);
        outgoing.write(chunk);
      });
      response.on('error', () => undefined); // 'close' follows, and `complete` tells what matters
      response.on('close', () => {
        const text = Buffer.concat(kept).toString();
        const whole = response.complete && !outgoing.destroyed;
        answers.push({ method, path, status: response.statusCode ?? 0, headers: response.headers, text, whole });
        if (response.complete) outgoing.end();
        else outgoing.destroy();
      });
    });
    outgoing.on('close', () => upstream.destroy());
    incoming.pipe(upstream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    server.closeAllConnections();
    server.close();
    await berth.stop();
  };
  return Object.create(berth, {
    url: { value: `http://127.0.0.1:${port}` },
    stop: { value: stop },
    [Symbol.asyncDispose]: { value: stop },
  }) as Berth;
}
