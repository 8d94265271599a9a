// `npm run bench:engine`: our engine beside llama-server on the same models. How it is measured and how to read it:
// BENCHMARKS.md. `--quick` takes one sample of each and publishes nothing; `--only`, `--model` and `--slots` take a part.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { writeGguf } from '../../models/gguf.ts';
import { randomModel } from '../../models/random.ts';
import { knownVersion } from '../../../worker/engine/llama/binding.ts';
import { cpuTuning } from '../../../worker/engine/llama/tuning.ts';
import { watchOthers } from '../gateway/meter.ts';
import { insert } from '../gateway/report.ts';
import { buildPeer, measureLoop, startOurs, startPeer } from './peer.ts';
import type { Server } from './peer.ts';
import { report } from './report.ts';
import type { Results } from './report.ts';
import { freed, gap, throughput, warmStart, warmUp } from './samples.ts';
import type { Gap } from './samples.ts';

const root = resolve(import.meta.dirname, '../../..');
const folder = join(root, '.cache/bench-engine');
const contextTokens = 4096;
const longTokens = 2048;
const warmTokens = 2000;
const chunks = [64, 128, 256, 512];
/** What the product takes, for everything but the curve. */
const chunkDefault = cpuTuning.prefillTokensBusy;
const parts = ['throughput', 'loop', 'warm', 'freed', 'gaps'] as const;
const sizes = [
  {
    name: '15M',
    parameters: 15e6,
    vocabulary: 12_800,
    promptTokens: 128,
    tokens: 256,
    samples: 7,
    startSamples: 31,
    longSamples: 5,
  },
  {
    name: '150M',
    parameters: 150e6,
    vocabulary: 32_000,
    promptTokens: 256,
    tokens: 64,
    samples: 3,
    startSamples: 5,
    longSamples: 3,
  },
];
/** Of an answer whose beginning is measured: short, so that there can be many of them. */
const startTokens = 8;
/** Longest wait for a moment in which nobody else is at work, all waits together: the run ends in time all the same. */
const quietWaitMs = 120_000;
const foreignPctMax = 10;
/** On a slow machine the run goes on with one sample of each from here, so that it ends in time. */
const samplingMsMax = 14 * 60_000;
/** From here it ends with what it has. */
const runMsMax = 18 * 60_000;
/** A measurement in which so many rounds failed goes no further. */
const failuresMax = 2;
const usage = `usage: main.ts [--quick] [--only ${parts.join('|')}] [--model 15M|150M] [--slots 1,2,4,8]`;

interface Plan {
  quick: boolean;
  parts: readonly (typeof parts)[number][];
  models: readonly ((typeof sizes)[number] & { path: string })[];
  slots: readonly number[];
  /** Everything, so that the result may be published. */
  whole: boolean;
}

function planOf(args: readonly string[]): Plan {
  const text = { type: 'string' } as const;
  const options = { quick: { type: 'boolean', default: false }, only: text, model: text, slots: text } as const;
  const { quick, only, model, slots } = parseArgs({ args: [...args], options }).values;
  const once = (samples: number): number => (quick ? 1 : samples);
  const models = sizes
    .filter(({ name }) => model === undefined || name === model)
    .map((it) => ({ ...it, samples: once(it.samples), startSamples: once(it.startSamples) }))
    .map((it) => ({ ...it, longSamples: once(it.longSamples) }))
    .map((it) => ({ ...it, path: join(folder, `${it.name}.gguf`) }));
  const plan = {
    quick,
    parts: parts.filter((part) => only === undefined || part === only),
    models,
    slots: (slots ?? '1,2,4,8').split(',').map(Number),
    whole: !quick && only === undefined && model === undefined && slots === undefined,
  };
  const valid = plan.parts.length > 0 && models.length > 0 && plan.slots.every((it) => [1, 2, 4, 8].includes(it));
  if (!valid) throw new Error(usage);
  return plan;
}

function nothingYet(): Results {
  const git = (...args: string[]) => execFileSync('git', ['-C', root, ...args], { encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--', 'worker', 'shared', 'package-lock.json') !== '';
  return {
    date: new Date().toISOString(),
    commit: `${git('rev-parse', '--short=12', 'HEAD')}${changed ? ' with uncommitted changes' : ''}`,
    machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}, no GPU`,
    versions: `Node ${process.versions.node}, node-llama-cpp ${knownVersion}, llama-server of the same source`,
    loadAtStart: loadavg()[0] ?? 0,
    throughput: [],
    gaps: [],
    freed: [],
    warm: [],
    loop: [],
    failures: [],
  };
}

let waitedMs = 0;
/** Waits until others use little, within what is left of the bound. */
async function quietMoment(): Promise<void> {
  const from = performance.now();
  for (let quiet = false; !quiet && waitedMs + performance.now() - from < quietWaitMs;) {
    const noise = watchOthers();
    await sleep(300);
    const { foreignPct, stealPct } = noise();
    quiet = foreignPct + stealPct <= foreignPctMax;
  }
  waitedMs += performance.now() - from;
}

type Sample<T> = (server: Server) => Promise<T>;

interface Measurement<T> {
  what: string;
  servers: readonly Server[];
  rounds: number;
  sample: Sample<T>;
}

/**
 * Asks all in turn, in every other round the last one first. A round in which a sample fails counts for nobody.
 *
 * @returns for each server its samples, one per round
 */
async function inTurn<T>(measurement: Measurement<T>): Promise<T[][]> {
  const { what, servers, rounds, sample } = measurement;
  const taken: T[][] = servers.map(() => []);
  for (let [done, failed] = [0, 0]; done < rounds && failed < failuresMax;) {
    if (done > 0 && performance.now() - startedAt > samplingMsMax) break;
    if (!plan.quick) await quietMoment();
    try {
      const round = await inOrder(servers, done % 2 === 1, sample);
      round.forEach((one, index) => taken[index]?.push(one));
      done += 1;
    } catch (error) {
      failed += 1;
      fail(what, error);
    }
  }
  return taken;
}

/** Who comes first finds the machine idle. @returns what each gave, in the order of `servers` */
async function inOrder<T>(servers: readonly Server[], backwards: boolean, sample: Sample<T>): Promise<T[]> {
  const given: T[] = [];
  for (const server of backwards ? servers.toReversed() : servers) given.push(await sample(server));
  return backwards ? given.toReversed() : given;
}

async function warm(servers: readonly Server[], slots: number): Promise<void> {
  if (!plan.quick) for (const server of servers) await warmUp(server, slots);
}

function fail(what: string, error: unknown): void {
  const failure = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  results.failures.push(failure);
  console.log(`        FAILED ${failure}`);
}

/** What fails as a whole, such as a server that does not start, costs its own figures and no others. */
async function attempt(what: string, measured: () => Promise<void>): Promise<void> {
  try {
    await measured();
    console.log(`${((performance.now() - startedAt) / 1_000).toFixed(0).padStart(5)} s  ${what}: done`);
  } catch (error) {
    fail(what, error);
  }
}

type Size = Plan['models'][number];

async function measureSpeed(model: Size, slots: number, what: string): Promise<void> {
  await using ours = await startOurs(model.path, slots, contextTokens, chunkDefault);
  await using peer = await startPeer(model.path, slots, contextTokens);
  const servers = [ours, peer];
  await warm(servers, slots);
  const sample = (server: Server) => throughput(server, slots, model.promptTokens, model.tokens);
  const start = (server: Server) => throughput(server, slots, model.promptTokens, startTokens);
  const [a = [], b = []] = await inTurn({ what, servers, rounds: model.samples, sample });
  const [c = [], d = []] = await inTurn({ what, servers, rounds: model.startSamples, sample: start });
  results.throughput.push({ model: model.name, slots, ours: a, peer: b, starts: { ours: c, peer: d } });
}

/** What needs one slot: how soon it is free again, or what a known prefix saves. */
async function measureOneSlot<T>(model: Size, what: string, sample: Sample<T>): Promise<{ ours: T[]; peer: T[] }> {
  await using ours = await startOurs(model.path, 1, contextTokens, chunkDefault);
  await using peer = await startPeer(model.path, 1, contextTokens);
  const servers = [ours, peer];
  await warm(servers, 1);
  const [a = [], b = []] = await inTurn({ what, servers, rounds: model.longSamples, sample });
  return { ours: a, peer: b };
}

async function measureGaps(model: Size, what: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const servers = [stack.use(await startPeer(model.path, 2, contextTokens))];
  for (const chunk of chunks) servers.push(stack.use(await startOurs(model.path, 2, contextTokens, chunk)));
  const sample: Sample<Gap> = (server) => gap(server, longTokens);
  await warm(servers, 2);
  const [peer = [], ...ours] = await inTurn({ what, servers, rounds: model.longSamples, sample });
  const curve = chunks.map((chunk, index) => ({ chunk, samples: ours[index] ?? [] }));
  results.gaps.push({ model: model.name, peer, ours: curve });
}

type Measure = (model: Size, what: string) => Promise<void>;

const measures: Record<Exclude<(typeof parts)[number], 'throughput'>, Measure> = {
  loop: async (model) => void results.loop.push({ model: model.name, ...measureLoop(model.path, contextTokens) }),
  warm: async (model, what) => {
    const samples = await measureOneSlot(model, what, (server) => warmStart(server, warmTokens));
    results.warm.push({ model: model.name, ...samples });
  },
  freed: async (model, what) => {
    const samples = await measureOneSlot(model, what, (server) => freed(server, warmTokens));
    results.freed.push({ model: model.name, ...samples });
  },
  gaps: measureGaps,
};

async function measure(model: Size): Promise<void> {
  const { name, parameters, vocabulary, path } = model;
  const shape = { name: `random ${name}`, parameters, vocabulary, type: 'q8_0', context: contextTokens } as const;
  writeGguf(path, randomModel({ ...shape, ends: false, seed: 1 }));
  for (const part of plan.parts) {
    const slotCounts = part === 'throughput' ? plan.slots : [];
    for (const slots of slotCounts) {
      const what = `${name}, throughput at ${slots} slots`;
      await attempt(what, () => measureSpeed(model, slots, what));
    }
    if (part !== 'throughput') await attempt(`${name}, ${part}`, () => measures[part](model, `${name}, ${part}`));
  }
}

/** Raw data always; BENCHMARKS.md only from a whole run. */
function publish(): void {
  const target = plan.whole ? join(import.meta.dirname, 'results') : folder;
  mkdirSync(target, { recursive: true });
  const path = join(target, `${results.date.slice(0, 16).replace(':', '-')}.json`);
  writeFileSync(path, `${JSON.stringify(results, null, 1)}\n`);
  const tables = report(results, relative(root, path));
  console.log(`\n${tables}\n`);
  if (!plan.whole) return;
  const document = join(root, 'BENCHMARKS.md');
  writeFileSync(document, insert(readFileSync(document, 'utf8'), tables, 'bench:engine'));
}

const plan = planOf(process.argv.slice(2));
buildPeer();
const startedAt = performance.now();
mkdirSync(folder, { recursive: true });
const results = nothingYet();
setTimeout(() => {
  fail('the run', new Error(`it ended after ${runMsMax / 60_000} minutes with what it had`));
  publish();
  process.exit(1);
}, runMsMax).unref();
for (const model of plan.models) await measure(model);
publish();
