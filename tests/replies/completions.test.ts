// Replies of `/v1/completions`: golden transcripts, and text that arrives as it was written.
import { parseOpenaiCompletion } from '@berth/shared/dialects/openai-completions.ts';
import { completionReply } from '@berth/worker/replies/completions.ts';
import * as fc from 'fast-check';
import { thinkTags } from '@berth/worker/replies/thinking.ts';
import { describe, expect, test } from 'vitest';
import type { EngineEvent } from '@berth/worker/engine/engine.ts';
import { aContext, aSettlement, ending, eventsOf, streamed, whole } from './replying.ts';

const aReply = (fields: object = {}) =>
  completionReply(
    parseOpenaiCompletion({ model: 'berth', prompt: 'Once', ...fields }),
    aContext({ thoughts: thinkTags }),
  );

const head = '"id":"cmpl-00ff","object":"text_completion","created":1795339800,"model":"berth"';
const chunk = (text: string, finish = 'null') =>
  `data: {${head},"choices":[{"index":0,"text":${JSON.stringify(text)},"logprobs":null,"finish_reason":${finish}}]}\n\n`;

describe('a stream', () => {
  test('is the pieces, the finish and [DONE]', () => {
    expect(streamed(aReply({ stream: true }), [' upon', ' a time'])).toBe(
      chunk(' upon') + chunk(' a time') + chunk('', '"stop"') + 'data: [DONE]\n\n',
    );
  });

  test('with include_usage ends with the usage, and has none before', () => {
    const text = streamed(aReply({ stream: true, stream_options: { include_usage: true } }), ['x']);
    expect(text).toContain(chunk('x'));
    expect(text).toMatch(/"choices":\[\],"usage":\{"prompt_tokens":12.*\}\n\ndata: \[DONE\]\n\n$/);
  });

  test('with echo begins with the prompt', () => {
    expect(streamed(aReply({ stream: true, echo: true }), [' upon'])).toMatch(/"text":"Once".*\n\n.*"text":" upon"/);
  });
});

test('a whole reply holds the text, how it ended and the usage', () => {
  const settlement = aSettlement({ finish: 'length' });
  expect(whole(aReply({ echo: true }), [' upon', ' a time'], settlement)).toMatchObject({
    object: 'text_completion',
    choices: [{ index: 0, text: 'Once upon a time', logprobs: null, finish_reason: 'length' }],
    usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 },
  });
});

describe('several prompts with several answers each', () => {
  const fields = { prompt: ['Once', 'Then'], n: 2, echo: true, logprobs: undefined };
  const answers = [' a', ' b', ' c', ' d'];
  const events = answers.flatMap((text, index) => eventsOf([text], false, index === 1 ? 'length' : 'stop'));

  test('are choices in the order of the prompts, each with its own prompt and finish', () => {
    const reply = aReply(fields);
    for (const event of events) expect(reply.piece(event, 0)).toBe('');
    expect(JSON.parse(reply.whole(aSettlement(), ending))).toMatchObject({
      choices: [
        { index: 0, text: 'Once a', finish_reason: 'stop' },
        { index: 1, text: 'Once b', finish_reason: 'length' },
        { index: 2, text: 'Then c', finish_reason: 'stop' },
        { index: 3, text: 'Then d', finish_reason: 'stop' },
      ],
    });
  });

  test('stream one after another, with one usage and one end', () => {
    const reply = aReply({ ...fields, stream: true, stream_options: { include_usage: true } });
    const text = events.map((event) => reply.piece(event, 0)).join('') + reply.end(aSettlement(), ending);
    const frames = text
      .split('\n\n')
      .slice(0, -2)
      .map((frame) => JSON.parse(frame.slice('data: '.length)));
    expect(frames.flatMap(({ choices }) => choices.map(({ index }: { index: number }) => index))).toEqual([
      0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3,
    ]);
    expect(frames.map(({ usage }) => usage !== undefined)).toEqual([...Array.from({ length: 12 }, () => false), true]);
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  test('have the places of their scores counted from their own beginning', () => {
    const reply = aReply({ prompt: ['Once', 'Then'], logprobs: 0 });
    for (const event of [...eventsOf(['abc', 'd'], true), ...eventsOf(['e', 'f'], true)]) reply.piece(event, 0);
    expect(JSON.parse(reply.whole(aSettlement(), ending))).toMatchObject({
      choices: [{ logprobs: { text_offset: [0, 3] } }, { logprobs: { text_offset: [0, 1] } }],
    });
  });
});

describe('log-probabilities', () => {
  const [started, ended] = eventsOf([]) as [EngineEvent, EngineEvent];
  const top = [{ token: ' upon', logprob: -0.5, bytes: [] }];
  const scored = (token: string): EngineEvent => {
    return { kind: 'text', text: token, tokens: 1, scores: [{ token, logprob: -0.5, bytes: [], top }] };
  };
  const columns = (token: string, offset: number) => ({
    tokens: [token],
    token_logprobs: [-0.5],
    top_logprobs: [{ ' upon': -0.5 }],
    text_offset: [offset],
  });

  test('are columns in a whole reply', () => {
    const reply = aReply({ logprobs: 1 });
    for (const event of [started, ...[' upon', ' a'].map(scored), ended]) reply.piece(event, 0);
    const { choices }: { choices: { logprobs: unknown }[] } = JSON.parse(reply.whole(aSettlement(), ending));
    expect(choices[0]?.logprobs).toEqual({
      tokens: [' upon', ' a'],
      token_logprobs: [-0.5, -0.5],
      top_logprobs: [{ ' upon': -0.5 }, { ' upon': -0.5 }],
      text_offset: [0, 5],
    });
  });

  test('go with their text in a stream, and their places count on', () => {
    const reply = aReply({ logprobs: 1, stream: true });
    const logprobsOf = (frame: string) => {
      const { choices }: { choices: { logprobs: unknown }[] } = JSON.parse(frame.slice('data: '.length));
      return choices[0]?.logprobs;
    };
    reply.piece(started, 0);
    expect(logprobsOf(reply.piece(scored(' upon'), 0))).toEqual(columns(' upon', 0));
    expect(logprobsOf(reply.piece(scored(' a'), 0))).toEqual(columns(' a', 5));
    expect(reply.piece(ended, 0)).toContain('"logprobs":null,"finish_reason":"stop"');
  });
});

test('any text arrives as it was written, tags of other endpoints included', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('<think>', '</think>', '<tool_call>', '\u2028'),
  );
  fc.assert(
    fc.property(fc.array(piece), (pieces) => {
      const frames = streamed(aReply({ stream: true }), pieces)
        .split('\n\n')
        .slice(0, -2);
      const texts = frames.map((frame) => {
        const { choices }: { choices: { text: string }[] } = JSON.parse(frame.slice('data: '.length));
        return choices[0]?.text ?? '';
      });
      expect(texts.join('')).toBe(pieces.join(''));
    }),
  );
});
