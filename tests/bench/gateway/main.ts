// `npm run bench:gateway`: Berth's gateway beside direct calls, HAProxy, nginx and http-proxy-3, in interleaved rounds.
// How it is measured and how to read it: BENCHMARKS.md.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { killAll, pinSelf } from './launch.ts';
import { apiKey } from './load.ts';
import { lookAround, requireMachine } from './machine.ts';
import { watchOthers } from './meter.ts';
import type { Noise } from './meter.ts';
import { insert, render } from './report.ts';
import type { Kept, Results } from './report.ts';
import { sampleChunks, sampleMemory, sampleRequests } from './samples.ts';
import { openStage, openTarget, targetNames } from './targets.ts';
import type { PoolSize, Stage, Target } from './targets.ts';
import { prepareWrk } from './wrk.ts';

const root = resolve(import.meta.dirname, '../../..');
const parts = ['requests', 'chunks', 'memory'] as const;
type Part = (typeof parts)[number];

/** A sample is taken again when others used more than this of one processor meanwhile. */
const foreignPctMax = 10;
/** From here on nothing is taken again, so that a run on a busy machine ends all the same. */
const repeatUntilMs = 20 * 60_000;
/** Longest wait for a moment in which nobody else is at work, and how long one looks. */
const quietWaitMs = 60_000;
const quietLookMs = 500;
/** Connections and streams that a process needs besides those that are measured. */
const filesSpare = 500;

interface Plan {
  parts: readonly Part[];
  rounds: number;
  seconds: number;
  quick: boolean;
  repeatsMax: number;
  /** V8 compiles on the same processor at first: every target is used this long before it is measured. */
  warmSeconds: number;
  connections: readonly number[];
  chunksPerS: readonly number[];
  streams: number;
  memoryStreams: readonly number[];
  /** Seconds after which the memory of newly opened streams is read. */
  settleSeconds: number;
  profileFolder: string | undefined;
}

const usage = 'usage: main.ts [--rounds 3] [--seconds 5] [--only requests|chunks|memory] [--quick] [--profile FOLDER]';

function planOf(args: readonly string[]): Plan {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  });
  const { quick, only } = values;
  const chosen = parts.filter((part) => only === undefined || only.includes(part));
  const rounds = Number(values.rounds ?? (quick ? 1 : 3));
  const seconds = Number(values.seconds ?? (quick ? 1 : 5));
  const valid = chosen.length === (only ?? parts).length && between(rounds, 1, 20) && between(seconds, 1, 60);
  if (!valid) throw new Error(usage);
  return {
    parts: chosen,
    rounds,
    seconds,
    quick,
    repeatsMax: quick ? 0 : 3,
    warmSeconds: quick ? 1 : 3,
    connections: [16, 64, 256],
    chunksPerS: [10_000, 20_000],
    streams: 500,
    memoryStreams: [1_000, 5_000],
    settleSeconds: quick ? 2 : 6,
    profileFolder: values.profile,
  };
}

function between(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most;
}

async function main(): Promise<void> {
  const plan = planOf(process.argv.slice(2));
  requireMachine();
  const facts = await lookAround();
  pinSelf();
  const { rounds, seconds, quick } = plan;
  const results: Results = {
    facts,
    settings: { rounds, seconds, quick },
    requests: [],
    chunks: [],
    memory: [],
    outcomes: {},
  };
  if (plan.parts.includes('requests') || plan.parts.includes('chunks')) await measureWork(plan, results);
  if (plan.parts.includes('memory')) await measureMemory(plan, results);
  await publish(plan, results);
}

/** Enough slots for every connection and stream: the queue is not what is measured. */
const workPool: PoolSize = { workers: 8, slots: 128 };
const memoryPool: PoolSize = { workers: 20, slots: 256 };

/** All targets stay up for all rounds, so that each is warm, and take turns. */
async function measureWork(plan: Plan, results: Results): Promise<void> {
  await using stage = await openStage(workPool);
  await using stack = new AsyncDisposableStack();
  const wrk = await prepareWrk(stage.folder);
  const targets: Target[] = [];
  for (const name of targetNames) targets.push(stack.use(await openTarget(name, stage, plan)));
  for (const target of targets) {
    say(`warming up ${target.name}`);
    await wrk(target.port, 64, plan.warmSeconds);
  }
  const turns = rounds(plan);
  for (const round of plan.parts.includes('requests') ? turns : []) {
    for (const connections of plan.connections) {
      for (const target of targets) {
        const sample = await quietly(plan, round, () => sampleRequests(stage, target, wrk, connections, plan.seconds));
        say(
          `round ${round}: ${target.name}, ${connections} connections: ${number(sample.perS)}/s, ${us(sample)} a request`,
        );
        results.requests.push(sample);
      }
    }
  }
  for (const round of plan.parts.includes('chunks') ? turns : []) {
    for (const chunksPerS of plan.chunksPerS) {
      for (const target of targets) {
        const load = {
          streams: plan.streams,
          chunksPerS,
          warmSeconds: round === 1 ? plan.warmSeconds : 1,
          seconds: plan.seconds,
        };
        const sample = await quietly(plan, round, () => sampleChunks(stage, target, load));
        say(
          `round ${round}: ${target.name}, ${number(chunksPerS)} chunks/s: ${number(sample.perS)}/s, ${us(sample)} a chunk`,
        );
        results.chunks.push(sample);
      }
    }
  }
  results.outcomes = await outcomesOf(targets);
}

/** Each sample on a fresh process: memory that once was used is not given back. */
async function measureMemory(plan: Plan, results: Results): Promise<void> {
  const most = Math.floor((results.facts.filesMax - filesSpare) / 2);
  const counts = [...new Set(plan.memoryStreams.map((count) => Math.min(count, most)))];
  if (most < Math.max(...plan.memoryStreams))
    say(`only ${most} streams: a process may have ${results.facts.filesMax} files open`);
  await using stage = await openStage(memoryPool);
  for (const round of rounds(plan)) {
    for (const name of targetNames.filter((name) => name !== 'direct')) {
      const sample = await quietly(plan, round, () => freshMemory(plan, stage, name, counts));
      const levels = sample.levels.map(({ streams, residentBytes }) => `${streams}: ${number(residentBytes / 1e6)} MB`);
      say(`round ${round}: ${name}, ${levels.join(', ')}`);
      results.memory.push(sample);
    }
  }
}

async function freshMemory(plan: Plan, stage: Stage, name: (typeof targetNames)[number], counts: readonly number[]) {
  await using target = await openTarget(name, stage, plan);
  return await sampleMemory(stage, target, counts, plan.settleSeconds);
}

function rounds({ rounds }: Plan): number[] {
  return Array.from({ length: rounds }, (_, index) => index + 1);
}

/** Waits for a quiet moment, and takes a sample again that was disturbed: both a bounded number of times. */
async function quietly<T extends Noise>(plan: Plan, round: number, sample: () => Promise<T>): Promise<Kept<T>> {
  for (let repeats = 0; ; repeats += 1) {
    if (!plan.quick) await quietMoment();
    const taken = await sample();
    const quiet = isQuiet(taken);
    if (quiet || repeats >= plan.repeatsMax || performance.now() > repeatUntilMs)
      return { ...taken, round, repeats, quiet };
    say(`others used ${taken.foreignPct} % (and the hypervisor took ${taken.stealPct} %): taken again`);
  }
}

function isQuiet({ foreignPct, stealPct }: Noise): boolean {
  return foreignPct + stealPct <= foreignPctMax;
}

async function quietMoment(): Promise<void> {
  const lastMs = Math.min(performance.now() + quietWaitMs, repeatUntilMs);
  for (let quiet = false; !quiet && performance.now() < lastMs;) {
    const noise = watchOthers();
    await sleep(quietLookMs);
    quiet = isQuiet(noise());
  }
}

/** Berth's own count of how its requests ended: the proof that metrics were on and that nothing failed. */
async function outcomesOf(targets: readonly Target[]): Promise<Record<string, number>> {
  const port = targets.find(({ name }) => name === 'berth')?.port;
  const reply = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { authorization: `Bearer ${apiKey}` } });
  const lines = [...(await reply.text()).matchAll(/^berth_requests_total\{.*outcome="(\w+)".*\} (\d+)$/gm)];
  return Object.fromEntries(lines.map(([, outcome = '', count]) => [outcome, Number(count)]));
}

/** Raw data always; BENCHMARKS.md only from a whole run. */
async function publish(plan: Plan, results: Results): Promise<void> {
  const whole = !plan.quick && plan.parts.length === parts.length && plan.profileFolder === undefined;
  const folder = whole ? join(import.meta.dirname, 'results') : join(root, '.cache/bench');
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${results.facts.date.slice(0, 16).replace(':', '-')}.json`);
  await writeFile(path, `${JSON.stringify(results, null, 1)}\n`);
  const tables = render(results, relative(root, path));
  console.log(`\n${tables}\n`);
  if (!whole) return;
  const document = join(root, 'BENCHMARKS.md');
  await writeFile(document, insert(await readFile(document, 'utf8').catch(() => '# Benchmarks\n'), tables));
}

const number = (value: number) => Math.round(value).toLocaleString('en-US');
const us = ({ gatewayUs }: { gatewayUs: number | null }) =>
  gatewayUs === null ? 'no gateway' : `${gatewayUs.toFixed(1)} µs`;
const say = (line: string) => console.log(`${(performance.now() / 1_000).toFixed(0).padStart(5)} s  ${line}`);

process.on('exit', killAll);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
});
