// Several answers to one request: one after another in its one slot, each with a seed of its own, counted together.
import { afterEach, describe, expect, it } from 'vitest';
import type { Engine, EngineRequest, OpenEngine } from '../../worker/engine/engine.ts';
import { aWorker, chat, until } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

let open: TestWorker | undefined;
const started = async (...options: Parameters<typeof aWorker>): Promise<TestWorker> =>
  (open = await aWorker(...options));
afterEach(async () => {
  await open?.[Symbol.asyncDispose]();
  open = undefined;
});

/** Two slots and 16 tokens: several answers must not take the second one. */
const engine = { contextTokens: 16, slots: 2, threads: 1, gpu: false } as const;
const completions = '/v1/completions';
const texts = (body: string): string[] => JSON.parse(body).choices.map(({ text }: { text: string }) => text);

/** Keeps what the engine was asked for. */
function listening(requests: EngineRequest[]) {
  return (open: OpenEngine): OpenEngine =>
    async (options, signal) => {
      const engine = await open(options, signal);
      const generate: Engine['generate'] = (request, signal) => {
        requests.push(request);
        return engine.generate(request, signal);
      };
      return { ...engine, generate };
    };
}

describe('n answers', () => {
  it('run one after another in one slot, and share their prompt in the settlement', async () => {
    const { call, echo } = await started({ engine });
    const answer = await call({ body: chat('hello you', { n: 3 }) });
    const { choices, usage } = JSON.parse(answer.body);
    expect(choices.map(({ message }: { message: { content: string } }) => message.content)).toEqual(
      Array.from({ length: 3 }, () => 'hello you'),
    );
    expect(usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 6, total_tokens: 8 });
    expect(answer.settlement).toMatchObject({ finish: 'stop', promptTokens: 2, outputTokens: 6 });
    expect(echo.runningMax).toBe(1);
  });

  it('have seeds that count up, so that they differ and can be asked for again', async () => {
    const requests: EngineRequest[] = [];
    const { call } = await started({ engine, opens: listening(requests) });
    await call({ body: chat('hi', { n: 3, seed: 2 ** 32 - 2 }) });
    await call({ body: chat('hi', { n: 2 }) });
    const [a, b, c, d, e] = requests.map(({ sampling }) => sampling.seed);
    expect([a, b, c]).toEqual([2 ** 32 - 2, 2 ** 32 - 1, 0]);
    expect(e).toBe((d! + 1) % 2 ** 32);
  });

  it('stream one after another, and a client that leaves ends all of them', async () => {
    const { begin, call, leaves, echo } = await started({ engine: { ...engine, slots: 1 } });
    const running = begin({ body: chat('[[tokenDelayMs=5]] one two three', { n: 64, stream: true }), lease: 'left' });
    await running.until('"index":1');
    running.abort();
    await until(() => leaves.length > 0);
    expect(leaves).toMatchObject([{ id: 'left' }]);
    expect((await call()).status).toBe(200);
    expect(echo.runningMax).toBe(1);
  });

  it('an engine that dies in the second one cuts the stream, and never gives half of the answers', async () => {
    const opens = (open: OpenEngine): OpenEngine => {
      let runs = 0;
      return async (options, signal) => {
        const engine = await open(options, signal);
        const generate: Engine['generate'] = (request, signal) => {
          const text = (runs += 1) === 2 ? '[[dieAfterTokens=1]] a b' : 'a b';
          const prompt = { kind: 'chat' as const, messages: [{ role: 'user' as const, content: text }], tools: [] };
          return engine.generate({ ...request, prompt }, signal);
        };
        return { ...engine, generate };
      };
    };
    const { call } = await started({ engine, opens });
    const answer = await call({ body: chat('x', { n: 2, stream: true }) });
    expect(answer.body).not.toContain('[DONE]');
    expect([answer.settlement, answer.refusal?.outcome]).toEqual([null, 'engine_died']);
  });
});

describe('several prompts', () => {
  it('are answered in their order, n times each, and each counts once', async () => {
    const { call } = await started({ engine });
    const body = { model: 'm', prompt: ['a b', [99], 'd'], n: 2, max_tokens: 1 };
    const answer = await call({ path: completions, body });
    expect(texts(answer.body)).toEqual(['a ', 'a ', 'c', 'c', 'd', 'd']);
    const { choices } = JSON.parse(answer.body);
    expect(choices.map(({ index }: { index: number }) => index)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(answer.settlement).toMatchObject({ finish: 'length', promptTokens: 4, outputTokens: 6 });
  });

  it.each([
    ['prompt[1]', ['a', 'b '.repeat(20)], 'context_length_exceeded'],
    ['prompt[2]', ['a', 'b', [2_000_000]], null],
  ])('of which one cannot be answered are refused for %s before the first answer', async (param, prompt, code) => {
    const requests: EngineRequest[] = [];
    const { call } = await started({ engine, opens: listening(requests) });
    const answer = await call({ path: completions, body: { model: 'm', prompt, stream: true } });
    expect([answer.status, JSON.parse(answer.body).error]).toMatchObject([400, { param, code }]);
    expect(requests).toEqual([]);
  });
});
