// Our engine behind the smallest HTTP server that speaks llama-server's `/completion`: `node ours.ts MODEL SLOTS CONTEXT CHUNK`.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';

const [path = '', slots = '1', context = '4096', chunk = '128'] = process.argv.slice(2);
const open = llamaEngines({ env: process.env, tuning: { prefillTokensBusy: Number(chunk) } });
const options = { path, slots: Number(slots), contextTokens: Number(context), threads: 1, gpu: false } as const;
const engine = await open(options, new AbortController().signal);

interface Body {
  prompt: string;
  n_predict: number;
  /** Ours alone: whose cache may be used. */
  scope: string;
}

async function complete(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pieces = await request.toArray();
  const body = JSON.parse(Buffer.concat(pieces).toString()) as Body;
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  response.useChunkedEncodingByDefault = false; // the connection's end ends the answer: a write per event, and no more
  response.writeHead(200, { 'content-type': 'text/event-stream', connection: 'close' });
  try {
    for await (const event of engine.generate(asked(body), gone.signal)) {
      if (event.kind === 'text') response.write(`data: ${JSON.stringify({ content: event.text, stop: false })}\n\n`);
      if (event.kind === 'end')
        response.end(`data: ${JSON.stringify({ content: '', stop: true, usage: event.usage })}\n\n`);
    }
  } catch {
    response.destroy();
  }
}

function asked({ prompt, n_predict, scope }: Body) {
  const none = { topK: null, topP: null, minP: null, repeatPenalty: null, repeatLastN: null };
  const sampling = { ...none, temperature: 0, presencePenalty: null, frequencyPenalty: null, seed: 1 };
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

const server = createServer((request, response) => void complete(request, response));
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
