// Log-probabilities and biases: exact against the whole distribution, whatever the sampling settings are.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Engine, EngineRequest, TokenScore } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import { rowScores, scoreTrail } from '../../../worker/engine/llama/scores.ts';
import { tokenBytes } from '../../../worker/engine/llama/token-bytes.ts';
import { aRawRequest, collect, plainSampling, someOptions, unaborted } from '../requests.ts';
import { modelFolder } from './models.ts';

const folder = modelFolder();
const text = 'ba be bi bo bu da de';
const steps = 8;
let engine: Engine | undefined;
let reference: { token: number; all: [token: number, probability: number][] }[] = [];
beforeAll(async () => {
  const path = folder.random('words.gguf');
  const script = join(import.meta.dirname, '../../models/distribution.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, path, text, String(steps)]);
  reference = JSON.parse(stdout);
  engine = await llamaEngines({ env: process.env })({ ...someOptions, path }, unaborted());
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const best = (all: [number, number][], count: number) => all.toSorted((a, b) => b[1] - a[1]).slice(0, count);
const logprobs = (entries: readonly { logprob: number }[]) => entries.map(({ logprob }) => logprob);

async function scoresOf(more: Partial<EngineRequest>): Promise<{ scores: TokenScore[]; text: string }> {
  const scores: TokenScore[] = [];
  let said = '';
  for await (const event of engine!.generate(aRawRequest(text, more), unaborted())) {
    if (event.kind !== 'text') continue;
    scores.push(...(event.scores ?? []));
    said += event.text;
  }
  return { scores, text: said };
}

test('each token of a greedy answer has the score that the whole distribution gives it, and so have the best', async () => {
  const { scores } = await scoresOf({ maxTokens: steps, topLogprobs: 5 });
  expect(scores).toHaveLength(steps);
  scores.forEach(({ logprob, top, token }, step) => {
    const { all } = reference[step]!;
    const expected = best(all, 5).map(([, probability]) => Math.log(probability));
    expect(top[0]?.token).toBe(token);
    expect(top).toHaveLength(5);
    for (const [place, value] of logprobs(top).entries()) expect(value).toBeCloseTo(expected[place]!, 3);
    expect(logprob).toBeCloseTo(expected[0]!, 3);
  });
});

test('temperature, filters and biases change what is said, not its scores', async () => {
  const [first] = reference;
  const [, second] = best(first!.all, 2);
  const sampling = { ...plainSampling, temperature: 1.7, topK: 3, topP: 0.5, logitBias: [[second![0], 100]] as never };
  const { scores } = await scoresOf({ maxTokens: 1, topLogprobs: 3, sampling });
  expect(scores[0]?.logprob).toBeCloseTo(Math.log(second![1]), 3);
  const expected = best(first!.all, 3).map(([, probability]) => Math.log(probability));
  logprobs(scores[0]!.top).forEach((value, place) => expect(value).toBeCloseTo(expected[place]!, 3));
});

test('without alternatives only the chosen token is scored; unasked nothing is', async () => {
  const { scores } = await scoresOf({ maxTokens: 3, topLogprobs: 0 });
  expect(scores.map(({ top }) => top)).toEqual([[], [], []]);
  const expected = reference.slice(0, 3).map(({ all }) => Math.log(best(all, 1)[0]![1]));
  logprobs(scores).forEach((value, place) => expect(value).toBeCloseTo(expected[place]!, 3));
  expect((await scoresOf({ maxTokens: 3 })).scores).toEqual([]);
});

test('the bytes of the tokens, joined, are the text, characters cut over tokens included', async () => {
  const said = 'жЖ ☂ 🌂';
  const answer = await scoresOf({ topLogprobs: 2, format: { kind: 'schema', schema: { const: said } } });
  expect(answer.text).toBe(JSON.stringify(said));
  const bytes = Buffer.concat(answer.scores.map((score) => Uint8Array.from(score.bytes)));
  expect(bytes.toString()).toBe(answer.text);
  expect(answer.scores.filter(({ token }) => token === '\uFFFD').length).toBeGreaterThanOrEqual(4);
});

test('a bias of 100 forces a token, one of -100 bans it', async () => {
  const [token] = best(reference[0]!.all, 30).at(-1)!;
  const forced = await scoresOf({
    maxTokens: 4,
    topLogprobs: 0,
    sampling: { ...plainSampling, logitBias: [[token, 100]] },
  });
  expect(new Set(forced.scores.map((score) => score.token)).size).toBe(1);
  const greedy = reference[0]!.token;
  const banned = await scoresOf({
    maxTokens: 1,
    topLogprobs: 1,
    sampling: { ...plainSampling, logitBias: [[greedy, -100]] },
  });
  expect(banned.scores[0]?.token).not.toBe(banned.scores[0]?.top[0]?.token);
});

test('a bias on a token that the model does not have is refused by its name', async () => {
  const request = aRawRequest(text, { sampling: { ...plainSampling, logitBias: [[1_000_000, 1]] } });
  await expect(collect(engine!, request)).rejects.toMatchObject({
    outcome: 'bad_request',
    param: 'logit_bias.1000000',
  });
});

test('a token is told with the text that it is part of, and not when a stop string took that text', () => {
  const trail = scoreTrail((token) => Buffer.from(String.fromCodePoint(token)));
  const scores = { chosen: -1, top: [] };
  for (const letter of 'abc') trail.push(letter.codePointAt(0)!, scores, 1);
  const told = (chars: number) =>
    trail
      .take(chars)
      .map(({ token }) => token)
      .join('');
  expect(told(0)).toBe('');
  expect(told(2)).toBe('ab');
  expect(told(0)).toBe('');
  expect(told(1)).toBe('c');
});

test('a logit of minus infinity is a number in JSON', () => {
  const { top } = rowScores([1, 0, 2, -Infinity], 1, 2, 2);
  const trail = scoreTrail(() => Uint8Array.of(65));
  trail.push(2, { chosen: -Infinity, top }, 1);
  expect(trail.take(1)[0]).toMatchObject({ logprob: -9999, top: [{ logprob: 0 }, { logprob: -9999 }] });
});

test('vocabularies of both kinds give bytes', () => {
  const words = tokenBytes({ kind: 'llama', tokens: ['<s>', '▁a▁b', '<0xE2>', '<0x41>'], types: [3, 1, 6, 1] });
  expect([0, 1, 2, 3, 9].map((token) => Buffer.from(words(token)).toString('latin1'))).toEqual([
    '',
    ' a b',
    '\xe2',
    '<0x41>',
    '',
  ]);
  const pieces = tokenBytes({ kind: 'gpt2', tokens: ['Ġa', 'Ģ', 'Ċ', '<|x|>é'], types: [1, 1, 1, 4] });
  expect([...pieces(0), ...pieces(1), ...pieces(2)]).toEqual([0x20, 0x61, 0x80, 0x0a]);
  expect(Buffer.from(pieces(3)).toString()).toBe('<|x|>é');
});
