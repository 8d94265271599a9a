// `npm run sim`: many seeds, or one again: SEED=n. TRACE=1 prints everything that happens.
import { runSeed, type Report } from './world.ts';

const { SEED, SEEDS = '200', FROM = '1', TRACE } = process.env;

function print({ seed, events, failures, hash }: Report): void {
  for (const failure of failures.slice(0, 5)) console.log(`SEED=${seed} ${failure}`);
  if (SEED !== undefined) console.log(`SEED=${seed} ${events} events, hash ${hash}, ${failures.length} failures`);
}

const first = Number(SEED ?? FROM);
const seeds = SEED === undefined ? Number(SEEDS) : 1;
const totals = new Map<string, number>();
let events = 0;
let failed = 0;
const beganMs = performance.now();
for (let seed = first; seed < first + seeds; seed++) {
  const report = await runSeed(seed, TRACE ? (line) => console.log(line) : undefined);
  print(report);
  events += report.events;
  if (report.failures.length > 0) failed += 1;
  for (const [what, count] of report.counts) totals.set(what, (totals.get(what) ?? 0) + count);
}
const tookMs = performance.now() - beganMs;
console.log(Object.fromEntries([...totals].toSorted(([a], [b]) => (a < b ? -1 : 1))));
console.log(`${seeds} seeds, ${events} events, ${failed} failed, ${(tookMs / seeds).toFixed(1)} ms a seed`);
process.exitCode = failed > 0 ? 1 : 0;
