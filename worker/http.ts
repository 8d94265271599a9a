// The worker's HTTP server: who may call is asked first, then the route.
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { checkCall } from '@berth/shared/auth.ts';
import type { Checked } from '@berth/shared/auth.ts';
import { parseOllamaEmbed, parseOllamaEmbeddings, parseOpenaiEmbeddings } from '@berth/shared/dialects/embeddings.ts';
import { ollama, parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { openai, parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import { parseDetokenize, parseTokenize } from '@berth/shared/dialects/tokens.ts';
import { serveGeneration } from './generate.ts';
import type { Endpoint, Kit } from './generate.ts';
import { reasonOf } from './reason.ts';
import { completionReply } from './replies/completions.ts';
import { ollamaReply } from './replies/ollama.ts';
import { openaiReply } from './replies/openai.ts';
import { serveShow } from './show.ts';
import type { ShowKit } from './show.ts';

/** The paths and bodies are the client's own: a gateway forwards the bytes that it has validated. */
const endpoints: Readonly<Record<string, Endpoint>> = {
  '/v1/chat/completions': { dialect: openai, parse: parseOpenaiChat, reply: openaiReply },
  '/v1/completions': { dialect: openai, parse: parseOpenaiCompletion, reply: completionReply },
  '/v1/embeddings': { dialect: openai, parse: parseOpenaiEmbeddings, reply: null },
  '/tokenize': { dialect: openai, parse: parseTokenize, reply: null },
  '/detokenize': { dialect: openai, parse: parseDetokenize, reply: null },
  '/api/embed': { dialect: ollama, parse: parseOllamaEmbed, reply: null },
  '/api/embeddings': { dialect: ollama, parse: parseOllamaEmbeddings, reply: null },
  '/api/chat': { dialect: ollama, parse: parseOllamaChat, reply: ollamaReply },
  '/api/generate': { dialect: ollama, parse: parseOllamaGenerate, reply: ollamaReply },
};

/**
 * Node's defaults let a slow caller hold a connection for 30 s and more (reliability.md §3.2, measured).
 * The keep-alive is longer than a gateway's idle time (30 s), so that the worker never closes a connection
 * that is just being used again.
 */
const limits = {
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16 * 1_024,
  requireHostHeader: true,
  noDelay: true,
};

export interface ServerOptions extends Kit, ShowKit {
  secret: string;
}

export function createWorkerServer(options: ServerOptions): Server {
  const complain = forgeryLog(options);
  return createServer(limits, (request, response) => {
    route(options, complain, request, response).catch((error: unknown) => {
      options.log.error('a request ended in an unforeseen way', { reason: reasonOf(error) });
      response.destroy();
    });
  });
}

/**
 * 1. `/livez` says nothing but that the process answers, so it answers everybody.
 * 2. Everything else needs the pool's signature; `/metrics` answers loopback too, because a scraper cannot sign and
 *    a scrape names models and counts: from other hosts it comes through a gateway, which signs.
 * 3. A gateway that has ordered a load says so: the next beat, which brings the order, need not be waited for.
 */
async function route(
  options: ServerOptions,
  complain: (why: 'unsigned' | 'expired' | 'forged') => void,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = '', url = '' } = request;
  if (url === '/livez' && (method === 'GET' || method === 'HEAD')) return plain(response, 200, '{"status":"ok"}'); // 1
  const scrape = url === '/metrics' && method === 'GET';
  if (scrape && isLoopback(request.socket.remoteAddress)) return metrics(options, request, response); // 2
  const checked: Checked = checkCall(options.secret, method, url, request.headers, options.clock.now());
  if (checked.kind === 'refused') {
    complain(checked.why);
    return plain(response, 401, `{"error":"this call is ${checked.why}: only gateways of the pool are answered"}`);
  }
  if (scrape) return metrics(options, request, response);
  if (method === 'POST' && url === '/api/show') return await serveShow(options, checked.call, request, response);
  if (method === 'POST' && url === '/internal/beat') return beatNow(options, response); // 3
  const endpoint = method === 'POST' && Object.hasOwn(endpoints, url) ? endpoints[url] : undefined;
  if (endpoint === undefined) return plain(response, 404, '{"error":"there is nothing here"}');
  await serveGeneration(options, endpoint, checked.call, request, response);
}

function plain(response: ServerResponse, status: number, body: string): void {
  const length = Buffer.byteLength(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': length }).end(body);
}

function beatNow({ onNews }: ServerOptions, response: ServerResponse): void {
  onNews();
  plain(response, 200, '{}');
}

async function metrics(
  { metrics, slots, embedSlots, residency }: ServerOptions,
  { headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { text, contentType } = await metrics.scrape({ slots, embedSlots, residency }, headers.accept);
  response.writeHead(200, { 'content-type': contentType }).end(text);
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(::1|(::ffff:)?127\.)/.test(address);
}

/** At most one line in this time: a stranger who knocks must not fill the log. */
const complainEveryMs = 10_000;

const advice = {
  unsigned: 'a call without a signature was refused',
  forged: 'a call with a wrong signature was refused: CLUSTER_SECRET must be the same in the whole pool',
  expired: 'a call with an old signature was refused: the clocks of gateway and worker differ by more than 30 s',
};

function forgeryLog({ clock, log, metrics }: ServerOptions): (why: 'unsigned' | 'expired' | 'forged') => void {
  let quietUntilMs = Number.NEGATIVE_INFINITY;
  return (why) => {
    metrics.refused(why);
    if (clock.monotonic() < quietUntilMs) return;
    quietUntilMs = clock.monotonic() + complainEveryMs;
    log.warn(advice[why]);
  };
}
