// The load of a bench: so many users, each of whom asks anew as soon as he has his answer, and when each token came.
import { Failed } from '../command.ts';
import type { World } from '../command.ts';
import { linesOf, parsed, post } from '../api.ts';

export interface Load {
  model: string;
  requests: number;
  /** At a time. */
  concurrency: number;
  promptTokens: number;
  outputTokens: number;
}

/** One request. Milliseconds from when it was sent. */
export interface Run {
  /** Why it failed; `null` = it was answered. */
  why: string | null;
  /** When each piece of the answer came. */
  piecesMs: number[];
  endMs: number;
  promptTokens: number;
  outputTokens: number;
}

/** @param onEnd hears how many have ended, and failed */
export async function runLoad(load: Load, world: World, onEnd: (done: number, failed: number) => void): Promise<Run[]> {
  const runs: Run[] = [];
  let next = 0;
  const user = async () => {
    while (next < load.requests) {
      const number = (next += 1);
      runs.push(await ask(load, promptOf(load.promptTokens, world.clock.now(), number), world));
      onEnd(runs.length, runs.filter(({ why }) => why !== null).length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(load.concurrency, load.requests) }, user));
  return runs;
}

/** It begins with what no other begins with, so that no cache knows it. */
function promptOf(tokens: number, nowMs: number, number: number): string {
  const words = ['the', 'slot', 'of', 'a', 'worker', 'is', 'free', 'and', 'who', 'waits', 'gets', 'it', 'next'];
  const text = Array.from({ length: tokens }, (_, at) => words[(at * 7 + number) % words.length]);
  return `${nowMs.toString(36)} ${number} ${text.join(' ')}`;
}

async function ask({ model, outputTokens }: Load, content: string, world: World): Promise<Run> {
  const run: Run = { why: null, piecesMs: [], endMs: 0, promptTokens: 0, outputTokens: 0 };
  const sinceMs = world.clock.monotonic();
  const elapsedMs = () => world.clock.monotonic() - sinceMs;
  const body = {
    model,
    messages: [{ role: 'user', content }],
    max_tokens: outputTokens,
    stream: true,
    stream_options: { include_usage: true },
  };
  try {
    for await (const line of linesOf(await post(world, '/v1/chat/completions', body))) {
      if (!line.startsWith('data: {')) continue;
      hear(run, parsed(world, line.slice('data: '.length)) as Chunk, elapsedMs);
    }
    if (run.outputTokens === 0) run.why = 'the answer was cut, or is empty';
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    run.why = error.message;
  }
  run.endMs = elapsedMs();
  return run;
}

interface Chunk {
  choices?: { delta?: { content?: string | null; reasoning_content?: string | null } }[];
  usage?: { prompt_tokens: number; completion_tokens: number } | null;
  error?: { message: string };
}

function hear(run: Run, { choices = [], usage, error }: Chunk, elapsedMs: () => number): void {
  if (error) throw new Failed(error.message);
  if (choices.some(({ delta }) => delta?.content || delta?.reasoning_content)) run.piecesMs.push(elapsedMs());
  if (!usage) return;
  run.promptTokens = usage.prompt_tokens;
  run.outputTokens = usage.completion_tokens;
}
