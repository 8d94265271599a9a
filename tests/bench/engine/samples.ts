// One sample of each kind, taken from one engine.
import { cpuNs, watchOthers } from '../gateway/meter.ts';
import type { Noise } from '../gateway/meter.ts';
import type { Server } from './peer.ts';
import { complete, words } from './stream.ts';

let seeds = 0;
/** A prompt that nobody has asked before, in a scope of its own. */
function fresh(tokens: number) {
  const seed = (seeds += 1);
  return { prompt: words(tokens, seed), scope: `${seed}`, reuse: false };
}

export interface Throughput extends Noise {
  /** Output tokens per second over all slots, from the requests to the last token. */
  tokensPerS: number;
  /** Prompt tokens per second until the last first token; no number where no stream brought text. */
  prefillPerS: number;
  ttftMs: number;
  cpuUsPerToken: number;
}

/** All slots at once, each with a prompt of its own. */
export async function throughput(
  { port, pid }: Server,
  slots: number,
  promptTokens: number,
  tokens: number,
): Promise<Throughput> {
  const noise = watchOthers();
  const cpu = cpuNs(pid);
  const requests = Array.from({ length: slots }, () => ({ ...fresh(promptTokens), tokens }));
  const streams = await Promise.all(requests.map((asked) => complete(port, asked)));
  const usedUs = (cpuNs(pid) - cpu) / 1000;
  const short = streams.find(({ piecesMs }) => piecesMs.length < tokens * 0.9);
  if (short) throw new Error(`an answer had ${short.piecesMs.length} pieces of ${tokens} tokens`);
  const firsts = streams.flatMap(({ piecesMs }) => piecesMs.slice(0, 1)); // a random model may say nothing that is text
  return {
    tokensPerS: (slots * tokens) / (Math.max(...streams.map(({ endMs }) => endMs)) / 1000),
    prefillPerS: firsts.length === 0 ? NaN : (slots * promptTokens) / (Math.max(...firsts) / 1000),
    ttftMs: median(firsts),
    cpuUsPerToken: usedUs / (slots * tokens),
    ...noise(),
  };
}

/** Long enough that V8 has compiled what runs for every token; an engine that runs for days is never colder. */
const warmMs = 4_000;

/** Short answers in all slots. */
export async function warmUp({ port }: Server, slots: number): Promise<void> {
  for (const until = performance.now() + warmMs; performance.now() < until;) {
    await Promise.all(Array.from({ length: slots }, () => complete(port, { ...fresh(16), tokens: 32 })));
  }
}

export interface Gap extends Noise {
  /** Time to the first token of the long prompt. */
  ttftMs: number;
  /** The longest pause of the running stream meanwhile. */
  gapMs: number;
  /** Tokens that the running stream got meanwhile. */
  meanwhile: number;
}

/** One stream runs; a long prompt comes to another slot. */
export async function gap({ port }: Server, promptTokens: number): Promise<Gap> {
  const noise = watchOthers();
  const { running, stop, startedAt } = await flowing(port);
  const from = performance.now() - startedAt;
  const long = await complete(port, { ...fresh(promptTokens), tokens: 2 }).finally(() => stop.abort());
  const to = from + (long.piecesMs[0] ?? long.endMs);
  const times = (await running).piecesMs.filter((at) => at >= from - 50 && at <= to);
  const pauses = [...times, to].map((at, index, all) => at - (all[index - 1] ?? from));
  return { ttftMs: to - from, gapMs: Math.max(...pauses), meanwhile: times.length, ...noise() };
}

const startsMax = 10;

/** A stream that has brought 16 pieces. A random model may fall into saying nothing that is text: then another is asked for. */
async function flowing(port: number) {
  for (let start = 0; start < startsMax; start += 1) {
    const stop = new AbortController();
    const startedAt = performance.now();
    const flows = Promise.withResolvers<boolean>();
    const onPiece = (count: number): void => void (count === 16 && flows.resolve(true));
    const running = complete(port, { ...fresh(16), tokens: 1500, onPiece, signal: stop.signal });
    if (await Promise.race([flows.promise, running.then(() => false)])) return { running, stop, startedAt };
  }
  throw new Error(`${startsMax} streams ended before their 16th piece`);
}

/** Milliseconds until a server with one slot answers anew after a long prompt was abandoned in the midst of its reading. */
export async function freed({ port }: Server, promptTokens: number): Promise<number> {
  const stop = new AbortController();
  const abandoned = complete(port, { ...fresh(promptTokens), tokens: 4, signal: stop.signal });
  await new Promise((resolve) => setTimeout(resolve, 60));
  stop.abort();
  await abandoned;
  const next = await complete(port, { ...fresh(4), tokens: 1 });
  return next.piecesMs[0] ?? next.endMs;
}

/** Times to the first token: cold, and with all but the last 100 tokens known to the slot. */
export async function warmStart({ port }: Server, promptTokens: number): Promise<{ coldMs: number; warmMs: number }> {
  const { prompt, scope } = fresh(promptTokens);
  const cold = await complete(port, { prompt, scope, reuse: true, tokens: 1 });
  const known = prompt
    .split(' ')
    .slice(0, promptTokens - 99)
    .join(' ');
  const warm = await complete(port, { prompt: known + words(100, (seeds += 1)), scope, reuse: true, tokens: 1 });
  return { coldMs: cold.piecesMs[0] ?? cold.endMs, warmMs: warm.piecesMs[0] ?? warm.endMs };
}

/** Of those that are numbers: what is none was not measured. */
export function median(values: readonly number[]): number {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? NaN)
    : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}
