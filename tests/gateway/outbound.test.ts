// Nothing in a request makes anybody fetch anything: a server counts its connections while its address stands in every
// place where a URL could.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { systemClock } from '@berth/shared/clock.ts';
import { aWorker } from '../worker/a-worker.ts';
import type { TestWorker } from '../worker/a-worker.ts';
import { ask, secret, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

let rig: Rig;
let worker: TestWorker;
let connections = 0;
const server = createServer((_, response) => response.end('{}')).on('connection', () => (connections += 1));
let url = '';
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/image.png`;
  rig = await startRig({ workers: [], clock: systemClock });
  worker = await aWorker({ ledger: rig.ledger, secret });
  const status = async () => (await ask(rig, { body: JSON.stringify(chat()) }).answer).status;
  await vi.waitFor(async () => expect(await status()).toBe(200), { timeout: 10_000 });
});
afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
  server.close();
});

const chat = (more: object = {}) => ({ model: 'm', messages: [{ role: 'user', content: 'hello' }], ...more });
const says = (content: unknown, more: object = {}) => chat({ messages: [{ role: 'user', content, ...more }] });
const schema = () => ({ type: 'object', properties: { a: { $ref: url } } });

/** What a client may write, and whether it is answered or refused. */
const bodies: [string, string, () => object, number][] = [
  ['an image', '/v1/chat/completions', () => says([{ type: 'image_url', image_url: { url } }]), 400],
  ['an image as text', '/v1/chat/completions', () => says([{ type: 'image_url', image_url: url }]), 400],
  ['an image of a new type', '/v1/chat/completions', () => says([{ type: 'input_image', image_url: url }]), 400],
  ['a sound', '/v1/chat/completions', () => says([{ type: 'input_audio', input_audio: { url } }]), 400],
  ['a file', '/v1/chat/completions', () => says([{ type: 'file', file: { file_url: url } }]), 400],
  ['an image of Ollama', '/api/chat', () => says('hello', { images: [url] }), 400],
  ['an image of Ollama', '/api/generate', () => ({ model: 'm', prompt: 'x', images: [url] }), 400],
  ['a picture in Markdown', '/v1/chat/completions', () => says(`![x](${url})`), 200],
  ['a link in a text', '/api/generate', () => ({ model: 'm', prompt: url, stream: false }), 200],
  ['a schema elsewhere', '/api/chat', () => chat({ format: schema(), stream: false }), 200],
  ['a schema elsewhere', '/v1/chat/completions', () => chat({ json_schema: schema() }), 200],
  [
    'a tool’s schema',
    '/v1/chat/completions',
    () => chat({ tools: [{ type: 'function', function: { name: 'f', parameters: schema() } }] }),
    400,
  ],
  ['a place to report to', '/v1/chat/completions', () => chat({ callback: url, webhook_url: url, user: url }), 200],
  ['another server', '/v1/chat/completions', () => chat({ api_base: url, base_url: url, endpoint: url }), 200],
  ['a model', '/v1/chat/completions', () => chat({ model: url }), 404],
  ['a model', '/api/chat', () => chat({ model: url }), 404],
  ['a model', '/api/show', () => ({ model: url }), 404],
  ['a text to tokenize', '/tokenize', () => ({ model: 'm', content: url }), 200],
];

test.each(bodies)('%s in a body for %s', async (_what, path, body, status) => {
  const headers = { referer: url, 'x-forwarded-host': new URL(url).host, 'x-original-url': url, link: `<${url}>` };
  const answer = await ask(rig, { path, headers, body: JSON.stringify(body()) }).answer;
  expect([answer.status, connections]).toEqual([status, 0]);
});

test('the server does count who comes', async () => {
  await (await fetch(url)).text();
  expect(connections).toBe(1);
});
