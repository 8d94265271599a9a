// The proxy http-proxy-3 alone, as one would write it by hand: round robin over the workers, with a keep-alive agent.
// Started as a process of its own: `node http-proxy.ts` with UPSTREAM_PORTS.
import { Agent, ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createProxyServer } from 'http-proxy-3';

const targets = (process.env['UPSTREAM_PORTS'] ?? '').split(',').map((port) => `http://127.0.0.1:${port}`);
const proxy = createProxyServer({ agent: new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY }) });
proxy.on('error', (_error, _request, response) => {
  if (response instanceof ServerResponse && !response.headersSent) response.writeHead(502);
  response.end();
});
// Without this a worker's death leaves the client hanging (measured in an earlier prototype).
proxy.on('proxyRes', (upstream, _request, response) => upstream.once('error', () => response.destroy()));

let next = 0;
const server = createServer({ noDelay: true }, (request, response) => {
  next = (next + 1) % targets.length;
  proxy.web(request, response, { target: targets[next] ?? '' });
});
process.on('disconnect', () => process.exit(0));
server.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 }, () => {
  process.send?.({ ready: true, port: (server.address() as AddressInfo).port });
});
