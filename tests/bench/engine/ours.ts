// Our engine behind as little HTTP as llama-server's `/completion` takes: `node ours.ts MODEL SLOTS CONTEXT CHUNK`. How the
// worker's own HTTP does is the gateway benchmark's matter.
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';

const [path = '', slots = '1', context = '4096', chunk = '128'] = process.argv.slice(2);
const open = llamaEngines({ env: process.env, tuning: { prefillTokensBusy: Number(chunk) } });
const options = { path, slots: Number(slots), contextTokens: Number(context), threads: 1, gpu: false } as const;
const engine = await open(options, new AbortController().signal);

interface Body {
  prompt: string;
  n_predict: number;
  logit_bias: [token: number, bias: number][];
  /** Ours alone: whose cache may be used. */
  scope: string;
}

/** What is told together is written together, as Node's own HTTP server does. */
function cork(socket: Socket): void {
  if (socket.writableCorked > 0) return;
  socket.cork();
  process.nextTick(() => socket.uncork());
}

const head = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n';

/** One request of a connection, whose end is the answer's end. */
function serve(socket: Socket): void {
  const gone = new AbortController();
  let received = '';
  socket.setEncoding('utf8');
  socket.on('error', () => undefined);
  socket.once('close', () => gone.abort());
  socket.on('data', (text: string) => {
    received += text;
    const [headers = '', body] = received.split('\r\n\r\n', 2);
    const bytes = Number(/^content-length: (\d+)/im.exec(headers)?.[1]);
    if (body !== undefined && Buffer.byteLength(body) === bytes) void complete(JSON.parse(body), socket, gone.signal);
  });
}

async function complete(body: Body, socket: Socket, signal: AbortSignal): Promise<void> {
  socket.write(head);
  try {
    for await (const event of engine.generate(asked(body), signal)) {
      cork(socket);
      if (event.kind === 'text') socket.write(`data: ${JSON.stringify({ content: event.text, stop: false })}\n\n`);
      if (event.kind === 'end')
        socket.end(`data: ${JSON.stringify({ content: '', stop: true, usage: event.usage })}\n\n`);
    }
  } catch {
    socket.destroy();
  }
}

function asked({ prompt, n_predict, logit_bias, scope }: Body) {
  const none = { topK: null, topP: null, minP: null, repeatPenalty: null, repeatLastN: null };
  const sampling = {
    ...none,
    temperature: 0,
    presencePenalty: null,
    frequencyPenalty: null,
    seed: 1,
    logitBias: logit_bias,
  };
  const raw = { kind: 'raw', text: prompt } as const;
  return {
    prompt: raw,
    sampling,
    maxTokens: n_predict,
    stop: [],
    format: { kind: 'text' } as const,
    cacheScope: scope,
  };
}

const server = createServer({ noDelay: true }, serve);
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
