// What is asked in the simulation: the public traces where they are given, else seeded loads with the same statistics.
import { readFileSync } from 'node:fs';
import { chanceFrom, type Chance } from '../../models/chance.ts';

export interface Ask {
  id: number;
  atMs: number;
  model: string;
  promptTokens: number;
  outputTokens: number;
  /** The prompt in blocks of 512 tokens: equal ids are equal text. */
  blocks: readonly number[];
}

export const blockTokens = 512;

/** Columns TIMESTAMP, ContextTokens, GeneratedTokens. */
export function readAzure(path: string): Ask[] {
  const rows = readFileSync(path, 'utf8').trim().split('\n').slice(1);
  const times = rows.map((row) => Date.parse(`${row.split(',')[0]?.replace(' ', 'T').slice(0, 23)}Z`));
  const firstMs = times[0] ?? 0;
  return rows.map((row, id) => {
    const [, prompt, output] = row.split(',').map(Number);
    return aimless(id, (times[id] ?? 0) - firstMs, prompt ?? 1, output ?? 1);
  });
}

/** One JSON object a line: timestamp (ms), input_length, output_length, hash_ids. */
export function readMooncake(path: string): Ask[] {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line, id) => {
      const row = JSON.parse(line);
      return { ...aimless(id, row.timestamp, row.input_length, row.output_length), blocks: row.hash_ids as number[] };
    });
}

/**
 * As the Azure conversations: 5.5 requests a second in bursts; prompts p50 1,020 and p90 2,735 tokens, answers p50 129
 * and p90 424, log-normal (the trace, read on 2026-11-30).
 */
export function likeAzure(seed: number, count: number): Ask[] {
  const chance = chanceFrom(seed);
  let atMs = 0;
  return Array.from({ length: count }, (_, id) => {
    atMs += (1_000 / (5.5 * (chance.happens(0.2) ? 3 : 0.8))) * -Math.log(1 - chance.unit());
    return aimless(id, atMs, logNormal(chance, 1_020, 0.77, 14_000), logNormal(chance, 129, 0.93, 1_000));
  });
}

/**
 * As Mooncake's synthetic trace: 3.9 requests a second; prompts p50 11.6k and p90 38.6k tokens, answers p50 69; turns of
 * conversations, a few of which share their first blocks, so that about 65 % of the tokens were there before.
 */
export function likeMooncake(seed: number, count: number): Ask[] {
  const chance = chanceFrom(seed);
  const talks: number[][] = [];
  let nextBlock = 0;
  let atMs = 0;
  const fresh = (tokens: number) =>
    Array.from({ length: Math.max(1, Math.round(tokens / blockTokens)) }, () => nextBlock++);
  const openings = Array.from({ length: 20 }, () => fresh(2_000));
  return Array.from({ length: count }, (_, id) => {
    atMs += (1_000 / 3.9) * -Math.log(1 - chance.unit());
    const goesOn = talks.length > 0 && chance.happens(0.62);
    const at = goesOn ? Math.max(0, talks.length - 1 - Math.floor(-60 * Math.log(1 - chance.unit()))) : talks.length;
    const before = talks[at] ?? (chance.happens(0.3) ? chance.pick(openings) : []);
    const blocks = [...before, ...fresh(logNormal(chance, goesOn ? 2_500 : 9_000, 0.9, 60_000))];
    if (goesOn) talks.splice(at, 1);
    talks.push(blocks);
    return { ...aimless(id, atMs, blocks.length * blockTokens, logNormal(chance, 69, 1.1, 2_000)), blocks };
  });
}

/** Models by popularity: the n-th is asked 1 / n as often as the first, in turns of a few minutes. */
export function spreadOver(asks: readonly Ask[], models: readonly string[], seed: number): Ask[] {
  const chance = chanceFrom(seed);
  const weights = models.map((_, at) => 1 / (at + 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const talks = new Map<number, string>();
  const draw = (): string => {
    let left = chance.unit() * total;
    return models.find((_, at) => (left -= weights[at] ?? 0) < 0) ?? models[0] ?? '';
  };
  return asks.map((ask) => {
    // A conversation stays with its model.
    const talk = ask.blocks[0];
    const model = (talk === undefined ? undefined : talks.get(talk)) ?? draw();
    if (talk !== undefined) talks.set(talk, model);
    return { ...ask, model };
  });
}

/** Slower or faster by a factor, so that the load suits the boxes. */
export function stretched(asks: readonly Ask[], factor: number): Ask[] {
  return asks.map((ask) => ({ ...ask, atMs: ask.atMs * factor }));
}

/** Prompt tokens that an endless cache, used by all, would have known. */
export function reusableOf(asks: readonly Ask[]): { reusable: number; total: number } {
  const seen = new Set<string>();
  let [reusable, total] = [0, 0];
  for (const { blocks, promptTokens, model } of asks) {
    const known = blocks.findIndex((block) => !seen.has(`${model} ${block}`));
    reusable += Math.min(promptTokens - 1, (known < 0 ? blocks.length : known) * blockTokens);
    total += promptTokens;
    for (const block of blocks) seen.add(`${model} ${block}`);
  }
  return { reusable, total };
}

function aimless(id: number, atMs: number, promptTokens: number, outputTokens: number): Ask {
  return {
    id,
    atMs,
    model: '',
    promptTokens: Math.max(1, promptTokens),
    outputTokens: Math.max(1, outputTokens),
    blocks: [],
  };
}

function logNormal(chance: Chance, median: number, sigma: number, most: number): number {
  return Math.round(Math.min(most, median * Math.exp(sigma * chance.normal())));
}
