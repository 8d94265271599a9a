// Conversations as the clients of a large service have them: from a trace of Azure's, or drawn like it.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { chanceFrom } from '../models/chance.ts';
import type { Work } from './load.ts';

/** AzurePublicDataset, LLM inference trace 2023, conversations (CC-BY). It lies beside the project, where it does. */
const tracePath = join(import.meta.dirname, '../../../shared/traces/AzureLLMInferenceTrace_conv.csv');

interface Turn {
  atMs: number;
  promptTokens: number;
  outputTokens: number;
}

/** The first requests of the trace; `null` when it is not there. */
export function tracedTurns(count: number): Turn[] | null {
  if (!existsSync(tracePath)) return null;
  const rows = readFileSync(tracePath, 'utf8')
    .split('\n')
    .slice(1, count + 1);
  const turns = rows.map((row) => {
    const [time = '', prompt, output] = row.split(',');
    const atMs = Date.parse(`${time.slice(0, 23).replace(' ', 'T')}Z`);
    return { atMs, promptTokens: Number(prompt), outputTokens: Number(output) };
  });
  const startMs = turns[0]?.atMs ?? 0;
  return turns.map((turn) => ({ ...turn, atMs: turn.atMs - startMs }));
}

/** Requests with the rate and the medians and 99th percentiles of the trace's lengths, logarithmically normal. */
export function drawnTurns(count: number, seed: number): Turn[] {
  const chance = chanceFrom(seed);
  const length = (median: number, p99: number) =>
    Math.ceil(median * Math.exp((Math.log(p99 / median) / 2.326) * chance.normal()));
  let atMs = 0;
  return Array.from({ length: count }, () => {
    atMs -= (1_000 / 5.5) * Math.log(1 - chance.unit());
    return { atMs, promptTokens: length(1_020, 4_142), outputTokens: length(129, 601) };
  });
}

/** Tokens a second of one slot, of a large GPU. */
const prefillPerMs = 8;
const decodePerMs = 0.04;

/** The same requests as work for a pool, from so many teams. */
export function worksOf(turns: readonly Turn[], teams: number, seed: number): Work[] {
  const chance = chanceFrom(seed);
  return turns.map(({ atMs, promptTokens, outputTokens }, at) => {
    const team = chance.between(1, teams);
    return {
      id: `turn-${at}`,
      atMs,
      model: 'hot',
      team: `team-${team}`,
      key: `key-${team}-${chance.between(1, 3)}`,
      priority: 1,
      stream: false,
      bytes: promptTokens * 4,
      silenceMs: promptTokens / prefillPerMs + outputTokens / decodePerMs,
      pieces: 1,
      pieceMs: 0,
      patienceMs: null,
      abortMs: null,
      stallMs: null,
      poison: false,
    };
  });
}
