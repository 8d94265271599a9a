// A client on bare sockets, which sees how a reply really ends.
import { once } from 'node:events';
import { request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** True when the reply had its proper end; false when the connection broke before. */
  clean: boolean;
}

export interface Ask {
  url: string;
  path?: string;
  body: unknown;
  headers?: Record<string, string>;
}

export interface Running {
  readonly text: string;
  readonly headers: Promise<IncomingHttpHeaders>;
  readonly answer: Promise<Answer>;
  /** Settles when the text has come; rejects when the reply ends without it. */
  until(text: string): Promise<void>;
  /** The client closes its connection. */
  abort(): void;
}

/** No answer of a test takes longer; a test that hangs fails by this, and ends the processes that it started. */
const answerMs = 50_000;

/** Sends a request on a connection of its own. */
export function begin({ url, path = '/v1/chat/completions', body, headers = {} }: Ask): Running {
  const outgoing = request(`${url}${path}`, {
    method: 'POST',
    agent: false,
    signal: AbortSignal.timeout(answerMs),
    headers: { 'content-type': 'application/json', ...headers },
  });
  const begun = Promise.withResolvers<IncomingHttpHeaders>();
  const answer = Promise.withResolvers<Answer>();
  const got = { text: '', over: false };
  const waiting = new Set<() => void>();
  const look = () => [...waiting].forEach((each) => each());
  const fail = (error: Error) => {
    got.over = true;
    begun.reject(error);
    answer.reject(error);
    look();
  };

  outgoing.on('error', fail);
  outgoing.on('response', (response) => {
    begun.resolve(response.headers);
    response.setEncoding('utf8').on('data', (chunk: string) => {
      got.text += chunk;
      look();
    });
    response.on('error', () => undefined); // 'close' follows, and `complete` tells what matters
    response.on('close', () => {
      const { statusCode: status = 0, headers, complete: clean } = response;
      got.over = true;
      answer.resolve({ status, headers, text: got.text, clean });
      look();
    });
  });
  // A test that aborts does not look at these.
  begun.promise.catch(() => undefined);
  answer.promise.catch(() => undefined);
  outgoing.end(JSON.stringify(body));

  const until = (text: string) => {
    const found = Promise.withResolvers<void>();
    const check = () => {
      if (!got.over && !got.text.includes(text)) return;
      waiting.delete(check);
      if (got.text.includes(text)) found.resolve();
      else found.reject(new Error(`the reply ended without ${JSON.stringify(text)}: ${got.text}`));
    };
    waiting.add(check);
    check();
    return found.promise;
  };

  return {
    get text() {
      return got.text;
    },
    headers: begun.promise,
    answer: answer.promise,
    until,
    abort: () => outgoing.destroy(),
  };
}

export const ask = (it: Ask): Promise<Answer> => begin(it).answer;

/** A chat in the words of OpenAI and Ollama alike; the text may carry the echo engine's directives. */
export function chat(text: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { model: 'm', messages: [{ role: 'user', content: text }], ...more };
}

/** The text of a streamed or whole OpenAI reply; an error is told as it is. */
export function openaiText(reply: string): string {
  if (!reply.startsWith('data:') && !reply.startsWith(':')) {
    const { choices }: { choices?: { message: { content: string } }[] } = JSON.parse(reply);
    return choices?.[0]?.message.content ?? reply;
  }
  const frames = reply.split('\n').filter((line) => line.startsWith('data: {'));
  return frames.map(deltaOf).join('');
}

function deltaOf(frame: string): string {
  const { choices }: { choices?: { delta: { content?: string } }[] } = JSON.parse(frame.slice('data: '.length));
  return choices?.[0]?.delta.content ?? '';
}

export interface OllamaLine {
  created_at?: string;
  done: boolean;
  error?: string;
  response?: string;
  message?: { content: string };
}

export function ollamaLines(reply: string): OllamaLine[] {
  return reply
    .split('\n')
    .filter((line) => line !== '')
    .map((line): OllamaLine => JSON.parse(line));
}

/** What a raw socket gets in answer to a request, up to the end of the connection. */
export async function rawAnswer(it: Ask, onBytes: (soFar: string) => void): Promise<string> {
  const { hostname, port, host } = new URL(it.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  const body = JSON.stringify(it.body);
  const { path = '/v1/chat/completions' } = it;
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  let bytes = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    bytes += chunk;
    onBytes(bytes);
  });
  socket.on('error', () => undefined); // a reset is one of the ways to end
  await once(socket, 'close');
  return bytes;
}
