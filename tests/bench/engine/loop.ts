// The slot loop without client and server: `node loop.ts MODEL CONTEXT` prints what a full step costs besides native
// calls, and after how many steps an aborted request is gone. Events go down a real pipe, as to a worker.
import { Socket } from 'node:net';
import { bindNative } from '../../../worker/engine/llama/binding.ts';
import type { Binding } from '../../../worker/engine/llama/binding.ts';
import { loadModel, openContext } from '../../../worker/engine/llama/load.ts';
import { openLoop } from '../../../worker/engine/llama/loop.ts';
import { cpuTuning } from '../../../worker/engine/llama/tuning.ts';
import { send } from '../../../worker/engine/llama/wire.ts';
import { aRawRequest, plainSampling } from '../../engine/requests.ts';
import { median } from './samples.ts';
import { forbidden, words } from './stream.ts';

export interface LoopFigures {
  /** Of a step that decodes eight tokens: all of it, and what is spent outside awaited native calls. */
  stepUs: number;
  ownUs: number;
  steps: number;
  /** Steps that ended between the abort and `gone`: 1 = the one in progress. */
  stepsToFree: { prefill: number; decode: number };
}

const slots = 8;
const [path = '', context = '4096'] = process.argv.slice(2);
const options = { path, slots, contextTokens: Number(context), threads: 1, gpu: false } as const;
const loaded = await loadModel(options, null);
const native = bindNative(loaded, await openContext(loaded, options), process.env['UV_THREADPOOL_SIZE'] === '1');
const pipe = new Socket({ fd: 3 });

let nativeMs = 0;
async function timed<T>(call: () => Promise<T>): Promise<T> {
  const from = performance.now();
  const result = await call();
  nativeMs += performance.now() - from;
  return result;
}

const binding: Binding = { ...native, step: (parts) => timed(() => native.step(parts)) };

const full: { stepMs: number; ownMs: number }[] = [];
let [lastMs, lastNativeMs, steps] = [performance.now(), 0, 0];
let onStep = (_decoded: number): void => {};
let onGone = (): void => {};
const loop = openLoop(
  binding,
  () => performance.now(),
  (events, done) => {
    send(pipe, { kind: 'events', events, steps: done });
    done.forEach(note);
    if (events.some(([, { kind }]) => kind === 'gone')) onGone();
  },
  { ...cpuTuning, frameMs: 0 }, // each step is told by itself, so that it can be timed
  null,
);

/** From the end of one step's events to the end of the next one's: everything is in it. */
function note({ decoded, prefilled }: { decoded: number; prefilled: number }): void {
  const [nowMs, awaitedMs] = [performance.now(), nativeMs - lastNativeMs];
  if (decoded === slots && prefilled === 0) full.push({ stepMs: nowMs - lastMs, ownMs: nowMs - lastMs - awaitedMs });
  [lastMs, lastNativeMs] = [nowMs, nativeMs];
  steps += 1;
  onStep(decoded);
}

const sampling = { ...plainSampling, logitBias: forbidden };
const request = (promptTokens: number, maxTokens: number, seed: number) =>
  aRawRequest(words(promptTokens, seed), { maxTokens, cacheScope: String(seed), sampling });

/** On a slow machine fewer steps are measured. */
const stepsMsMax = 40_000;

/** Eight answers at once; the first steps warm the compiler. */
async function stepCost(): Promise<{ stepUs: number; ownUs: number; steps: number }> {
  const [warmSteps, measuredSteps] = [40, 200];
  const enough = new Promise<void>((resolve) => {
    const until = performance.now() + stepsMsMax;
    const late = (): boolean => performance.now() > until && full.length > warmSteps;
    onStep = () => (full.length >= warmSteps + measuredSteps || late()) && resolve();
  });
  for (let id = 1; id <= slots; id += 1) void loop.submit(id, request(16, 1000, id));
  await enough;
  onStep = () => {};
  for (let id = 1; id <= slots; id += 1) await gone(id);
  const kept = full.slice(warmSteps);
  const us = (value: (it: (typeof kept)[number]) => number) => Math.round(1000 * median(kept.map(value)));
  return { stepUs: us(({ stepMs }) => stepMs), ownUs: us(({ ownMs }) => ownMs), steps: kept.length };
}

/** Aborts a request. @returns steps that ended meanwhile */
async function gone(id: number): Promise<number> {
  const from = steps;
  const left = new Promise<void>((resolve) => (onGone = resolve));
  loop.abort(id);
  await left;
  return steps - from;
}

/** Aborted in the midst of a step: most of an event loop's turn later than its beginning. */
async function stepsToFree(promptTokens: number, id: number): Promise<number> {
  // Told by its steps: a random model may say nothing that is text.
  const reached = new Promise<void>((resolve) => {
    onStep = (decoded) => (promptTokens > 1000 || decoded > 0) && resolve();
  });
  void loop.submit(id, request(promptTokens, 1000, id));
  await reached;
  onStep = () => {};
  await new Promise((resolve) => setImmediate(resolve));
  return await gone(id);
}

void loop.run();
const cost = await stepCost();
const [prefill, decode] = [await stepsToFree(2000, 100), await stepsToFree(16, 101)];
const figures: LoopFigures = { ...cost, stepsToFree: { prefill, decode } };
console.log(JSON.stringify(figures));
process.kill(process.pid, 'SIGKILL'); // native threads may be at work
