// Any text, cut anyhow into tokens and then anyhow into chunks, is with the client as the model wrote it: through the
// reply of each endpoint, a worker's socket and the gateway.
import { parseOllamaChat, parseOllamaGenerate } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import type { Generation } from '@berth/shared/request.ts';
import { completionReply } from '@berth/worker/replies/completions.ts';
import { ollamaReply } from '@berth/worker/replies/ollama.ts';
import { openaiReply } from '@berth/worker/replies/openai.ts';
import type { Reply, ReplyContext } from '@berth/worker/replies/reply.ts';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stream } from '../doubles/fake-worker.ts';
import { aContext, streamed } from '../replies/replying.ts';
import { ask, startRig } from './rig.ts';
import type { Rig } from './rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
});
afterAll(() => rig[Symbol.asyncDispose]());

interface Event {
  choices?: { delta?: { content?: string }; text?: string }[];
  message?: { content: string };
  response?: string;
}

interface Way {
  body: object;
  read: (body: unknown) => Generation;
  reply: (generation: Generation, context: ReplyContext) => Reply;
  textOf: (event: Event) => string;
}

const messages = [{ role: 'user', content: 'hello' }];
const ways: Record<string, Way> = {
  '/v1/chat/completions': {
    body: { model: 'tiny', messages, stream: true },
    read: parseOpenaiChat,
    reply: openaiReply,
    textOf: ({ choices }) => choices?.[0]?.delta?.content ?? '',
  },
  '/v1/completions': {
    body: { model: 'tiny', prompt: 'hello', stream: true },
    read: parseOpenaiCompletion,
    reply: completionReply,
    textOf: ({ choices }) => choices?.[0]?.text ?? '',
  },
  '/api/chat': {
    body: { model: 'tiny', messages },
    read: parseOllamaChat,
    reply: ollamaReply,
    textOf: ({ message }) => message?.content ?? '',
  },
  '/api/generate': {
    body: { model: 'tiny', prompt: 'hello' },
    read: parseOllamaGenerate,
    reply: ollamaReply,
    textOf: ({ response }) => response ?? '',
  },
};

/** Tokens hold whole characters; separators of lines and of events are the likeliest to go wrong. */
const tokens = fc.array(
  fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('\n', '\r\n', '\n\n', 'data: ', '\u2028', '👩🏽‍🚀', '\u0000')),
  { maxLength: 12 },
);
/** Lengths of the worker's writes, which know nothing of characters. */
const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

function chunksOf(text: string, lengths: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const chunks: Buffer[] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
}

function eventsOf(text: string): Event[] {
  const lines = text.split('\n').filter((line) => line !== '');
  const events = lines.map((line) => line.replace(/^data: /, '')).filter((line) => line !== '[DONE]');
  return events.map((line) => JSON.parse(line) as Event);
}

test.each(Object.entries(ways))('%s', async (path, { body, read, reply, textOf }) => {
  const property = fc.asyncProperty(tokens, cuts, async (pieces, lengths) => {
    const written = streamed(reply(read(body), aContext()), pieces);
    rig.worker.act(stream(chunksOf(written, lengths)));
    const { status, text, end } = await ask(rig, { path, body: JSON.stringify(body) }).answer;
    expect([status, end]).toEqual([200, 'complete']);
    expect(text).toBe(written);
    expect(eventsOf(text).map(textOf).join('')).toBe(pieces.join(''));
  });
  await fc.assert(property, { numRuns: 40 });
});
