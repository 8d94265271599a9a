// Requests that are cheap to send and dear to read: what they cost everybody else, as the event loop's longest stop and
// as memory. FIGURES=1 tells the numbers that SECURITY.md has.
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { locked, root } from './policy/calls.ts';
import { ask } from './rig.ts';
import type { Ask, Rig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await locked({ workers: [{ slots: 8 }] });
});
afterAll(() => rig[Symbol.asyncDispose]());

/** What the tests send at most: the default of MAX_BODY. */
const bytesMax = 4 * 2 ** 20;
const filled = (start: string, piece: string, end: string) =>
  start + piece.repeat(Math.floor((bytesMax - start.length - end.length) / piece.length)) + end;
const chat = (rest: string) => `{"model":"tiny","messages":[{"role":"user","content":"x"}],${rest}}`;
const inArguments = (text: string) =>
  JSON.stringify({
    model: 'tiny',
    messages: [{ role: 'assistant', tool_calls: [{ id: 'a', function: { name: 'f', arguments: text } }] }],
  });
const zeros = Buffer.alloc(64 * 2 ** 20);
const brotli = () => brotliCompressSync(zeros, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
const coded = (encoding: string, body: Buffer): Ask => ({ body, headers: { 'content-encoding': encoding } });
const header = (name: string, value: string): Ask => ({ headers: { [name]: value } });
const wide = 15_000;

const bombs: Record<string, () => Ask> = {
  'gzip of 64 MB': () => coded('gzip', gzipSync(zeros, { level: 1 })),
  'deflate of 64 MB': () => coded('deflate', deflateSync(zeros, { level: 1 })),
  'brotli of 64 MB': () => coded('br', brotli()),
  'gzip in gzip': () => coded('gzip, gzip', gzipSync(gzipSync(zeros, { level: 1 }))),
  'brackets without end': () => ({ body: filled('', '[', '') }),
  'objects without end': () => ({ body: filled('', '{"a":', '') }),
  'two million empty lists': () => ({ body: filled(chat('"x":[').slice(0, -1), '[],', '[]]}') }),
  'a million numbers': () => ({ body: filled(chat('"stop":[').slice(0, -1), '1,', '1]}') }),
  'names without end': () => ({
    body: chat(Array.from({ length: 300_000 }, (_, at) => `"n${at}":0`).join(',')),
  }),
  'numbers as names': () => ({
    body: chat(`"logit_bias":{${Array.from({ length: 300_000 }, (_, at) => `"${at * 7}":0`).join(',')}}`),
  }),
  'a number of four million digits': () => ({ body: filled(chat('"seed":').slice(0, -1), '1', '}') }),
  'escapes without end': () => ({ body: filled('{"model":"tiny","prompt":"', '\\u0000', '"}') }),
  'backslashes without end': () => ({ body: filled('{"model":"', '\\\\', '') }),
  'quotes without end': () => ({ body: filled('{"model":"', '\\"', '') }),
  'blanks without end': () => ({ body: filled('{', ' ', '') }),
  'a fault behind four million lines': () => ({ body: filled('{', '\n', '!') }),
  'brackets in a call': () => ({ body: inArguments(`{"a":${'['.repeat(bytesMax / 2 - 100)}`) }),
  'closed brackets in a call': () => ({
    body: inArguments(`{"a":${'['.repeat(bytesMax / 4)}${']'.repeat(bytesMax / 4)}}`),
  }),
  'lists in a call': () => ({ body: inArguments(`{"a":[${'[],'.repeat(bytesMax / 4)}0]}`) }),
  'a schema of 4 MB': () => ({ body: filled(chat('"json_schema":{"enum":[').slice(0, -1), '"aaaa",', '""]}}') }),
  'a schema of 60 levels': () => ({
    body: chat(`"json_schema":${'{"items":'.repeat(50)}{}${'}'.repeat(50)}`),
  }),
  'a schema with a regex': () => ({
    body: chat(`"json_schema":{"type":"string","pattern":"^(a+)+$","x":"${'a'.repeat(60_000)}!"}`),
  }),
  'four thousand messages': () => ({
    body: JSON.stringify({
      model: 'tiny',
      messages: Array.from({ length: 5_000 }, () => ({ role: 'user', content: 'x' })),
    }),
  }),
  'a keep-alive of hours': () => ({ path: '/api/chat', body: chat(`"keep_alive":"${'1h'.repeat(100_000)}x"`) }),
  'a model name without end': () => ({ body: filled('{"model":"', 'a/', '","messages":[]}') }),
  'a grammar of brackets': () => ({ body: filled(chat('"grammar":"root ::= ').slice(0, -1), '(', '"}') }),
  'a credential without end': () => header('authorization', `Bearer ${'Bearer '.repeat(wide / 7)}`),
  'cookies without end': () => header('cookie', 'berth_session=a.b; '.repeat(wide / 20)),
  'an origin without end': () => header('origin', `https://${'a.'.repeat(wide / 2)}`),
  'a host without end': () => header('host', 'a.'.repeat(wide / 2)),
  'hops without end': () => header('x-forwarded-for', '10.0.0.1, '.repeat(wide / 10)),
  'a trace without end': () => header('traceparent', '00-'.repeat(wide / 3)),
  'a path without end': () => ({ path: `/${'a/../'.repeat(wide / 5)}` }),
};

/** Far above what a loaded test machine needs; what is quadratic in 4 MB takes minutes. */
const stopMsMax = 5_000;
const growthBytesMax = 256 * 2 ** 20;

test.each(Object.entries(bombs))('%s', async (name, bomb) => {
  const sent = bomb();
  const headers = { authorization: `Bearer ${root}`, ...sent.headers };
  const before = process.memoryUsage().rss;
  const delay = monitorEventLoopDelay({ resolution: 1 });
  // One at a time, as a client would, and often enough for what stays to be seen.
  const statuses = new Set<number>();
  delay.enable();
  for (let times = 0; times < 2; times += 1) {
    const { status } = await ask(rig, { ...sent, headers }).answer.catch(() => ({ status: 0 }));
    statuses.add(status);
  }
  delay.disable();
  const stopMs = delay.max / 1e6;
  const grownBytes = process.memoryUsage().rss - before;
  if (process.env['FIGURES']) {
    console.log(`${name}: ${[...statuses].join()}, ${stopMs.toFixed(0)} ms, ${(grownBytes / 2 ** 20).toFixed(0)} MB`);
  }
  // Refused, or answered; a body that is not read to its end may meet a closed connection.
  expect([...statuses].filter((status) => status >= 500)).toEqual([]);
  expect(stopMs).toBeLessThan(stopMsMax);
  expect(grownBytes).toBeLessThan(growthBytesMax);
  const after = await ask(rig, { headers: { authorization: `Bearer ${root}` } }).answer;
  expect(after.status).toBe(200);
});
