// A slot that a gateway holds for what runs beside the worker: taken, told and given back like any other.
import { afterEach, expect, it } from 'vitest';
import { eventually } from '../e2e/eventually.ts';
import { aWorker } from './a-worker.ts';
import type { TestWorker } from './a-worker.ts';

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

async function started(): Promise<TestWorker & { hold: (lease: string) => ReturnType<TestWorker['begin']> }> {
  const worker = stack.use(await aWorker({ engine: { contextTokens: 512, slots: 1, threads: 1, gpu: false } }));
  const hold = (lease: string) => worker.begin({ path: '/internal/hold', lease, model: '@w1', body: {} });
  return { ...worker, hold };
}

const running = ({ beats }: TestWorker) => beats.at(-1)?.running.map(({ id, model }) => `${id} ${model}`);

it('is in the beats as long as the connection is open, and told to the ledger when it closes', async () => {
  const worker = await started();
  const held = worker.hold('l1');
  await eventually('a beat lists it', () => running(worker)?.join() === 'l1 @w1');
  expect((await worker.hold('l2').answer).headers['berth-not-started']).toBe('busy');
  expect((await worker.call()).headers['berth-not-started']).toBe('busy');
  held.abort();
  await eventually('it was told', () => worker.leaves.some(({ id, actual }) => id === 'l1' && (actual ?? 0) > 0));
  expect((await worker.call()).status).toBe(200);
});

it('of another life is not taken', async () => {
  const { begin } = await started();
  const { status, headers } = await begin({ path: '/internal/hold', model: '@w1', epoch: 'before' }).answer;
  expect([status, headers['berth-not-started']]).toEqual([409, 'stale']);
});

it('ends with the worker, when that has waited for as long as it may', async () => {
  const { hold, worker } = await started();
  const held = hold('l1');
  await eventually('it is held', async () => (await hold('l2').answer).headers['berth-not-started'] === 'busy');
  await worker.drain(10);
  expect((await held.answer).refusal).toMatchObject({ outcome: 'worker_failed' });
});
