// The short form of `npm run soak`: the same questions, 150 answers and each kind of fault at least once.
import { setMaxListeners } from 'node:events';
import { expect, test } from 'vitest';
import { soak } from './soak.ts';

const seed = 7;
const answers = 150;

test('requests under every kind of fault: each ends once, no slot is lost, no worker is overloaded', async () => {
  setMaxListeners(100, process); // each process that it starts ends with it
  const harshness = { gapMs: [100, 800], freezeMsMax: 3_000 } as const;
  const report = await soak({ seed, answers, secondsMax: 60, clients: 24, harshness });
  expect(report.violations).toEqual([]);
  expect({ slots: report.slotsLost, tickets: report.ticketsLost }).toEqual({ slots: 0, tickets: 0 });
  for (const [kind, count] of report.faults) expect({ kind, done: count > 0 }).toEqual({ kind, done: true });
  // Asked until so many were answered: how many are refused meanwhile depends on how fast processes start.
  expect(report.endings.get('whole')).toBeGreaterThanOrEqual(answers);
}, 120_000);
