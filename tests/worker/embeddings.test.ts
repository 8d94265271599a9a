// Requests for embeddings on a worker: a lane of their own, one input at a time, bodies of three kinds.
import { afterEach, describe, expect, it } from 'vitest';
import type { Beat } from '@berth/shared/ledger/ledger.ts';
import { embeddingsLane } from '../../worker/lanes.ts';
import { aWorker, announced, chat, until } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

const path = '/v1/embeddings';
const workers: TestWorker[] = [];
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker[Symbol.asyncDispose]();
});

/** A worker with a chat model `m` and an embedding model `e`. */
async function started(options: Parameters<typeof aWorker>[0] = {}): Promise<TestWorker> {
  const worker = await aWorker({ ...options, embedders: ['e'] });
  workers.push(worker);
  return worker;
}

const ask = (input: unknown, more: object = {}) => ({ model: 'e', input, ...more });
const lane = ({ beats }: TestWorker): Beat | undefined =>
  beats.findLast(({ worker }) => worker === embeddingsLane('w1'));
const modelsOf = (beat: Beat | undefined): string[] => announced(beat).models.map(({ name }) => name);
const embed = async ({ call }: TestWorker, body: object, at = path) => {
  const answer = await call({ path: at, model: 'e:latest', body });
  return { ...answer, json: JSON.parse(answer.body) };
};

describe('the lane', () => {
  it('is announced as a worker of its own, at the same address, with its slots and its models', async () => {
    const worker = await started({ embedParallel: 3 });
    await until(() => lane(worker) !== undefined);
    const [own, main] = [lane(worker)!, worker.beats.findLast((beat) => beat.worker === 'w1')!];
    expect([own.capacity, own.serves, own.epoch]).toEqual([3, [], main.epoch]);
    expect([main.capacity, main.serves]).toEqual([4, []]);
    expect([modelsOf(own), modelsOf(main)]).toEqual([['e:latest'], ['m:latest']]);
    expect(JSON.parse(own.announcement).url).toBe(worker.worker.url);
  });

  it('loads its models by orders of its own, and serves them alone', async () => {
    const { orders, beats } = await started();
    orders.set(embeddingsLane('w1'), { model: 'e:latest', victim: '' });
    await until(() => beats.some(({ serves }) => serves.length > 0));
    await until(() => orders.size === 0);
    expect(beats.filter(({ serves }) => serves.length > 0).map((beat) => [beat.worker, beat.serves])).toEqual([
      [embeddingsLane('w1'), ['e:latest']],
    ]);
  });

  it('is not announced by a worker without embedding models', async () => {
    const worker = await aWorker();
    workers.push(worker);
    await worker.call();
    expect(worker.beats.every((beat) => beat.worker === 'w1')).toBe(true);
  });

  it('never holds a slot for chat, and one over its own is "not started, busy"', async () => {
    const worker = await started({
      engine: { contextTokens: 512, slots: 1, threads: 1, gpu: false },
      echo: { prefillDelayMs: 300 },
    });
    const running = worker.begin({ path, model: 'e:latest', body: ask(['a', 'b', 'c']), lease: 'index' });
    await until(() => lane(worker)?.running.length === 1);
    const refused = await worker.call({ path, model: 'e:latest', body: ask('late') });
    expect([refused.status, refused.headers['berth-not-started']]).toEqual([409, 'busy']);
    expect((await worker.call({ body: chat('hello') })).status).toBe(200);
    expect(
      worker.beats.filter(({ worker: who }) => who === 'w1').flatMap(({ running: held }) => held),
    ).not.toContainEqual(expect.objectContaining({ id: 'index' }));
    expect((await running.answer).status).toBe(200);
  });

  it('is free within one input after the gateway has left, and the ledger is told', async () => {
    const worker = await started({ echo: { prefillDelayMs: 50 } });
    const inputs = Array.from({ length: 2_000 }, () => 'x');
    const running = worker.begin({ path, model: 'e:latest', body: ask(inputs), lease: 'cut' });
    await until(() => lane(worker)?.running.length === 1);
    const startedMs = performance.now();
    running.abort();
    await until(() => worker.leaves.some(({ id }) => id === 'cut'));
    // All of them would take 100 s.
    expect(performance.now() - startedMs).toBeLessThan(20_000);
    expect((await embed(worker, ask('next'))).status).toBe(200);
  });

  it('says good-bye like the other one', async () => {
    const worker = await started();
    await worker.worker.drain(0);
    expect(lane(worker)?.last).toBe(true);
  });
});

describe('bodies', () => {
  it("OpenAI's: in order, of length 1, with tokens in usage and in the settlement", async () => {
    const { json, settlement } = await embed(await started(), ask(['one two two', 'three']));
    expect(json).toMatchObject({ object: 'list', model: 'e', usage: { prompt_tokens: 4, total_tokens: 4 } });
    expect(json.data.map(({ index, object }: { index: number; object: string }) => [index, object])).toEqual([
      [0, 'embedding'],
      [1, 'embedding'],
    ]);
    for (const { embedding } of json.data) expect(Math.hypot(...embedding)).toBeCloseTo(1, 6);
    expect(settlement).toMatchObject({ finish: 'stop', promptTokens: 4, outputTokens: 0 });
  });

  it('base64 is little-endian single precision of the same numbers', async () => {
    const worker = await started();
    const plain = await embed(worker, ask('one two'));
    const packed = await embed(worker, ask('one two', { encoding_format: 'base64' }));
    const bytes = Buffer.from(packed.json.data[0].embedding, 'base64');
    const numbers = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
    expect(numbers).toEqual(plain.json.data[0].embedding);
  });

  it('dimensions cut and normalise anew; more than there are is refused', async () => {
    const worker = await started();
    const short = await embed(worker, ask('a b c d e', { dimensions: 5 }));
    expect(short.json.data[0].embedding).toHaveLength(5);
    expect(Math.hypot(...short.json.data[0].embedding)).toBeCloseTo(1, 6);
    const long = await embed(worker, ask('a', { dimensions: 17 }));
    expect([long.status, long.json.error.param]).toEqual([400, 'dimensions']);
  });

  it("Ollama's: vectors, counts and durations; none for an empty input", async () => {
    const worker = await started();
    const { json } = await embed(worker, ask(['one', 'two three']), '/api/embed');
    expect(json).toMatchObject({ model: 'e', prompt_eval_count: 3 });
    expect(json.embeddings).toHaveLength(2);
    expect(Math.min(json.total_duration, json.load_duration)).toBeGreaterThan(0);
    expect((await embed(worker, ask(''), '/api/embed')).json.embeddings).toEqual([]);
    const old = await embed(worker, { model: 'e', prompt: 'one' }, '/api/embeddings');
    expect(old.json).toEqual({ embedding: json.embeddings[0] });
    expect((await embed(worker, { model: 'e' }, '/api/embeddings')).json).toEqual({ embedding: [] });
  });

  it('what is too long is cut for Ollama unless truncate is false, and refused for OpenAI by its place', async () => {
    const worker = await started({ engine: { contextTokens: 4, slots: 1, threads: 1, gpu: false } });
    const long = 'a b c d e';
    expect((await embed(worker, ask(long), '/api/embed')).json.prompt_eval_count).toBe(4);
    const whole = await embed(worker, ask(long, { truncate: false }), '/api/embed');
    expect([whole.status, whole.json.error]).toEqual([400, expect.stringContaining('context length')]);
    const { status, json } = await embed(worker, ask(['a', long]));
    expect([status, json.error.param, json.error.code]).toEqual([400, 'input[1]', 'context_length_exceeded']);
  });

  it('a chat model does not embed, an embedding model does not chat', async () => {
    const worker = await started();
    const chatModel = await worker.call({ path, body: { model: 'm', input: 'x' } });
    expect([chatModel.status, JSON.parse(chatModel.body).error.message]).toEqual([
      400,
      "model 'm' does not support embeddings",
    ]);
    const embedder = await worker.call({ model: 'e:latest', body: chat('hi', { model: 'e' }) });
    expect([embedder.status, embedder.body]).toEqual([400, expect.stringContaining('does not support chat')]);
  });
});
