// The bytes of a stream belong to its request: parallel answers of the real engine, over gateways and dialects.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { startGateway, startWorker, workersReady } from './berth.ts';
import type { Berth } from './berth.ts';
import { metric } from './pool.ts';
import { ask, ollamaLines, openaiText } from './requests.ts';

const model = 'berth-demo';
const slots = 8;

let gateways: Berth[];
let worker: Berth;

beforeAll(async () => {
  const pool = { REDIS_URL: inject('redisUrl'), POOL: `e2e-${randomUUID()}` };
  gateways = await Promise.all([startGateway(pool), startGateway(pool)]);
  worker = await startWorker({ ...pool, NUM_PARALLEL: String(slots) });
  await Promise.all(gateways.map((gateway) => workersReady(gateway, 1)));
});
afterAll(() => Promise.all([...gateways, worker].map((each) => each.stop())));

interface Asked {
  text: string;
  seed?: number;
  temperature?: number;
}

/** Four ways to ask the same: two dialects, streamed or not. Each tells the same text. */
const ways = [
  async (url: string, { text, ...sampling }: Asked) =>
    openaiText((await ask({ url, body: { model, messages: [{ role: 'user', content: text }], ...sampling } })).text),
  async (url: string, { text, ...sampling }: Asked) => {
    const body = { model, messages: [{ role: 'user', content: text }], ...sampling, stream: true };
    return openaiText((await ask({ url, body })).text);
  },
  async (url: string, { text, ...options }: Asked) => {
    const body = { model, messages: [{ role: 'user', content: text }], options };
    const { text: reply } = await ask({ url, path: '/api/chat', body });
    return ollamaLines(reply)
      .map(({ message }) => message?.content)
      .join('');
  },
  async (url: string, { text, ...options }: Asked) => {
    const body = { model, prompt: text, options, stream: false };
    const { text: reply } = await ask({ url, path: '/api/generate', body });
    return ollamaLines(reply)
      .map(({ response }) => response)
      .join('');
  },
];

/** Asks in a way and at a gateway that change with the number of the question. */
function answer(asked: Asked, number: number): Promise<string> {
  const [way] = ways.slice(number % ways.length);
  const { url = '' } = gateways[number % gateways.length] ?? {};
  return way?.(url, asked) ?? Promise.reject(new Error('there are ways'));
}

const codeWords = ['fork-1858', 'stone-3938', 'sand', 'horse', 'square', 'ring-thunder', '864843', '151476'];
const filler = 'The flag of Noah is very yellow. There are five rough things in the school. It was a plain piano.';

/** A word that only this request knows, amid words that all of them share. */
const needleOf = (word: string): string =>
  `Here is a text. ${filler} The code word is ${word}. Laura and Yuki like the silent bucket. What is the code word?`;

describe('parallel requests', () => {
  test("each answers with its own code word and with nobody else's, cold and with a warm prefix", async () => {
    for (let round = 0; round < 3; round += 1) {
      const asked = codeWords.map((word, index) => answer({ text: needleOf(word), temperature: 0 }, index + round));
      const answers = await Promise.all(asked);
      const known = answers.map((said) => codeWords.filter((word) => said.includes(word)));
      expect(known).toEqual(codeWords.map((word) => [word]));
    }
    expect(await metric(worker, 'berth_worker_tokens_total', 'kind="cached"')).toBeGreaterThan(0);
  });

  test('one seed gives one text: alone, amid a full batch, and from a warm prefix', async () => {
    const questions = ['What is a slot?', 'What is the ledger?', 'Who are you?'];
    for (const [index, text] of questions.entries()) {
      const asked = { text, seed: 40 + index, temperature: 0.7 };
      const alone = await answer(asked, 0);
      const others = codeWords.slice(1).map((word, number) => answer({ text: needleOf(`${word}.`) }, number));
      const [amid] = await Promise.all([answer(asked, 1), ...others]);
      const warm = await answer(asked, 2);
      expect(alone).not.toBe('');
      expect([amid, warm]).toEqual([alone, alone]);
    }
  });
});
