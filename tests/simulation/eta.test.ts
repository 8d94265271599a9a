// What is promised to those who wait, against how long they wait: calibrated, from what is known when they come.
import { expect, test } from 'vitest';
import { drawnTurns, tracedTurns, worksOf } from './conversations.ts';
import { aWorker } from './fair.ts';
import { runPlan } from './world.ts';

const count = 2_500;
const traced = tracedTurns(count);
const loads = [
  ['drawn conversations, one team', drawnTurns(count, 1), 1, 6],
  ['drawn conversations, eight teams', drawnTurns(count, 2), 8, 6],
  ...(traced === null ? [] : [['conversations of the trace, eight teams', traced, 8, 8] as const]),
] as const;

test.each(loads)(
  'promises are kept as often as they say: %s',
  { timeout: 120_000 },
  async (what, turns, teams, workers) => {
    const report = await runPlan(1, {
      gateways: 3,
      workers: Array.from({ length: workers }, (_, at) => aWorker({ id: `w${at + 1}` })),
      limits: { waitingMax: 100_000, waitingPerKeyMax: 100_000, queueTimeoutMs: 3_600_000 },
      load: worksOf(turns, teams, 3),
      faults: [],
    });
    expect(report.failures).toEqual([]);
    const { waits } = report;
    const share = (holds: (wait: (typeof waits)[number]) => boolean) => waits.filter(holds).length / waits.length;
    const [p50, p90] = [share((it) => it.waitedMs <= it.p50Ms), share((it) => it.waitedMs <= it.p90Ms)];
    const refusedInVain = share((it) => it.waitedMs < it.leastMs);
    const meanS = waits.reduce((sum, { waitedMs }) => sum + waitedMs, 0) / waits.length / 1_000;
    console.log(
      `eta, ${what}: ${waits.length} of ${count} waited, ${meanS.toFixed(1)} s on average; p50 held for ` +
        `${(100 * p50).toFixed(1)} %, p90 for ${(100 * p90).toFixed(1)} %, the least wait was too long for ` +
        `${(100 * refusedInVain).toFixed(2)} %`,
    );
    expect(waits.length).toBeGreaterThan(500);
    expect(Math.abs(p50 - 0.5)).toBeLessThan(0.06);
    expect(Math.abs(p90 - 0.9)).toBeLessThan(0.04);
    expect(refusedInVain).toBeLessThan(0.01);
  },
);
