// `berth bench`: a load as users make it, and how long each of them waits for which part of an answer.
import { call } from './api.ts';
import { resultOf } from './bench/figures.ts';
import type { Result } from './bench/figures.ts';
import { runLoad } from './bench/load.ts';
import type { Load } from './bench/load.ts';
import { plotCurve } from './bench/plot.ts';
import { Failed, Misused } from './command.ts';
import type { Command, Given, World } from './command.ts';
import { wholeNumber } from './number.ts';
import { bar, table } from './table.ts';

const text = { type: 'string' } as const;
const most = 100_000;
const fallback = { concurrency: 4, requests: 20, 'prompt-tokens': 128, 'output-tokens': 128 } as const;

export const bench: Command = {
  name: 'bench',
  about: 'puts a load on the pool and tells first tokens, gaps, tokens a second and errors, by percentile',
  help: `  --model NAME           which model (the only one, or the first in the list)
  --concurrency N        requests at a time (${fallback.concurrency})
  --requests N           requests in all (${fallback.requests})
  --prompt-tokens N      length of each prompt, about: a word is taken for a token (${fallback['prompt-tokens']})
  --output-tokens N      most tokens of each answer; the model may end earlier (${fallback['output-tokens']})
  --curve N,N,…          the same load with so many requests at a time, one after another: the speed of all together
                         and of each user, to choose NUM_PARALLEL by
  --plot FILE            draws the curve into an SVG file
  --json                 for a program; also when the result is piped

Each prompt is new, so that no cache helps. One request goes before the load: a model that has to be loaded is not what is
measured. With more requests at a time than slots the rest waits in the queue, which the time to the first token shows. A
user's speed counts from his question to the end of his answer.

  berth bench --model llama3.1:8b --concurrency 16 --requests 200
  berth bench --curve 1,2,4,8 --plot speed.svg        (on a worker with NUM_PARALLEL=8)

Exit code 1 when no request was answered.`,
  options: {
    model: text,
    curve: text,
    plot: text,
    json: { type: 'boolean' },
    ...Object.fromEntries(Object.keys(fallback).map((name) => [name, text])),
  },
  words: [],
  async run({ options }, world) {
    const load = await loadOf(options, world);
    const steps = options['curve'] === undefined ? [load.concurrency] : curveOf(String(options['curve']));
    if (options['plot'] !== undefined && steps.length < 2) throw new Misused('--plot draws a --curve, such as 1,2,4,8');
    await warmUp(load, world);
    const results: Result[] = [];
    for (const concurrency of steps) {
      // Fewer would never be so many at a time.
      const requests = Math.max(load.requests, concurrency);
      results.push(await measure({ ...load, concurrency, requests }, world));
    }
    if (options['plot'] !== undefined) await draw(String(options['plot']), load, results, world);
    const [first] = results;
    if (options['json'] === true || !world.terminal) {
      world.say(JSON.stringify(steps.length > 1 ? results : first, null, 2));
    } else world.say(steps.length > 1 || !first ? curveTable(results) : resultTable(first));
    if (results.every(({ answered }) => answered === 0)) throw new Failed(`No request was answered: ${whyOf(results)}`);
  },
};

/** @throws Misused, Failed */
async function loadOf(options: Given['options'], world: World): Promise<Load> {
  const number = (name: keyof typeof fallback) => wholeNumber(name, options[name], fallback[name], most);
  return {
    requests: number('requests'),
    concurrency: number('concurrency'),
    promptTokens: number('prompt-tokens'),
    outputTokens: number('output-tokens'),
    model: options['model'] === undefined ? await firstModel(world) : String(options['model']),
  };
}

function curveOf(value: string): number[] {
  const steps = value.split(',').map((part) => wholeNumber('curve', part.trim(), 1, most));
  if (steps.length > 32) throw new Misused('--curve has at most 32 steps');
  return steps;
}

async function firstModel(world: World): Promise<string> {
  const { models } = (await call(world, 'GET', '/api/tags')) as { models: { name: string; capabilities?: string[] }[] };
  const [first] = models.filter(({ name }) => !/embed/i.test(name));
  if (first) return first.name;
  throw new Failed('no worker has a model that answers: berth models shows what there is');
}

async function warmUp(load: Load, world: World): Promise<void> {
  world.draw(`waking ${load.model}`);
  const [first] = await runLoad({ ...load, requests: 1, concurrency: 1 }, world, () => {});
  world.draw('');
  if (first?.why !== null) throw new Failed(`${load.model} does not answer: ${first?.why ?? 'nothing came'}`);
}

const cells = 30;

async function measure(load: Load, world: World): Promise<Result> {
  const sinceMs = world.clock.monotonic();
  const runs = await runLoad(load, world, (done, failed) => {
    const errors = failed === 0 ? '' : `, ${failed} failed`;
    const share = bar((done / load.requests) * cells, cells);
    world.draw(`${load.concurrency} at a time ${share} ${done} of ${load.requests}${errors}`);
  });
  world.draw('');
  return resultOf(load, runs, world.clock.monotonic() - sinceMs);
}

function resultTable(result: Result): string {
  const { load, answered, errors, seconds, tokensPerS, requestsPerS, outputTokens } = result;
  const row = (name: string, unit: string, { p50, p95, p99 }: Result['ttftMs']) => [
    name,
    ...[p50, p95, p99].map((value) => `${figure(value)}${unit}`),
  ];
  return [
    `${load.model}: ${answered} of ${load.requests} answered in ${figure(seconds)} s, ${load.concurrency} at a time, ${figure(outputTokens)} tokens each`,
    table([
      ['', 'P50', 'P95', 'P99'],
      row('time to the first token', ' ms', result.ttftMs),
      row('gap between tokens', ' ms', result.gapMs),
      row('whole answer', ' ms', result.totalMs),
      row("a user's tokens a second, at least", '', result.userTokensPerS),
    ]),
    `Together ${figure(tokensPerS)} tokens a second, ${figure(requestsPerS)} requests a second.`,
    ...Object.entries(errors).map(([why, count]) => `${count} failed: ${why}`),
  ].join('\n\n');
}

function curveTable(results: readonly Result[]): string {
  const rows = results.map(({ load, tokensPerS, userTokensPerS, ttftMs, answered }) => [
    String(load.concurrency),
    figure(tokensPerS),
    figure(userTokensPerS.p50),
    `${figure(ttftMs.p50)} ms`,
    String(load.requests - answered),
  ]);
  const head = ['AT A TIME', 'TOKENS/S TOGETHER', 'TOKENS/S OF A USER', 'FIRST TOKEN', 'FAILED'];
  return [table([head, ...rows]), ...(whyOf(results) === '' ? [] : [whyOf(results)])].join('\n\n');
}

function whyOf(results: readonly Result[]): string {
  return [...new Set(results.flatMap(({ errors }) => Object.keys(errors)))].join('; ');
}

async function draw(path: string, load: Load, results: readonly Result[], world: World): Promise<void> {
  const day = new Date(world.clock.now()).toISOString().slice(0, 10);
  // What the gateway counted, not what was asked for.
  const [prompts, answers] = [results[0]?.promptTokens ?? 0, results[0]?.outputTokens ?? 0].map(Math.round);
  const about = `${load.model}, prompts of ${prompts} tokens, answers of ${answers}; ${day}`;
  const points = results.map((it) => ({
    parallel: it.load.concurrency,
    all: it.tokensPerS,
    user: it.userTokensPerS.p50,
  }));
  await world.write(path, plotCurve(points, about)).catch((error: Error) => {
    throw new Failed(`the plot cannot be written: ${error.message}`);
  });
}

function figure(value: number | null): string {
  if (value === null) return '-';
  return value >= 100 ? String(Math.round(value)) : value.toFixed(value >= 10 ? 1 : 2);
}
