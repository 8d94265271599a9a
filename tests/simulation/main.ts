// `npm run sim`: many seeds on all cores, or one again: SEED=n. TRACE=1 prints everything that happens.
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { runSeed, type Report } from './world.ts';

/** What is told of a seed between threads. */
type Told = Pick<Report, 'seed' | 'events' | 'failures' | 'hash' | 'counts'>;

/** The seeds of one thread: every so manieth. */
interface Share {
  first: number;
  end: number;
  step: number;
}

const { SEED, SEEDS = '200', FROM = '1', TRACE, THREADS = String(availableParallelism()) } = process.env;
/** Requests die in the middle of their age, so a larger young generation saves a tenth of the time (measured). */
const youngMb = 64;

async function run({ first, end, step }: Share, tell: (told: Told) => void): Promise<void> {
  for (let seed = first; seed < end; seed += step) {
    const { events, failures, hash, counts } = await runSeed(seed, TRACE ? (line) => console.log(line) : undefined);
    tell({ seed, events, failures, hash, counts });
  }
}

async function runInThread(share: Share, tell: (told: Told) => void): Promise<void> {
  const resourceLimits = { maxYoungGenerationSizeMb: youngMb };
  const thread = new Worker(new URL(import.meta.url), { workerData: share, resourceLimits });
  thread.on('message', tell);
  await once(thread, 'exit');
}

async function main(): Promise<void> {
  const first = Number(SEED ?? FROM);
  const seeds = SEED === undefined ? Number(SEEDS) : 1;
  const threads = SEED === undefined && !TRACE ? Math.min(seeds, Number(THREADS)) : 0;
  const totals = new Map<string, number>();
  let ran = 0;
  let events = 0;
  let failed = 0;
  const beganMs = performance.now();
  const tell = (told: Told) => {
    for (const failure of told.failures.slice(0, 5)) console.log(`SEED=${told.seed} ${failure}`);
    if (SEED !== undefined) console.log(`SEED=${SEED} ${told.events} events, hash ${told.hash}`);
    ran += 1;
    events += told.events;
    if (told.failures.length > 0) failed += 1;
    for (const [what, count] of told.counts) totals.set(what, (totals.get(what) ?? 0) + count);
  };
  const end = first + seeds;
  const shares = Array.from({ length: threads }, (_, at) => ({ first: first + at, end, step: threads }));
  if (threads > 0) await Promise.all(shares.map((share) => runInThread(share, tell)));
  else await run({ first, end, step: 1 }, tell);
  const tookS = (performance.now() - beganMs) / 1_000;
  console.log(Object.fromEntries([...totals].toSorted(([a], [b]) => (a < b ? -1 : 1))));
  console.log(
    `${ran} seeds of ${seeds}, ${events} events, ${failed} failed, ${(ran / tookS).toFixed(1)} seeds a second`,
  );
  process.exitCode = failed > 0 || ran < seeds ? 1 : 0;
}

if (isMainThread) await main();
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a window's has one, a thread's has not
else await run(workerData as Share, (told) => parentPort?.postMessage(told));
