// What clients get of every family's calls, in both dialects, streamed and whole: the same calls, and no text lost.
import { parseOllamaChat } from '@berth/shared/dialects/ollama.ts';
import { parseOpenaiChat } from '@berth/shared/dialects/openai.ts';
import type { Settlement } from '@berth/shared/settlement.ts';
import { ollamaReply } from '@berth/worker/replies/ollama.ts';
import { openaiReply } from '@berth/worker/replies/openai.ts';
import { thoughtsOf } from '@berth/worker/replies/thinking.ts';
import { channels } from '@berth/worker/replies/tools/channels.ts';
import { families } from '@berth/worker/replies/tools/families.ts';
import { describe, expect, test } from 'vitest';
import { aContext, aSettlement, streamed, whole } from '../replying.ts';
import { type Asked, type Written, written } from './written.ts';

const tools = ['weather', 'time'].map((name) => ({
  type: 'function',
  function: {
    name,
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer' },
        at: { type: 'object' },
        list: { type: 'array' },
      },
    },
  },
}));
const request = { model: 'berth', messages: [{ role: 'user', content: 'x' }], tools };

/** What a client has in its hands when the reply has ended. */
interface Got {
  content: string;
  calls: { id: string; name: string; args: unknown }[];
  finish: string;
}

interface Delta {
  content?: string;
  tool_calls?: { index: number; id?: string; function: { name?: string; arguments: string } }[];
}

type Get = (family: string, pieces: readonly string[], settlement?: Settlement) => Got;

/** The family is the first word of how it is written. */
const thoughts = thoughtsOf('<|channel|><|message|>');
function contextOf(name: string) {
  const syntax = families.find((family) => family.name === name.split(',')[0])!;
  return aContext({ syntax, thoughts: syntax === channels ? thoughts : null });
}

/** As clients' accumulators read a stream: the index says which call, id and name come once. */
const openaiStreamed: Get = (family, pieces, settlement) => {
  const text = streamed(
    openaiReply(parseOpenaiChat({ ...request, stream: true }), contextOf(family)),
    pieces,
    settlement,
  );
  const chunks = [...text.matchAll(/^data: ({.*)$/gm)].map(([, json = '']) => JSON.parse(json));
  const deltas: Delta[] = chunks.flatMap(({ choices }) => choices.map(({ delta }: { delta: Delta }) => delta));
  const calls: { id: string; name: string; text: string }[] = [];
  for (const { index, id, function: told } of deltas.flatMap(({ tool_calls: told = [] }) => told)) {
    expect(index).toBe(id === undefined ? calls.length - 1 : calls.length);
    if (id !== undefined) calls.push({ id, name: told.name!, text: '' });
    calls[index]!.text += told.arguments;
  }
  return {
    content: deltas.map(({ content = '' }) => content).join(''),
    calls: calls.map(({ text, ...call }) => ({ ...call, args: parsed(text) })),
    finish: chunks.at(-1).choices[0].finish_reason,
  };
};

interface Whole {
  choices: { message: { content: string | null; tool_calls?: OpenaiCall[] }; finish_reason: string }[];
}
interface OpenaiCall {
  id: string;
  function: { name: string; arguments: string };
}

const openaiWhole: Get = (family, pieces, settlement) => {
  const { choices } = whole(openaiReply(parseOpenaiChat(request), contextOf(family)), pieces, settlement) as Whole;
  const { message, finish_reason: finish } = choices[0]!;
  const calls = (message.tool_calls ?? []).map(({ id, function: { name, arguments: text } }) => ({
    id,
    name,
    args: parsed(text),
  }));
  return { content: message.content ?? '', calls, finish };
};

interface Line {
  message: { content: string; tool_calls?: OllamaCall[] };
  done_reason: string;
}
interface OllamaCall {
  id: string;
  function: { index: number; name: string; arguments: unknown };
}

const ollamaStreamed: Get = (family, pieces, settlement) => {
  const text = streamed(ollamaReply(parseOllamaChat(request), contextOf(family)), pieces, settlement);
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return fromLines(lines);
};

const ollamaWhole: Get = (family, pieces, settlement) => {
  const reply = ollamaReply(parseOllamaChat({ ...request, stream: false }), contextOf(family));
  return fromLines([whole(reply, pieces, settlement) as Line]);
};

function fromLines(lines: readonly Line[]): Got {
  const calls = lines.flatMap(({ message }) => message.tool_calls ?? []);
  return {
    content: lines.map(({ message }) => message.content).join(''),
    calls: calls.map(({ id, function: { index, name, arguments: args } }, place) => {
      expect(index).toBe(place);
      return { id, name, args };
    }),
    finish: lines.at(-1)!.done_reason,
  };
}

/** A client that cannot parse arguments has them as text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const ways: [way: string, get: Get, called: string][] = [
  ['openai streamed', openaiStreamed, 'tool_calls'],
  ['openai whole', openaiWhole, 'tool_calls'],
  ['ollama streamed', ollamaStreamed, 'stop'],
  ['ollama whole', ollamaWhole, 'stop'],
];

const plain: Asked = { name: 'weather', args: { city: 'Oslo', days: 2 } };
const unicode: Asked = { name: 'time', args: { city: 'Zürich 東京 🌍 "]}" \\ \u2028' } };
const nested: Asked = {
  name: 'weather',
  args: { city: '', at: { deep: { er: [1, { two: null }] } }, list: [[], [{}], 'x'] },
};

const letters = (text: string): string[] => Array.from(text);

describe.each(Object.entries(written))('%s', (family, { calls, broken, before, after }: Written) => {
  describe.each(ways)('%s', (_way, get, called) => {
    const expectCalls = (got: Got, asked: readonly Asked[]): void => {
      expect(got.calls.map(({ name, args }) => ({ name, args }))).toEqual(asked);
      expect(new Set(got.calls.map(({ id }) => id)).size).toBe(asked.length);
      expect(got.finish).toBe(called);
    };

    test.each([
      ['one', [plain]],
      ['two at once', [plain, unicode]],
      ['nested', [nested]],
      ['the same twice', [plain, plain]],
    ])('%s', (_what, asked) => {
      const got = get(family, letters(calls(asked)));
      expectCalls(got, asked);
      expect(got.content).toBe('');
    });

    test('words before and after it arrive', () => {
      const [head, tail] = [before ? 'Let me see.\n' : '', after ? '\nThat is all.' : ''];
      const got = get(family, letters(`${head}${calls([plain])}${tail}`));
      expectCalls(got, [plain]);
      expect(got.content.replaceAll(/\s/g, '')).toBe(`${head}${tail}`.replaceAll(/\s/g, ''));
    });

    test('the same for every cut in two', () => {
      const text = `${before ? 'Well. ' : ''}${calls([plain, unicode])}`;
      const expected = get(family, [text]);
      for (let at = 1; at < text.length; at += 1)
        expect(get(family, [text.slice(0, at), text.slice(at)])).toEqual(expected);
    });

    test('one that the bound on tokens cuts off is told as cut, and never as a whole one', () => {
      const text = calls([plain]);
      const end = text.lastIndexOf('2');
      const got = get(family, letters(text.slice(0, end)), aSettlement({ finish: 'length' }));
      expect(got.finish).toBe('length');
      expect(got.calls.filter(({ args }) => typeof args === 'object')).toEqual([]);
      if (got.calls.length === 0) expect(got.content).toBe(text.slice(0, end));
    });

    test('a broken one is text, or what had been streamed of it', () => {
      const got = get(family, letters(broken));
      expect(got.calls.filter(({ args }) => typeof args === 'object')).toEqual([]);
      if (got.calls.length === 0) expect([got.content, got.finish]).toEqual([broken, 'stop']);
    });
  });
});
