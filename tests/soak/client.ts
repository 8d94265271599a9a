// One client: sends one try of a request, on a connection of its own, and tells what it heard and how that ended.
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Chance } from '../models/chance.ts';

export interface Shape {
  dialect: 'openai' | 'ollama';
  stream: boolean;
  words: number;
  wordDelayMs: number;
  /** Milliseconds between two chunks that are read; 0 = as they come. */
  readEveryMs: number;
  /** The client leaves after this long; `null` = it stays. */
  leavesAfterMs: number | null;
}

export interface Heard {
  /** 0 = there was no head. */
  status: number;
  text: string;
  /** True when the reply had its proper end. */
  clean: boolean;
  /** When the first word of the answer came, by the clock of this machine; `null` = none came. */
  firstWordMs: number | null;
  /** By this client: it had enough, or it waited longer than anything may take. */
  left: 'early' | 'too late' | null;
  error: string;
}

/** No request of a soak may take longer than this to end, whatever happens. */
const endMsMax = 45_000;

export function drawShape(chance: Chance): Shape {
  const readEveryMs = chance.happens(0.06) ? chance.between(20, 150) : 0;
  return {
    dialect: chance.pick(['openai', 'ollama']),
    stream: chance.happens(0.6),
    words: chance.between(3, 15),
    wordDelayMs: chance.between(1, 16),
    readEveryMs,
    leavesAfterMs: chance.happens(0.08) ? chance.between(5, 400) : null,
  };
}

/** What a whole answer says. */
export function answerOf(nonce: string, { words }: Shape): string {
  return Array.from({ length: words }, (_, at) => `${nonce}${at} `).join('');
}

export function attempt(url: string, nonce: string, shape: Shape): Promise<Heard> {
  const { promise, resolve } = Promise.withResolvers<Heard>();
  const heard: Heard = { status: 0, text: '', clean: false, firstWordMs: null, left: null, error: '' };
  const content = `[[tokenDelayMs=${shape.wordDelayMs}]] ${answerOf(nonce, shape)}`;
  const path = shape.dialect === 'openai' ? '/v1/chat/completions' : '/api/chat';
  const headers = { 'content-type': 'application/json' };
  const outgoing = request(`${url}${path}`, { method: 'POST', agent: false, headers });
  const leave = (why: 'early' | 'too late') => {
    heard.left = why;
    outgoing.destroy();
    end();
  };
  const timers = [setTimeout(() => leave('too late'), endMsMax)];
  if (shape.leavesAfterMs !== null) timers.push(setTimeout(() => leave('early'), shape.leavesAfterMs));
  function end(): void {
    timers.forEach(clearTimeout);
    resolve(heard);
  }
  outgoing.on('error', (error) => {
    heard.error = error.message;
    end();
  });
  outgoing.on('response', (response) => listen(response, nonce, shape.readEveryMs, heard, end));
  outgoing.end(JSON.stringify({ model: 'm', messages: [{ role: 'user', content }], stream: shape.stream }));
  return promise;
}

function listen(response: IncomingMessage, nonce: string, readEveryMs: number, heard: Heard, end: () => void): void {
  heard.status = response.statusCode ?? 0;
  response.setEncoding('utf8').on('data', (chunk: string) => {
    heard.text += chunk;
    if (heard.text.includes(nonce)) heard.firstWordMs ??= Date.now();
    if (readEveryMs === 0) return;
    // The socket, not the response: Node drops what a paused response holds when its connection breaks.
    response.socket.pause();
    setTimeout(() => response.socket.resume(), readEveryMs);
  });
  response.on('error', (error) => (heard.error = error.message)); // 'close' follows
  response.on('close', () => {
    heard.clean = response.complete;
    end();
  });
}
