// A model server of the team's on a real socket, in the protocol of Ollama, vLLM, llama-server or OpenAI: it echoes, and
// does wrong when a test says so: hangs, dies in mid-stream, lies, refuses, wants a key, or is a web page.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type UpstreamKind = 'ollama' | 'vllm' | 'llama-server' | 'openai';

interface Model {
  id: string;
  loaded: boolean;
  capabilities: string[];
}

/** How it behaves from now on. */
interface Behaviour {
  /** Takes connections and tells of its models, but no work of it ever ends. */
  hangs: boolean;
  /** Between two tokens. */
  tokenMs: number;
  /** Breaks the connection after so many tokens. */
  diesAfter: number | null;
  /** Ends the reply cleanly after so many tokens, as if that were all. */
  stopsAfter: number | null;
  /** Answers all work with this. */
  refuses: { status: number; body: string } | null;
  /** Tells of an error in mid-stream, after so many tokens. */
  failsAfter: number | null;
  key: string | null;
  /** Answers everything with a page. */
  isPage: boolean;
  loads: 'well' | 'never';
  /** What it answers, token by token, to everybody; `null` = it echoes. */
  says: readonly string[] | null;
}

interface Request {
  path: string;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
  /** The caller left before the end. */
  left: boolean;
}

export interface Upstream extends AsyncDisposable {
  readonly url: string;
  /** Requests for work, in order; canaries too. */
  readonly seen: Request[];
  readonly models: Map<string, Model>;
  behave(change: Partial<Behaviour>): void;
  running(): number;
  mostAtOnce(): number;
  /** Takes no connections any more and cuts those that are open. */
  vanish(): Promise<void>;
  comeBack(): Promise<void>;
}

const well: Behaviour = {
  hangs: false,
  tokenMs: 0,
  diesAfter: null,
  stopsAfter: null,
  refuses: null,
  failsAfter: null,
  key: null,
  isPage: false,
  loads: 'well',
  says: null,
};

export interface UpstreamOptions {
  kind: UpstreamKind;
  models?: readonly (string | Model)[];
  behaviour?: Partial<Behaviour>;
  /** Of a llama-server. */
  slots?: number;
  /** Any free one unless it is given. */
  at?: number;
}

export async function startUpstream({
  kind,
  models = ['m'],
  behaviour,
  slots = 8,
  at = 0,
}: UpstreamOptions): Promise<Upstream> {
  const known = new Map(
    models.map((model): [string, Model] => {
      const each =
        typeof model === 'string' ? { id: model, loaded: true, capabilities: ['completion', 'tools'] } : model;
      return [each.id, { ...each }];
    }),
  );
  const now = { ...well, ...behaviour };
  const seen: Request[] = [];
  let running = 0;
  let most = 0;
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  await listen(server, at);
  const { port } = server.address() as AddressInfo;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request;
    response.on('error', () => {});
    if (now.isPage) return page(response);
    if (now.key !== null && headers.authorization !== `Bearer ${now.key}`)
      return json(response, { error: { message: 'no key' } }, 401);
    if (method === 'GET') return told(response, path);
    let text = '';
    for await (const chunk of request as AsyncIterable<Buffer>) text += chunk.toString('utf8');
    const body = JSON.parse(text) as Record<string, unknown>;
    if (path === '/api/show') return show(response, textOf(body['model']));
    const entry: Request = { path, headers, body, left: false };
    seen.push(entry);
    running += 1;
    most = Math.max(most, running);
    const gone = new AbortController();
    response.on('close', () => {
      running -= 1;
      entry.left = !response.writableFinished;
      gone.abort();
    });
    await work(entry, response, gone.signal);
  }

  function told(response: ServerResponse, path: string): void {
    const all = [...known.values()];
    if (path === '/v1/models') return json(response, { object: 'list', data: all.map((model) => listed(kind, model)) });
    if (kind === 'llama-server' && path === '/props') {
      const modalities = { vision: all[0]?.capabilities.includes('vision') ?? false, audio: false };
      const default_generation_settings = { n_ctx: 2_048 };
      return json(response, {
        total_slots: slots,
        modalities,
        default_generation_settings,
        chat_template: '{{ tools }}',
      });
    }
    if (kind === 'ollama' && path === '/api/version') return json(response, { version: '0.13.0' });
    if (kind === 'ollama' && path === '/api/tags') return json(response, { models: all.map(tagged) });
    if (kind === 'ollama' && path === '/api/ps') {
      const loaded = all.filter((model) => model.loaded);
      const more = { expires_at: new Date(Date.now() + 300_000).toISOString(), size_vram: 7, context_length: 4_096 };
      return json(response, { models: loaded.map((model) => ({ ...tagged(model), ...more })) });
    }
    json(response, { error: 'not found' }, 404);
  }

  function show(response: ServerResponse, id: string): void {
    const model = known.get(id);
    if (kind !== 'ollama' || !model) return json(response, { error: `model '${id}' not found` }, 404);
    const model_info = { 'general.architecture': 'llama', 'llama.context_length': 8_192 };
    json(response, {
      capabilities: model.capabilities,
      model_info,
      details: { family: 'llama' },
      template: '{{ .Prompt }}',
    });
  }

  async function work({ path, body }: Request, response: ServerResponse, gone: AbortSignal): Promise<void> {
    if (now.hangs) return;
    if (now.refuses) return text(response, now.refuses.status, now.refuses.body);
    const model = known.get(textOf(body['model']) || ([...known.keys()][0] ?? ''));
    if (!model) return json(response, { error: { message: `model ${textOf(body['model'])} not found` } }, 404);
    if (isEmbedding(path)) return embed(response, path, body);
    if (path === '/tokenize' || path === '/detokenize') return tokens(response, path, body);
    const canGenerate = model.capabilities.includes('completion');
    if (!canGenerate) return json(response, { error: { message: 'this model does not generate' } }, 400);
    if (path === '/api/generate' && !body['prompt'] && !body['images']) return await load(response, model, body);
    model.loaded = true;
    const writer = path.startsWith('/api/') ? lines(path, body) : chunks(path, body);
    await write(
      response,
      writer,
      wordsOf(body, now.says),
      body['stream'] !== false && (body['stream'] === true || path.startsWith('/api/')),
      gone,
    );
  }

  async function load(response: ServerResponse, model: Model, body: Record<string, unknown>): Promise<void> {
    if (now.loads === 'never') return json(response, { error: 'llama runner process has terminated' }, 500);
    model.loaded = body['keep_alive'] !== 0;
    json(response, { model: model.id, response: '', done: true, done_reason: model.loaded ? 'load' : 'unload' });
  }

  /** Every word is a token. */
  async function write(
    response: ServerResponse,
    writer: Writer,
    words: string[],
    stream: boolean,
    gone: AbortSignal,
  ): Promise<void> {
    if (!stream) {
      if (now.tokenMs > 0) await sleep(now.tokenMs * words.length, gone);
      return json(response, writer.whole(words));
    }
    response.writeHead(200, { 'content-type': writer.type });
    response.flushHeaders();
    for (const [index, word] of words.entries()) {
      if (now.hangs) return;
      if (index === now.diesAfter) return void response.destroy();
      if (index === now.stopsAfter) return void response.end();
      if (index === now.failsAfter) return void response.end(writer.error('the runner has died'));
      if (now.tokenMs > 0) await sleep(now.tokenMs, gone);
      if (gone.aborted) return;
      // What was written has left when the connection breaks.
      await new Promise((resolve) => response.write(writer.piece(word), resolve));
    }
    response.end(writer.last(words));
  }

  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    models: known,
    behave: (change) => void Object.assign(now, change),
    running: () => running,
    mostAtOnce: () => most,
    vanish: () => close(server),
    comeBack: () => listen(server, port),
    [Symbol.asyncDispose]: () => close(server),
  };
}

async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function sleep(ms: number, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    gone.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function text(response: ServerResponse, status: number, body: string): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body);
}

function json(response: ServerResponse, body: unknown, status = 200): void {
  text(response, status, JSON.stringify(body));
}

function page(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>A page</title>');
}

function listed(kind: UpstreamKind, { id }: Model) {
  const owner = { ollama: 'library', vllm: 'vllm', 'llama-server': 'llamacpp', openai: 'somebody' }[kind];
  const more = {
    ollama: {},
    vllm: { max_model_len: 4_096 },
    'llama-server': { meta: { n_ctx_train: 8_192, n_params: 1_000_000, size: 1_000_000 } },
    openai: {},
  }[kind];
  return { id, object: 'model', created: 1_700_000_000, owned_by: owner, ...more };
}

function tagged({ id }: Model) {
  const details = { family: 'llama', parameter_size: '1M', quantization_level: 'Q8_0' };
  const times = { modified_at: '2026-11-01T00:00:00Z' };
  return { name: id, model: id, size: 1_000_000, digest: 'b'.repeat(64), details, ...times };
}

const isEmbedding = (path: string) => path === '/v1/embeddings' || path === '/api/embed';

function embed(response: ServerResponse, path: string, { input }: Record<string, unknown>): void {
  const inputs = Array.isArray(input) ? input : [input];
  const vector = (text: unknown) => [3, 4, String(text).length];
  if (path === '/api/embed') {
    return json(response, { model: 'x', embeddings: inputs.map(vector), prompt_eval_count: inputs.length });
  }
  const data = inputs.map((each, index) => ({ object: 'embedding', index, embedding: vector(each) }));
  json(response, { object: 'list', data, usage: { prompt_tokens: inputs.length } });
}

function tokens(response: ServerResponse, path: string, body: Record<string, unknown>): void {
  const text = textOf(body['content']) || textOf(body['prompt']);
  if (path === '/detokenize') return json(response, { content: 'text', prompt: 'text' });
  json(response, { tokens: text.split(' ').map((_, index) => index) });
}

/** What it echoes: the last message or the prompt, each word a token; a marked word is thought or a call. */
function wordsOf(body: Record<string, unknown>, says: readonly string[] | null): string[] {
  const messages = body['messages'] as { content: unknown }[] | undefined;
  const content = messages?.at(-1)?.content;
  const said = Array.isArray(content) ? JSON.stringify(content) : textOf(content) || textOf(body['prompt']);
  const options = (body['options'] ?? {}) as Record<string, unknown>;
  const most = Number(body['max_tokens'] ?? body['max_completion_tokens'] ?? options['num_predict'] ?? Infinity);
  const words = says ?? said.split(/(?= )/);
  return words.slice(0, most > 0 ? most : Infinity);
}

interface Writer {
  type: string;
  piece(word: string): string;
  last(words: string[]): string;
  whole(words: string[]): unknown;
  error(message: string): string;
}

const usageOf = (words: string[]) => ({
  prompt_tokens: 5,
  completion_tokens: words.length,
  total_tokens: 5 + words.length,
});

let replies = 0;

/** `<think>` before a word makes it a thought, `<call>` a call of the tool `look` with the rest as its place. */
function chunks(path: string, body: Record<string, unknown>): Writer {
  const isChat = path === '/v1/chat/completions';
  const head = {
    id: `up-${(replies += 1)}`,
    object: isChat ? 'chat.completion.chunk' : 'text_completion',
    created: 1,
    model: body['model'],
  };
  const frame = (fields: object) => `data: ${JSON.stringify({ ...head, ...fields })}\n\n`;
  const called = (word: string) => JSON.stringify({ place: word.split('<call>')[1] });
  const delta = (word: string) => {
    if (word.includes('<think>')) return { reasoning_content: word.replace('<think>', '') };
    if (!word.includes('<call>')) return { content: word };
    return {
      tool_calls: [{ index: 0, id: 'c1', type: 'function', function: { name: 'look', arguments: called(word) } }],
    };
  };
  const choice = (word: string) => (isChat ? { delta: delta(word) } : { text: word });
  const finish = (words: string[]) => (words.some((word) => word.includes('<call>')) ? 'tool_calls' : 'stop');
  const wantsUsage = (body['stream_options'] as { include_usage?: boolean } | undefined)?.include_usage === true;
  return {
    type: 'text/event-stream',
    piece: (word) => frame({ choices: [{ index: 0, ...choice(word), finish_reason: null }] }),
    last: (words) => {
      const end = frame({
        choices: [{ index: 0, ...(isChat ? { delta: {} } : { text: '' }), finish_reason: finish(words) }],
      });
      const usage = wantsUsage ? frame({ choices: [], usage: usageOf(words) }) : '';
      return `${end}${usage}data: [DONE]\n\n`;
    },
    whole: (words) => ({
      ...head,
      choices: [{ index: 0, ...(isChat ? { message: { content: words.join('') } } : { text: words.join('') }) }],
      usage: usageOf(words),
    }),
    error: (message) => `data: ${JSON.stringify({ error: { message } })}\n\n`,
  };
}

function lines(path: string, body: Record<string, unknown>): Writer {
  const isChat = path === '/api/chat';
  const head = { model: body['model'], created_at: '2026-11-30T00:00:00Z' };
  const says = (word: string) => (isChat ? { message: { role: 'assistant', content: word } } : { response: word });
  const end = (words: string[]) => ({
    done: true,
    done_reason: 'stop',
    total_duration: 5e6,
    load_duration: 1e6,
    prompt_eval_count: 5,
    prompt_eval_duration: 2e6,
    eval_count: words.length,
    eval_duration: 2e6,
  });
  const line = (fields: object) => `${JSON.stringify({ ...head, ...fields })}\n`;
  return {
    type: 'application/x-ndjson',
    piece: (word) => line({ ...says(word), done: false }),
    last: (words) => line({ ...says(''), ...end(words) }),
    whole: (words) => ({ ...head, ...says(words.join('')), ...end(words) }),
    error: (message) => line({ error: message }),
  };
}
