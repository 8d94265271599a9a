// The worker's side of an engine process: spawns it, hands it requests, and notices when it dies.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { basename } from 'node:path';
import { Refusal } from '@berth/shared/outcome.ts';
import type { Tokenizing } from '@berth/shared/request.ts';
import { OutOfMemory } from '../engine.ts';
import type {
  EmbedInput,
  Engine,
  EngineDied,
  EngineEvent,
  EngineInfo,
  EngineOptions,
  EngineRequest,
  EngineStep,
  Tokenized,
} from '../engine.ts';
import { asking } from './asking.ts';
import type { Asking } from './asking.ts';
import { mailbox } from './mailbox.ts';
import type { Mailbox } from './mailbox.ts';
import type { LoopTuning } from './tuning.ts';
import { exitOf, startProcess } from './process.ts';
import { receiveLines, send } from './wire.ts';
import type { EmbeddedMessage, FromEngine, RunEvent, StepSummary } from './wire.ts';

export interface LlamaOutside {
  /** The worker's environment; the engine sees only what it needs of it. */
  env: Readonly<Record<string, string | undefined>>;
  /** Keeps to the public API of node-llama-cpp with one sequence: for tests of that fallback. */
  publicOnly?: boolean;
  /** Replaces single values of the slot loop's tuning, such as the gap it aims at. */
  tuning?: Partial<LoopTuning>;
  /** Free memory to reckon with, instead of what the device tells: for tests of what does not fit. */
  freeBytes?: number;
  /** Told of every step: for metrics and tests. */
  onStep?: (step: StepSummary) => void;
  /** Told what the engine process says of itself; never prompts or answers. */
  note?: (message: string) => void;
}

/** Longest wait for an engine that saves its prompts: a little more than it gives itself. */
const closeMsMax = 2_500;

interface Opening extends LlamaOutside {
  onProgress: () => void;
}

export interface LlamaEngine extends Engine {
  /** The engine's process, for the worker's log. */
  readonly pid: number;
}

/** Opens each model in an engine process of its own. */
export function llamaEngines(
  outside: LlamaOutside,
): (options: EngineOptions, signal: AbortSignal, onProgress?: () => void) => Promise<LlamaEngine> {
  return (options, signal, onProgress = () => {}) => openLlama({ ...outside, onProgress }, options, signal);
}

async function openLlama(outside: Opening, options: EngineOptions, signal: AbortSignal): Promise<LlamaEngine> {
  signal.throwIfAborted();
  const child = startProcess(outside.env, options);
  const pipe = child.stdio[3];
  if (!(pipe instanceof Socket)) throw new Error('an engine process needs a pipe');
  const exited = exitOf(child, pipe, basename(options.path));
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    return await handshake(outside, options, child, pipe, exited);
  } catch (error) {
    kill();
    await exited;
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

async function handshake(
  outside: Opening,
  options: EngineOptions,
  child: ChildProcess,
  pipe: Socket,
  exited: Promise<EngineDied>,
): Promise<LlamaEngine> {
  const ready = Promise.withResolvers<EngineInfo>();
  const runs = new Map<number, Mailbox<RunEvent>>();
  const questions = asking<Tokenizing, Tokenized>((id, task) => send(pipe, { kind: 'tokenize', id, task }));
  const vectors = asking<EmbedInput, Vector>((id, input) => send(pipe, { kind: 'embed', id, input }));
  let steps = 0;
  let hear = (_step: EngineStep): void => {};
  receiveLines(pipe, (message: FromEngine) => {
    if (message.kind === 'ready') ready.resolve(message.info);
    else if (message.kind === 'progress') outside.onProgress();
    else if (message.kind === 'failed') ready.reject(loadFailure(message));
    else if (message.kind === 'tokenized') questions.answered(message);
    else if (message.kind === 'embedded') vectors.answered(message);
    else if (message.kind === 'note') outside.note?.(message.message);
    else {
      for (const step of message.steps) {
        steps = step.step;
        outside.onStep?.(step);
        hear(step);
      }
      for (const [id, event] of message.events) runs.get(id)?.put(event);
    }
  });
  const mourn = (why: EngineDied): void => {
    ready.reject(diedLoading(why, options));
    for (const run of runs.values()) run.fail(why);
    questions.died(why);
    vectors.died(why);
  };
  void exited.then(mourn);
  const { publicOnly = false, tuning = {}, freeBytes = null } = outside;
  send(pipe, { kind: 'open', options, publicOnly, tuning, freeBytes });
  const info = await ready.promise;
  return engineOver({
    child,
    pipe,
    exited,
    runs,
    questions,
    vectors,
    info,
    steps: () => steps,
    onStep: (listener) => void (hear = listener),
    saves: Boolean(options.promptCache),
  });
}

function loadFailure({ message, missingBytes }: Extract<FromEngine, { kind: 'failed' }>): Refusal {
  return missingBytes === undefined ? new Refusal('load_failed', message) : new OutOfMemory(message, missingBytes);
}

function diedLoading(why: EngineDied, { path }: EngineOptions): Refusal {
  return new Refusal(
    'load_failed',
    `loading ${basename(path)} killed its process (${why.message}). The file is damaged, not a model that this ` +
      'version of llama.cpp knows, or too large for the memory: check it, or fetch it again.',
  );
}

type Vector = Exclude<EmbeddedMessage['result'], { kind: 'refused' }>;

function numbersOf(vector: string): Float32Array {
  const bytes = Buffer.from(vector, 'base64');
  return Float32Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(4 * index));
}

interface OpenProcess {
  child: ChildProcess;
  pipe: Socket;
  exited: Promise<EngineDied>;
  runs: Map<number, Mailbox<RunEvent>>;
  questions: Asking<Tokenizing, Tokenized>;
  vectors: Asking<EmbedInput, Vector>;
  info: EngineInfo;
  steps: () => number;
  onStep: Engine['onStep'];
  /** Whether it has prompts to save before it ends. */
  saves: boolean;
}

function engineOver(opened: OpenProcess): LlamaEngine {
  const { child, pipe, exited, runs, questions, vectors, info, steps, onStep, saves } = opened;
  let ids = 0;
  const isDead = (): boolean => child.exitCode !== null || child.signalCode !== null;

  async function* generate(request: EngineRequest, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    signal.throwIfAborted();
    if (isDead()) throw await exited;
    const id = (ids += 1);
    const box = mailbox<RunEvent>();
    runs.set(id, box);
    const abort = (): void => send(pipe, { kind: 'abort', id });
    signal.addEventListener('abort', abort, { once: true });
    send(pipe, { kind: 'run', id, request });
    let over = false;
    try {
      while (!over) {
        const event = await box.take();
        over = event.kind === 'end' || event.kind === 'refused' || event.kind === 'gone';
        if (signal.aborted && over) throw signal.reason;
        if (event.kind === 'refused') throw refusalOf(event);
        if (event.kind !== 'gone' && !signal.aborted) yield event;
      }
    } finally {
      signal.removeEventListener('abort', abort);
      if (!over && !isDead()) await left(box, abort);
      runs.delete(id);
    }
  }

  return {
    info,
    pid: child.pid ?? 0,
    steps,
    onStep,
    generate,
    tokenize: async (task) => {
      if (isDead()) throw await exited;
      return questions.ask(task);
    },
    embed: async (input) => {
      if (isDead()) throw await exited;
      const { vector, tokens } = await vectors.ask(input);
      return { vector: numbersOf(vector), tokens };
    },
    useThreads: (count) => send(pipe, { kind: 'threads', count }),
    died: exited,
    [Symbol.asyncDispose]: async () => {
      if (isDead()) return;
      if (saves && runs.size === 0) await saved(pipe, exited);
      if (isDead()) return;
      child.kill('SIGKILL'); // the surest way to give all memory back; a request that still runs gets EngineDied
      await once(child, 'exit');
    },
  };
}

/** Lets an idle engine save its prompts and end; one that does not is killed. */
async function saved(pipe: Socket, exited: Promise<EngineDied>): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, closeMsMax);
  send(pipe, { kind: 'close' });
  await Promise.race([exited, late.promise]);
  clearTimeout(timer);
}

function refusalOf({ outcome, message, param }: Extract<RunEvent, { kind: 'refused' }>): Refusal {
  return new Refusal(outcome, message, param === null ? {} : { param });
}

/** The reader went away: waits until the sequence is free. */
async function left(box: Mailbox<RunEvent>, abort: () => void): Promise<void> {
  abort();
  try {
    for (;;) {
      const { kind } = await box.take();
      if (kind === 'end' || kind === 'refused' || kind === 'gone') return;
    }
  } catch {
    // The engine died meanwhile: the sequence is gone with it, and those who still read are told.
  }
}
