// The llama engine on small random models: parallel equals alone, prompts never stall answers, caches stay in scope.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EngineEvent, EngineOptions, EngineRequest } from '../../../worker/engine/engine.ts';
import { llamaEngines } from '../../../worker/engine/llama/open.ts';
import type { LlamaEngine } from '../../../worker/engine/llama/open.ts';
import type { StepSummary } from '../../../worker/engine/llama/wire.ts';
import { aRawRequest, aRequest, collect, plainSampling, someOptions, unaborted } from '../requests.ts';
import { modelFolder, publicOnly } from './models.ts';
import type { ModelFolder } from './models.ts';

let folder: ModelFolder;
let words: string;
beforeAll(() => {
  folder = modelFolder();
  words = folder.random('words.gguf');
});
const steps: StepSummary[] = [];
const open = llamaEngines({ env: process.env, publicOnly, onStep: (step) => steps.push(step) });
const engines = new Map<string, Promise<LlamaEngine>>();
beforeEach(() => {
  steps.length = 0;
});

/** Opening takes most of a second, so tests that want the same engine share it. */
function opened(path: string, more: Partial<EngineOptions> = {}): Promise<LlamaEngine> {
  const options = { ...someOptions, path, ...more };
  const known = engines.get(JSON.stringify(options)) ?? open(options, unaborted());
  engines.set(JSON.stringify(options), known);
  return known;
}
afterAll(async () => {
  for (const engine of engines.values()) await (await engine)[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const warm = { ...plainSampling, temperature: 0.9 };
/** Of very different length, and with different last tokens: without, a random model says the same to all. */
const prompts = ['ba', 'ke', 'ti', 'go', 'su', 'la', 'ne', 'vi'].map(
  (last, index) => 'ba be bi bo bu da de '.repeat(index * index + 1) + last,
);
const longPrompt = 'ka ke ki ko ku '.repeat(120);

/** Reads events until one is of the kind wanted. */
async function next(events: AsyncIterator<EngineEvent>, kind: EngineEvent['kind']): Promise<EngineEvent> {
  for (;;) {
    const { value, done } = await events.next();
    if (done === true) throw new Error(`no ${kind}`);
    if (value.kind === kind) return value;
  }
}

test.runIf(process.platform === 'linux')(
  'on a CPU the weights are no mapped file, and ask for large pages',
  async () => {
    const { pid } = await opened(words, { slots: 8 });
    expect(readFileSync(`/proc/${pid}/maps`, 'utf8')).not.toContain('.gguf');
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain('GLIBC_TUNABLES=glibc.malloc.hugetlb=1');
  },
);

// Over the public API there is one slot: what is about several in one batch is left out.
describe('requests at once', () => {
  test.each([
    ['greedy', plainSampling],
    ['drawn with a seed', warm],
  ])('eight staggered requests say the same together as each alone, %s', async (_, sampling) => {
    const engine = await opened(words, { slots: 8 });
    const requests = prompts.map((text, index) =>
      aRawRequest(text, { sampling: { ...sampling, seed: index }, maxTokens: 24, cacheScope: `alone ${index}` }),
    );
    const alone: string[] = [];
    for (const request of requests) alone.push((await collect(engine, request)).text);
    const together = await Promise.all(
      requests.map(async (request, index) => {
        await new Promise((resolve) => setTimeout(resolve, index * 3));
        return (await collect(engine, { ...request, cacheScope: `together ${index}` })).text;
      }),
    );
    expect(together).toEqual(alone);
    expect(new Set(alone).size).toBeGreaterThan(4);
  });

  test.skipIf(publicOnly)('a step with k answering requests decodes k tokens', async () => {
    const engine = await opened(words);
    await Promise.all(prompts.slice(0, 4).map((text) => collect(engine, aRequest(text, { maxTokens: 40 }))));
    const answering = steps.filter(({ prefilled }) => prefilled === 0).map(({ decoded }) => decoded);
    expect(answering.filter((decoded) => decoded === 4).length).toBeGreaterThanOrEqual(30);
    expect(steps.reduce((sum, { decoded }) => sum + decoded, 0)).toBe(4 * 39);
  });

  test('the number of threads may change in mid-answer', async () => {
    const engine = await opened(words);
    const one = await collect(engine, aRequest('ba', { maxTokens: 20 }));
    const again = collect(engine, aRequest('ba', { maxTokens: 20, cacheScope: 'again' }));
    setTimeout(() => engine.useThreads(2), 5);
    expect((await again).text).toBe(one.text);
    engine.useThreads(1);
  });

  test.skipIf(publicOnly)('more requests than slots wait their turn', async () => {
    const engine = await opened(words);
    const answers = await Promise.all(prompts.map((text) => collect(engine, aRequest(text, { maxTokens: 8 }))));
    expect(answers.map(({ end }) => end.usage.outputTokens)).toEqual(prompts.map(() => 8));
    expect(Math.max(...steps.map(({ decoded }) => decoded))).toBe(4);
  });

  test.skipIf(publicOnly)(
    'an answer gets a token in every step while a long prompt is read in small pieces',
    async () => {
      const engine = await opened(words);
      const answer = engine.generate(aRequest('ba', { maxTokens: 200 }), unaborted())[Symbol.asyncIterator]();
      await next(answer, 'text');
      const reading = collect(engine, aRequest(longPrompt, { maxTokens: 4 }));
      while ((await answer.next()).done !== true);
      await reading;
      const shared = steps.filter(({ decoded, prefilled }) => decoded > 0 && prefilled > 0);
      expect(shared.length).toBeGreaterThanOrEqual(4);
      // With an end that is too small for a step of its own: plan.ts, rule 4.
      expect(Math.max(...shared.map(({ prefilled }) => prefilled))).toBeLessThan(128 + 64);
    },
  );

  test('what short steps bring is told together; an answer’s first token, its end, and a departure at once', async () => {
    const slow = llamaEngines({ env: process.env, publicOnly, tuning: { frameMs: 60_000 } });
    await using engine = await slow({ ...someOptions, path: words }, unaborted());
    const answer = engine.generate(aRequest('ba', { maxTokens: 200 }), unaborted())[Symbol.asyncIterator]();
    await next(answer, 'text');
    expect(engine.steps()).toBeLessThan(10);
    await next(answer, 'text');
    const told = engine.steps();
    await next(answer, 'end');
    expect([told, told > 50]).toEqual([engine.steps(), true]);

    const gone = new AbortController();
    const left = engine.generate(aRequest('ke', { maxTokens: 2_000 }), gone.signal)[Symbol.asyncIterator]();
    await next(left, 'text');
    gone.abort(new Error('left'));
    await expect(left.next()).rejects.toThrow('left');
  });

  test('the step counter grows while it works and rests when nothing runs', async () => {
    const engine = await opened(words);
    await collect(engine, aRequest('ba', { maxTokens: 10 }));
    const after = engine.steps();
    expect(after).toBeGreaterThanOrEqual(10);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(engine.steps()).toBe(after);
  });
});

describe('the end of an answer', () => {
  test('is `length` at the wanted number of tokens', async () => {
    const { end } = await collect(await opened(words), aRequest('ba', { maxTokens: 5 }));
    expect(end).toMatchObject({ finish: 'length', usage: { outputTokens: 5 } });
  });

  test('is `length` where the context ends', async () => {
    const engine = await opened(words, { contextTokens: 256 });
    const { started, end } = await collect(engine, aRequest('ba be bi'));
    expect(end.finish).toBe('length');
    expect(started.promptTokens + end.usage.outputTokens).toBe(engine.info.contextTokens);
  });

  test('a prompt longer than the context is refused with both numbers', async () => {
    const engine = await opened(words, { contextTokens: 256 });
    const refused = collect(engine, aRequest(longPrompt));
    await expect(refused).rejects.toMatchObject({
      outcome: 'context_exceeded',
      message: expect.stringMatching(/\d+ tokens.*256/),
    });
    expect((await collect(engine, aRequest('ba', { maxTokens: 1 }))).end.finish).toBe('length');
  });

  test('who may have less than the context gets so much of it, for prompt and answer together', async () => {
    const engine = await opened(words);
    const { started, end } = await collect(engine, aRequest('ba', { contextMax: 64 }));
    expect([end.finish, started.promptTokens + end.usage.outputTokens]).toEqual(['length', 64]);
    const refused = collect(engine, aRequest(longPrompt, { contextMax: 64 }));
    await expect(refused).rejects.toMatchObject({
      outcome: 'context_exceeded',
      message: expect.stringMatching(/is 64/),
    });
  });
});

describe('the text of an answer', () => {
  const said = ['Hello', ' wor', 'ld. a <', '/e', 'lse. <', '/en', 'd> more', ' and more'];

  test('ends before a stop string that lies across tokens, and keeps what only looked like one', async () => {
    const engine = await opened(folder.scripted('script.gguf', said));
    const { text, end, pieces } = await collect(engine, aRequest('x', { stop: ['</end>'] }));
    expect(text).toBe('Hello world. a </else. ');
    expect(pieces).toEqual(['Hello', ' wor', 'ld. a ', '</else. ']);
    expect(end).toMatchObject({ finish: 'stop', usage: { outputTokens: 7 } });
  });

  test('counts every token once, also those whose text came later', async () => {
    const engine = await opened(folder.scripted('script.gguf', said));
    const tokens: number[] = [];
    for await (const event of engine.generate(aRequest('x', { stop: ['</end>'] }), unaborted())) {
      if (event.kind === 'text') tokens.push(event.tokens);
    }
    expect(tokens).toEqual([1, 1, 1, 2]);
  });

  test('is all that the model says where it ends its turn, and the mark of the end is no text', async () => {
    const engine = await opened(folder.scripted('script.gguf', said));
    const { text, end } = await collect(engine, aRequest('whatever'));
    expect(text).toBe(said.join(''));
    expect(end).toMatchObject({ finish: 'stop', usage: { outputTokens: said.length + 1 } });
  });
});

describe('an abort', () => {
  test('ends an answer with the signal’s reason, and the slot is free', async () => {
    const engine = await opened(words, { slots: 1 });
    const abort = new AbortController();
    const answer = engine.generate(aRequest('ba'), abort.signal)[Symbol.asyncIterator]();
    await next(answer, 'text');
    abort.abort(new Error('client gone'));
    await expect(next(answer, 'end')).rejects.toThrow('client gone');
    expect((await collect(engine, aRequest('be', { maxTokens: 3 }))).end.usage.outputTokens).toBe(3);
  });

  test('takes effect within a step while a prompt is being read', async () => {
    const engine = await opened(folder.random('slow.gguf', { parameters: 4e6 }), { slots: 1 });
    const abort = new AbortController();
    const answer = engine.generate(aRequest(longPrompt.repeat(2)), abort.signal)[Symbol.asyncIterator]();
    expect((await answer.next()).value).toMatchObject({ kind: 'started' });
    const before = engine.steps();
    abort.abort(new Error('client gone'));
    await expect(answer.next()).rejects.toThrow('client gone');
    expect(engine.steps() - before).toBeLessThanOrEqual(1);
    expect(steps.reduce((sum, { prefilled }) => sum + prefilled, 0)).toBeLessThanOrEqual(1024);
  });

  test('a reader that leaves early frees its slot too', async () => {
    const engine = await opened(words, { slots: 1 });
    for await (const { kind } of engine.generate(aRequest('ba'), unaborted())) if (kind === 'text') break;
    const stepsThen = engine.steps();
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(engine.steps()).toBe(stepsThen);
  });

  test('a waiting request leaves the line', async () => {
    const engine = await opened(words, { slots: 1 });
    const first = new AbortController();
    const running = engine.generate(aRequest('ba'), first.signal)[Symbol.asyncIterator]();
    await next(running, 'text');
    const second = new AbortController();
    const waiting = collect(engine, aRequest('be'), second.signal);
    second.abort(new Error('gave up'));
    await expect(waiting).rejects.toThrow('gave up');
    first.abort(new Error('done'));
    await expect(next(running, 'end')).rejects.toThrow('done');
  });
});

describe('the prefix cache', () => {
  const turn = (text: string, cacheScope: string, more: Partial<EngineRequest> = {}) =>
    aRawRequest(text, { cacheScope, maxTokens: 16, ...more });

  test('a request that continues one says the same as cold, and tells what was cached', async () => {
    const engine = await opened(words);
    const head = 'ka ke ki ko ku '.repeat(40);
    const cold = await collect(engine, turn(`${head}ba be`, 'cold'));
    await collect(engine, turn(head, 'warm'));
    const reused = await collect(engine, turn(`${head}ba be`, 'warm'));
    expect(cold.started.cachedTokens).toBe(0);
    expect(reused.started.cachedTokens).toBeGreaterThan(150);
    expect(reused.end.usage.cachedTokens).toBe(reused.started.cachedTokens);
    expect(reused.text).toBe(cold.text);
  });

  test('the same prompt again evaluates one token', async () => {
    const engine = await opened(words, { slots: 1 });
    const first = await collect(engine, turn('ka ke ki', 'same again'));
    const again = await collect(engine, turn('ka ke ki', 'same again'));
    expect(again.started.cachedTokens).toBe(again.started.promptTokens - 1);
    expect(again.text).toBe(first.text);
  });

  test('nothing is reused across scopes', async () => {
    const engine = await opened(words, { slots: 1 });
    await collect(engine, turn('ka ke ki', 'one team'));
    expect((await collect(engine, turn('ka ke ki', 'another'))).started.cachedTokens).toBe(0);
  });

  test('a request takes the beginning of one that is still running, and says the same as cold', async () => {
    const engine = await opened(words);
    const head = 'la le li lo lu '.repeat(40);
    const cold = await collect(engine, turn(`${head}ba be`, 'copied cold'));
    const abort = new AbortController();
    const running = engine.generate(turn(head, 'copied', { maxTokens: null }), abort.signal)[Symbol.asyncIterator]();
    await next(running, 'text');
    const copied = await collect(engine, turn(`${head}ba be`, 'copied'));
    const elsewhere = await collect(engine, turn(`${head}ba be`, 'another team'));
    expect(copied.started.cachedTokens).toBeGreaterThan(150);
    expect(copied.text).toBe(cold.text);
    expect(elsewhere.started.cachedTokens).toBe(0);
    expect(elsewhere.text).toBe(cold.text);
    abort.abort(new Error('enough'));
    await expect(next(running, 'end')).rejects.toThrow('enough');
  });

  test('survives an aborted request', async () => {
    const engine = await opened(words, { slots: 1 });
    const cold = await collect(engine, turn('ka ke ki ko', 'cold'));
    const abort = new AbortController();
    const endless = turn('ka ke ki ko', 'interrupted', { maxTokens: null });
    const answer = engine.generate(endless, abort.signal)[Symbol.asyncIterator]();
    await next(answer, 'text');
    abort.abort(new Error('gone'));
    await expect(next(answer, 'end')).rejects.toThrow('gone');
    const warmed = await collect(engine, turn('ka ke ki ko', 'interrupted'));
    expect(warmed.started.cachedTokens).toBeGreaterThan(0);
    expect(warmed.text).toBe(cold.text);
  });
});

describe('sampling', () => {
  test('the same seed says the same, another seed something else', async () => {
    const engine = await opened(words);
    const say = async (seed: number) =>
      (await collect(engine, aRequest('ba', { sampling: { ...warm, seed }, maxTokens: 20 }))).text;
    expect(await say(5)).toBe(await say(5));
    expect(await say(5)).not.toBe(await say(6));
  });

  test('a strong frequency penalty repeats less', async () => {
    const engine = await opened(words);
    const say = async (frequencyPenalty: number | null) =>
      (await collect(engine, aRequest('ba', { sampling: { ...plainSampling, frequencyPenalty }, maxTokens: 60 })))
        .pieces;
    expect(new Set(await say(2)).size).toBeGreaterThan(new Set(await say(null)).size);
  });
});

describe('the vocabulary', () => {
  test('gives the tokens of a text and the text of tokens, while others run', async () => {
    const engine = await opened(words, { slots: 2 });
    const running = collect(engine, aRawRequest(longPrompt, { maxTokens: 8 }));
    const content = 'ba be bi';
    const { tokens } = await engine.tokenize({ kind: 'tokenize', text: content, first: false, control: true });
    expect(tokens.length).toBeGreaterThan(1);
    expect((await engine.tokenize({ kind: 'detokenize', tokens })).text).toBe(content);
    await running;
  });

  test('continues tokens exactly as the text that they are', async () => {
    const engine = await opened(words, { slots: 2 });
    const text = 'ba be bi bo bu';
    const { tokens } = await engine.tokenize({ kind: 'tokenize', text, first: true, control: true });
    const fromText = await collect(engine, aRawRequest(text, { maxTokens: 12, cacheScope: 'text' }));
    const prompt = { kind: 'tokens' as const, tokens };
    const fromTokens = await collect(engine, aRequest('', { prompt, maxTokens: 12, cacheScope: 'tokens' }));
    expect(fromTokens.text).toBe(fromText.text);
    expect(fromTokens.end.usage.promptTokens).toBe(tokens.length);
  });

  test('tells each token’s text, and bytes where they are no text', async () => {
    const engine = await opened(words, { slots: 2 });
    const text = 'ba é<|im_end|>';
    const task = { kind: 'tokenize', text, first: false, control: true, pieces: true } as const;
    const { tokens, pieces = [] } = await engine.tokenize(task);
    expect(pieces).toHaveLength(tokens.length);
    const bytes = pieces.flatMap((piece) => (typeof piece === 'string' ? [...Buffer.from(piece)] : piece));
    expect(Buffer.from(bytes).toString()).toBe(text);
    expect(pieces.at(-1)).toBe('<|im_end|>');
    expect(pieces.filter((piece) => typeof piece !== 'string')).toEqual([[0xc3], [0xa9]]);
  });

  test('an answer tells its context, and a request that begins with it finds all of it in the cache', async () => {
    const engine = await opened(words, { slots: 2 });
    const first = await collect(engine, aRequest('ba', { maxTokens: 5, tellsContext: true }));
    const { context = [] } = first.end;
    expect(context).toHaveLength(first.started.promptTokens + 5);
    expect((await engine.tokenize({ kind: 'detokenize', tokens: context.slice(-5) })).text).toBe(first.text);
    const messages = [{ role: 'user' as const, content: 'ke' }];
    const prompt = { kind: 'chat' as const, messages, tools: [], history: context };
    const next = await collect(engine, aRequest('', { prompt, maxTokens: 5, tellsContext: true }));
    expect(next.end.context?.slice(0, context.length)).toEqual(context);
    // The last token was said, and not read.
    expect(next.started.cachedTokens).toBe(context.length - 1);
    expect((await collect(engine, aRequest('ba', { maxTokens: 5 }))).end).not.toHaveProperty('context');
  });

  test('refuses a token that it does not have, and goes on', async () => {
    const engine = await opened(words, { slots: 2 });
    const wrong = engine.tokenize({ kind: 'detokenize', tokens: [2 ** 31 - 1] });
    await expect(wrong).rejects.toMatchObject({ outcome: 'bad_request', param: 'tokens' });
    const prompt = { kind: 'tokens' as const, tokens: [2 ** 31 - 1] };
    await expect(collect(engine, aRequest('', { prompt }))).rejects.toMatchObject({ param: 'prompt' });
    expect((await engine.tokenize({ kind: 'tokenize', text: 'ba', first: false, control: false })).tokens).not.toEqual(
      [],
    );
  });
});
