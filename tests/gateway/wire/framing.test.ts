// Requests whose ends could be read in two ways, in every method, with and without another one behind them on the
// connection. The judge is what reaches the worker: a request that hides in a body never does.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chat, raw, startRig, wire } from '../rig.ts';
import type { Rig } from '../rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ workers: [{ slots: 8 }] });
});
afterAll(() => rig[Symbol.asyncDispose]());

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];
const paths = ['/v1/chat/completions', '/api/chat', '/v1/models', '/nothing'];
const hidden = wire(chat({ user: 'smuggled' }));
const behind = wire(chat({ user: 'behind' }), { connection: 'close' });
const chunk = (text: string) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const chunked = `${chunk(hidden)}0\r\n\r\n`;
const length = Buffer.byteLength(hidden);

interface Framing {
  headers: string[];
  body: string;
  version?: string;
  /** Whether two programs may read it differently: then nothing of it and after it may get through. */
  doubtful: boolean;
  /** It is wrong in the body. */
  late?: true;
}

/** By what it does. Every body holds a whole request. */
const framings: Record<string, Framing> = {
  'a length': { headers: [`content-length: ${length}`], body: hidden, doubtful: false },
  chunks: { headers: ['transfer-encoding: chunked'], body: chunked, doubtful: false },
  'chunks in capitals': { headers: ['Transfer-Encoding: Chunked'], body: chunked, doubtful: false },
  'chunks with an extension': {
    headers: ['transfer-encoding: chunked'],
    body: chunked.replace('\r\n', ';name=value\r\n'),
    doubtful: false,
  },
  'chunks with trailers': {
    headers: ['transfer-encoding: chunked'],
    body: chunked.replace(/0\r\n\r\n$/, '0\r\nhost: evil\r\ncontent-length: 5\r\n\r\n'),
    doubtful: false,
  },
  'a length and chunks': {
    headers: [`content-length: ${length}`, 'transfer-encoding: chunked'],
    body: chunked,
    doubtful: true,
  },
  'chunks and no length': {
    headers: ['transfer-encoding: chunked', 'content-length: 0'],
    body: chunked,
    doubtful: true,
  },
  'two lengths': { headers: ['content-length: 0', `content-length: ${length}`], body: hidden, doubtful: true },
  'the same length twice': {
    headers: [`content-length: ${length}`, `Content-Length: ${length}`],
    body: hidden,
    doubtful: true,
  },
  'two lengths in one line': { headers: [`content-length: 0, ${length}`], body: hidden, doubtful: true },
  'a signed length': { headers: [`content-length: +${length}`], body: hidden, doubtful: true },
  'a length in hex': { headers: [`content-length: 0x${length.toString(16)}`], body: hidden, doubtful: true },
  'a length and a space before the colon': { headers: [`content-length : ${length}`], body: hidden, doubtful: true },
  'two encodings': {
    headers: ['transfer-encoding: chunked', 'transfer-encoding: identity'],
    body: chunked,
    doubtful: true,
  },
  'identity, chunked': { headers: ['transfer-encoding: identity, chunked'], body: chunked, doubtful: true },
  'gzip, chunked': { headers: ['transfer-encoding: gzip, chunked'], body: chunked, doubtful: true },
  'chunked, identity': { headers: ['transfer-encoding: chunked, identity'], body: chunked, doubtful: true },
  'chunked twice': { headers: ['transfer-encoding: chunked, chunked'], body: chunked, doubtful: true },
  'an unknown encoding': { headers: ['transfer-encoding: xchunked'], body: chunked, doubtful: true },
  'an encoding with a tab': { headers: ['transfer-encoding:\tchunked\t,'], body: chunked, doubtful: true },
  'an encoding in a folded line': { headers: ['transfer-encoding:\r\n chunked'], body: chunked, doubtful: true },
  'chunks in HTTP/1.0': {
    headers: ['transfer-encoding: chunked'],
    body: chunked,
    version: 'HTTP/1.0',
    doubtful: true,
  },
  'two hosts': { headers: ['host: other', `content-length: ${length}`], body: hidden, doubtful: true },
  'two authorizations': {
    headers: ['authorization: Bearer a', 'authorization: Bearer b', `content-length: ${length}`],
    body: hidden,
    doubtful: true,
  },
  'two content types': {
    headers: ['content-type: text/plain', 'content-type: application/json', `content-length: ${length}`],
    body: hidden,
    doubtful: true,
  },
  'a bare line feed in a head': { headers: [`x: y\ncontent-length: ${length}`], body: hidden, doubtful: true },
  'a bare carriage return in a head': { headers: [`x: y\rcontent-length: ${length}`], body: hidden, doubtful: true },
  'a size of a chunk that is none': {
    headers: ['transfer-encoding: chunked'],
    body: chunked.replace(/^/, '0x'),
    late: true,
    doubtful: true,
  },
  'a negative size of a chunk': {
    headers: ['transfer-encoding: chunked'],
    body: `-${chunked}`,
    late: true,
    doubtful: true,
  },
  'chunks that end in a line feed': {
    headers: ['transfer-encoding: chunked'],
    body: chunked.replaceAll('\r\n0\r\n', '\n0\n'),
    late: true,
    doubtful: true,
  },
};

async function send(method: string, path: string, framing: Framing, follows: boolean) {
  const before = rig.worker.seen.length;
  const takenBefore = rig.takes.length;
  const head = [
    `${method} ${path} ${framing.version ?? 'HTTP/1.1'}`,
    'host: berth',
    ...framing.headers,
    ...(follows ? [] : ['connection: close']),
  ];
  const { text } = await raw(rig, `${head.join('\r\n')}\r\n\r\n${framing.body}${follows ? behind : ''}`);
  const reached = rig.worker.seen.slice(before).map(({ body }) => body);
  return {
    text,
    smuggled: reached.filter((body) => body.includes('smuggled')),
    reached,
    taken: rig.takes.length - takenBefore,
  };
}

describe.each(Object.entries(framings))('%s', (_what, framing) => {
  it('in every method and on every path: nothing hidden gets through, and nothing behind what is in doubt', async () => {
    const wrong: string[] = [];
    for (const method of methods) {
      for (const path of paths) {
        for (const follows of [false, true]) {
          const { text, smuggled, taken } = await send(method, path, framing, follows);
          const where = `${method} ${path}${follows ? ' and another' : ''}`;
          const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 'cut';
          if (smuggled.length > 0) wrong.push(`${where}: smuggled`);
          if (!framing.doubtful) continue;
          if (taken > 0) wrong.push(`${where}: ${taken} took a slot`);
          // What is wrong in a body may be found after the answer; the connection ends all the same.
          if (!framing.late && status !== '400') wrong.push(`${where}: answered ${status}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

it('what is beyond doubt leaves the connection to the next request', async () => {
  const { reached } = await send('POST', '/nothing', framings['a length'] as Framing, true);
  expect(reached.map((body) => (JSON.parse(body) as { user: string }).user)).toEqual(['behind']);
});
